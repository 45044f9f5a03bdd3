/** A fleet for the walk-through: on loopback, for each site a SoftHSM token, an etcd member and a service. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { dim, say } from "../../src/cli/terminal.ts";
import { majority } from "../../src/keys/holder-sets.ts";
import type { Demo } from "./demo.ts";
import { startEtcdCluster } from "./etcd-cluster.ts";
import { freePort } from "./free-ports.ts";
import { chapter, cli, root, serve, strongroom, Unexpected } from "./show.ts";
import { type SoftToken, softToken } from "./soft-token.ts";

const FLEET = "demo";

export interface DemoSite extends SoftToken {
  readonly name: string;
  readonly dir: string;
  readonly url: string;
}

/** Ports stay as they are in the manifest of an earlier run. */
async function sitesIn(dir: string, count: number, firstPort: number): Promise<readonly DemoSite[]> {
  const layout = join(dir, "ports.json");
  const fresh = (): Promise<readonly number[]> =>
    Promise.all(
      Array.from({ length: count }, async (_, i) => (firstPort === 0 ? freePort() : firstPort + i)),
    );
  const ports: readonly number[] = existsSync(layout)
    ? JSON.parse(readFileSync(layout, "utf8"))
    : await fresh();
  writeFileSync(layout, JSON.stringify(ports));
  return ports.map((port, i) => {
    const name = `site-${"abcdefg"[i]}`;
    const home = join(dir, name);
    return {
      name,
      dir: home,
      url: `http://127.0.0.1:${port}`,
      ...softToken(home, name),
    };
  });
}

function initKeys(dir: string, sites: readonly DemoSite[]): void {
  const file = join(dir, "fleet.yaml");
  const plan = {
    fleet: FLEET,
    manifest: "./manifest.json",
    sites: sites.map(({ name, url, uri, dir: home, env }) => ({
      name,
      url,
      token: { uri, soPinSource: `file:${home}/so-pin`, profile: "softhsm2", env },
    })),
  };
  writeFileSync(file, stringify(plan));
  strongroom(["fleet", "init", "--config", file]);
}

/** @param firstPort of the first site; the others follow. 0 takes any free ones */
export async function demoFleet(dir: string, count: number, firstPort: number): Promise<Demo> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chapter(`${count} sites, each with a token of its own`);
  const sites = await sitesIn(dir, count, firstPort);
  chapter("Their keys: made in the tokens, brought to their holders, proved equal, sealed");
  initKeys(dir, sites);
  return demoFleetOn(dir, sites);
}

export interface DemoFleetOptions {
  /** Its name in the manifest. */
  readonly fleet?: string;
  /** Where the app's issuer is, or will be. */
  readonly issuer?: string;
  /** More for the configuration of every site. */
  readonly site?: Readonly<Record<string, unknown>>;
}

/** The same on tokens that have their keys; the manifest is in `dir`. */
export async function demoFleetOn(
  dir: string,
  sites: readonly DemoSite[],
  { fleet = FLEET, issuer = join(dir, "issuer"), site: more = {} }: DemoFleetOptions = {},
): Promise<Demo> {
  const count = sites.length;

  chapter("The store: one etcd member at each site, TLS and access control");
  const prefix = `/strongroom/${fleet}/`;
  const etcd = await startEtcdCluster({ members: count, dir: join(dir, "etcd"), prefix });
  say(`members: ${etcd.clientUrls.join(", ")}`);
  spawnSync(process.execPath, [join(root, "scripts/demo-issuer.mjs"), "init", issuer], { stdio: "inherit" });
  const endpoints = Object.fromEntries(sites.map(({ name }, i) => [name, etcd.clientUrls[i]]));
  const config = ({ dir: home }: DemoSite): string => join(home, "site.yaml");
  for (const site of sites)
    writeFileSync(
      config(site),
      stringify({
        fleet,
        site: site.name,
        listen: { port: Number(new URL(site.url).port) },
        token: { uri: site.uri, profile: "softhsm2" },
        store: { etcd: { prefix, tls: etcd.vault, clusters: { main: { endpoints } } } },
        guard: { path: "./guard" },
        manifest: "../manifest.json",
        policy: { evaluationBurst: 100, evaluationsPerDay: 1000 },
        issuers: [
          {
            issuer: "https://issuer.demo.invalid",
            tenant: "demo-app",
            jwksFile: join(issuer, "jwks.json"),
            algorithms: ["EdDSA"],
          },
        ],
        ...more,
      }),
    );

  chapter("The vault, at every site");
  const children: (ChildProcess | undefined)[] = [];
  const gone = new Set<number>();
  let someEnded: (code: number | null) => void = () => undefined;
  const ended = new Promise<number | null>((resolve) => {
    someEnded = resolve;
  });
  async function start(numbers: readonly number[]): Promise<void> {
    await Promise.all(
      numbers.map(async (i) => {
        const site = sites[i];
        if (!site) throw new Unexpected(`no site ${i}`);
        const child = await serve(config(site), join(site.dir, "service.log"), site.url, site.env);
        children[i] = child;
        child.once("exit", (code) => {
          if (!gone.has(i)) someEnded(code);
        });
      }),
    );
  }
  /** Sites that were away for each other are asked again within seconds. @throws Unexpected */
  async function healthy(site: DemoSite): Promise<void> {
    const args = [cli, "fleet", "status", "--config", config(site)];
    for (let tries = 0; tries < 60; tries++) {
      if (spawnSync(process.execPath, args, { stdio: "ignore" }).status === 0) return;
      await new Promise((next) => setTimeout(next, 500));
    }
    throw new Unexpected("the sites do not find each other; `strongroom fleet status` says what is wrong");
  }
  const stop = async (): Promise<void> => {
    await Promise.all(
      children.map(async (child, i) => {
        if (!child || gone.has(i)) return;
        gone.add(i);
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        await exited;
      }),
    );
    await etcd.close();
  };
  try {
    await start(sites.map((_, i) => i));
    if (sites[0]) await healthy(sites[0]);
  } catch (error) {
    await stop();
    throw error;
  }
  const first = sites[0];
  return {
    dir,
    fleet,
    manifest: join(dir, "manifest.json"),
    spare: count - majority(count),
    urls: sites.map(({ url }) => url),
    show() {
      const up = sites.find((_, i) => !gone.has(i)) ?? first;
      // Exit code 1: something has to be done, namely about the sites that are gone.
      if (up) strongroom(["fleet", "status", "--config", config(up)], {}, gone.size > 0 ? 1 : 0);
    },
    async kill(numbers) {
      for (const i of numbers) {
        const child = children[i];
        gone.add(i);
        say(dim(`$ kill -9 ${child?.pid}    # ${sites[i]?.name}, and its etcd member`));
        child?.kill("SIGKILL");
        await etcd.kill9(i);
      }
    },
    async revive() {
      const numbers = [...gone];
      for (const i of numbers) await etcd.restart(i);
      gone.clear();
      await start(numbers);
      if (first) await healthy(first);
    },
    ended: () => ended,
    stop,
  };
}

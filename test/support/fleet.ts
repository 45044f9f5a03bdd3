/**
 * A whole fleet for tests: a SoftHSM token, an etcd member and a service process for each site, keys distributed by
 * `fleet init`, one issuer. Sites are counted from 0, in the order of the manifest.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import {
  type EtcdCluster,
  type EtcdClusterOptions,
  startEtcdCluster,
} from "../../scripts/lib/etcd-cluster.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { STRONGROOM } from "./cli.ts";
import { createFleetTokens, type FleetTokens } from "./fleet-tokens.ts";
import type { FlowTarget } from "./flow.ts";
import { createIssuer, FLEET, type Issuer } from "./issuer.ts";

export interface FleetOptions {
  readonly sites: number;
  /** The majority by default. */
  readonly threshold?: number;
  readonly maxAttempts?: number;
  /** Parts of every site's configuration to replace; one level deep. */
  readonly overrides?: Readonly<Record<string, object>>;
  readonly etcd?: Pick<EtcdClusterOptions, "hosts" | "launch" | "heartbeatMs" | "electionTimeoutMs">;
  /** Where each site listens; loopback by default. */
  readonly hosts?: readonly string[];
  /** Wraps the command of a service, e.g. in `ip netns exec …`. */
  readonly launch?: (site: number, command: readonly string[]) => readonly string[];
  /** Tokens that hold a fleet's keys already, of the fleet FLEET; they are removed with the fleet. */
  readonly made?: FleetTokens;
  /** The PKCS#11 module through which services see their tokens; SoftHSM's own by default. */
  readonly module?: string;
  /** Environment of a site's service, besides that of its token; read at each of its starts. */
  readonly env?: (site: number) => Readonly<Record<string, string>>;
}

export interface TestFleet {
  readonly dir: string;
  readonly manifest: Manifest;
  readonly manifestFile: string;
  readonly tokens: FleetTokens;
  readonly etcd: EtcdCluster;
  readonly issueToken: Issuer["issueToken"];
  readonly names: readonly string[];
  readonly urls: readonly string[];
  /** For flows with the stock client: requests go to that site. */
  target(site: number): FlowTarget;
  configFile(site: number): string;
  /** The log lines of a site's services so far. */
  logs(site: number): string;
  pid(site: number): number | undefined;
  /** Starts the service of a site; resolves when it listens. */
  start(site: number): Promise<void>;
  /** SIGKILL, and waits for the end of the process. */
  kill9(site: number): Promise<void>;
  /** SIGTERM, and waits for the exit code. */
  stop(site: number): Promise<number | null>;
  /** What `/readyz` of a site says; undefined where nobody answers. */
  readyz(site: number): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Resolves when these sites (all by default) say that they are ready. */
  whenReady(...sites: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

const READY_MS = 60_000;

/** Provisions tokens, starts etcd and every site, and waits until all are ready. */
export async function startFleet(options: FleetOptions): Promise<TestFleet> {
  const { maxAttempts = 10, overrides = {}, launch = (_site, command) => command } = options;
  const tokens =
    options.made ??
    (await createFleetTokens({
      sites: options.sites,
      maxAttempts,
      fleet: FLEET,
      ...(options.threshold === undefined ? {} : { threshold: options.threshold }),
      ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
    }));
  const { manifest, names, dir } = tokens;
  const urls = manifest.sites.map(({ url }) => url);
  const etcd = await startEtcdCluster({
    members: options.sites,
    prefix: `/strongroom/${FLEET}/`,
    ...options.etcd,
  });
  const issuer = await createIssuer(dir);
  const children: (ChildProcess | undefined)[] = names.map(() => undefined);
  const folder = (site: number): string => join(dir, names[site] ?? "");
  const configFile = (site: number): string => join(folder(site), "site.yaml");
  const logFile = (site: number): string => join(folder(site), "service.log");
  const endpoints = Object.fromEntries(names.map((name, i) => [name, etcd.clientUrls[i]]));

  for (const [i, name] of names.entries()) {
    const hsm = tokens.tokens[i];
    const url = new URL(urls[i] ?? "");
    mkdirSync(folder(i), { recursive: true });
    const defaults: Record<string, object | string> = {
      fleet: FLEET,
      site: name,
      listen: { host: url.hostname, port: Number(url.port) },
      token: {
        uri: hsm?.uri.replace(hsm.module, options.module ?? hsm.module),
        profile: "softhsm2",
        workers: 1,
      },
      store: {
        etcd: {
          prefix: etcd.prefix,
          tls: etcd.vault,
          clusters: { main: { endpoints } },
          electionTimeoutMs: options.etcd?.electionTimeoutMs ?? 1_000,
        },
      },
      guard: { path: "./guard" },
      manifest: tokens.manifestFile,
      issuers: [issuer.config],
      limits: { requestsPerSecondPerAddress: 100_000, burst: 100_000 },
      policy: { maxAttempts, evaluationBurst: 1_000, evaluationsPerDay: 10_000 },
      drain: { noticeMs: 0, deadlineMs: 5_000 },
      log: { level: "info" },
    };
    const merged = Object.entries(defaults).map(([key, value]) => [
      key,
      typeof value === "object" && !Array.isArray(value) ? { ...value, ...overrides[key] } : value,
    ]);
    writeFileSync(configFile(i), stringify(Object.fromEntries(merged)));
  }

  async function start(site: number): Promise<void> {
    const command = [process.execPath, ...STRONGROOM, "serve", "--config", configFile(site)];
    const [program = "", ...args] = launch(site, command);
    const log = openSync(logFile(site), "a");
    const child = spawn(program, args, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...tokens.tokens[site]?.env, ...options.env?.(site) },
    });
    closeSync(log);
    children[site] = child;
    await sleep(20);
  }
  async function end(site: number, signal: NodeJS.Signals): Promise<number | null> {
    const child = children[site];
    children[site] = undefined;
    if (!child) return null;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  }
  const logs = (site: number): string =>
    existsSync(logFile(site)) ? readFileSync(logFile(site), "utf8") : "";

  async function readyz(site: number): Promise<Record<string, unknown> | undefined> {
    return fetch(`${urls[site]}/readyz`, { signal: AbortSignal.timeout(3_000) }).then(
      async (answer) => (await answer.json()) as Record<string, unknown>,
      () => undefined,
    );
  }

  async function whenReady(...sites: readonly number[]): Promise<void> {
    const waiting = sites.length > 0 ? sites : names.map((_, i) => i);
    const deadline = Date.now() + READY_MS;
    for (const site of waiting)
      for (;;) {
        const state = await readyz(site);
        if (state?.ready === true) break;
        const child = children[site];
        const ended = child && (child.exitCode ?? child.signalCode);
        if (ended !== null && ended !== undefined)
          throw new Error(`${names[site]} ended with ${ended}:\n${logs(site).slice(-3_000)}`);
        if (Date.now() > deadline)
          throw new Error(
            `${names[site]} is not ready: ${JSON.stringify(state)}\n${logs(site).slice(-3_000)}`,
          );
        await sleep(100);
      }
  }

  async function close(): Promise<void> {
    await Promise.all(names.map((_, i) => end(i, "SIGKILL")));
    await etcd.close();
    tokens.remove();
    rmSync(dir, { recursive: true, force: true });
  }

  try {
    await Promise.all(names.map((_, i) => start(i)));
    await whenReady();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    dir,
    manifest,
    manifestFile: tokens.manifestFile,
    tokens,
    etcd,
    issueToken: issuer.issueToken,
    names,
    urls,
    target: (site) => ({ url: urls[site] ?? "", manifest, site: names[site], issueToken: issuer.issueToken }),
    configFile,
    logs,
    pid: (site) => children[site]?.pid,
    start,
    kill9: async (site) => {
      await end(site, "SIGKILL");
    },
    stop: (site) => end(site, "SIGTERM"),
    readyz,
    whenReady,
    close,
  };
}

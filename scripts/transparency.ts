/**
 * What `scripts/transparency` shows once the machine is set up: a client that was built when there was one fleet follows
 * its operator to another one, believing nobody but the keys that it was built with. Every command is the one that a
 * person would type.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { sha256HexOf } from "../src/base/node/sha256.ts";
import { green, say } from "../src/cli/terminal.ts";
import { type Auditing, NAMESPACE, startAuditing } from "./lib/auditing.ts";
import type { Demo } from "./lib/demo.ts";
import { demoFleetOn } from "./lib/demo-fleet.ts";
import { rehearsedDemo } from "./lib/rehearsed.ts";
import { chapter, get, root, strongroom, strongroomJson, Unexpected } from "./lib/show.ts";

const { values } = parseArgs({ options: { state: { type: "string" } } });
const PLAN = "three-sites.yaml";
const LETTER = "Dear Alice,\n\nkeep this safe.\n";

function insist(holds: boolean, what: string): void {
  if (!holds) throw new Unexpected(what);
}

const hashOf = (file: string): string => sha256HexOf(readFileSync(file));

/** Everything that is there, so that all of it is stopped. */
class Stage {
  readonly dir: string;
  readonly #running: { stop(): Promise<void> }[] = [];

  constructor(dir: string) {
    this.dir = dir;
  }
  at(...path: readonly string[]): string {
    return join(this.dir, ...path);
  }
  add<T extends { stop(): Promise<void> }>(part: T): T {
    this.#running.push(part);
    return part;
  }
  async stop(): Promise<void> {
    for (const part of this.#running.reverse()) await part.stop();
  }
}

/** Its keys by a ceremony, its evidence before the auditor, its services with the bundles that they hand out. */
async function rollOut(
  stage: Stage,
  auditing: Auditing,
  epoch: number,
  fleet: string,
  others: readonly string[],
): Promise<Demo> {
  const dir = stage.at(fleet);
  chapter(`${fleet}: its keys, by a ceremony`);
  const { ceremony, sites } = await rehearsedDemo(PLAN, fleet, dir);
  chapter(`Epoch ${epoch}: ${fleet} is announced; the auditor looks at its evidence first`);
  const bundle = auditing.announce(
    epoch,
    ["--fleet", `${join(ceremony, "manifest.json")}=active`, ...others],
    [ceremony],
  );
  if (epoch === 1) pin(stage, auditing, bundle);
  fetchBundles(stage, auditing);
  const site = { bundles: stage.at("bundles"), pins: stage.at("pins.json") };
  return stage.add(await demoFleetOn(dir, sites, { fleet, issuer: stage.at("issuer"), site }));
}

/** What an app ships: made once, compared by people, and never changed again here. */
function pin(stage: Stage, { witness }: Auditing, bundle: string): void {
  const pins = strongroomJson<object>(["bundle", "pins", bundle, "--witness", witness]);
  writeFileSync(stage.at("pins.json"), `${JSON.stringify(pins, null, 2)}\n`);
}

function fetchBundles(stage: Stage, { url }: Auditing): void {
  strongroom([
    ...["bundle", "fetch", "--from", url],
    ...["--to", stage.at("bundles"), "--pins", stage.at("pins.json")],
  ]);
}

class Alice {
  readonly #stage: Stage;
  readonly #config: string;
  readonly #code: string;

  /** Pins, and where to ask for bundles; nothing of any fleet. */
  constructor(stage: Stage, bundleUrls: readonly string[]) {
    this.#stage = stage;
    [this.#config, this.#code] = [stage.at("alice.yaml"), stage.at("alice.code")];
    const issuer = `"${process.execPath}" "${join(root, "scripts/demo-issuer.mjs")}"`;
    writeFileSync(
      this.#config,
      stringify({
        pins: "./pins.json",
        state: "./alice.state",
        bundleUrls,
        tenant: "demo-app",
        subject: "alice",
        tokenCommand: `exec ${issuer} token "${stage.at("issuer")}" "$STRONGROOM_FLEET" alice`,
        retrySeconds: 5,
      }),
    );
  }

  /** What must not change from the day that the app was built. */
  built(): string {
    return `${hashOf(this.#stage.at("pins.json"))} ${hashOf(this.#config)}`;
  }
  protect(): void {
    const folder = this.#stage.at("letters");
    mkdirSync(folder);
    writeFileSync(join(folder, "letter.txt"), LETTER);
    strongroom([
      ...["client", "register", "--config", this.#config, "--generate"],
      ...["--code-file", this.#code],
    ]);
    this.#run("backup", folder, "--out", this.#stage.at("letters.age"));
  }
  restore(name: string): void {
    const out = this.#stage.at(name);
    this.#run("restore", this.#stage.at("letters.age"), "--out", out);
    insist(readFileSync(join(out, "letter.txt"), "utf8") === LETTER, "what came back is something else");
  }
  fleet(): string {
    return strongroomJson<{ fleet: string }>(["client", "status", "--config", this.#config, "--json"]).fleet;
  }
  #run(verb: string, ...args: readonly string[]): void {
    strongroom(["client", verb, ...args, "--config", this.#config, "--code-file", this.#code]);
  }
}

/** The whole log, by somebody who has the pins and nothing else; from the auditor, and from a mirror. */
function audit(stage: Stage, { url, data, policy }: Auditing): void {
  const verify = (from: string, ...more: readonly string[]): readonly string[] => [
    ...["audit", "verify", "--from", from, "--pins", stage.at("pins.json")],
    ...["--proofs", stage.at("proofs"), ...more],
  ];
  chapter("The whole log, checked by a stranger: at the auditor, with the evidence of the ceremonies");
  strongroom(verify(url, "--state", stage.at("monitor.state"), "--policy", policy));
  chapter("The same from a mirror, which anybody may keep");
  const mirror = stage.at("mirror");
  strongroom(["auditor", "export", "--data", data, "--to", mirror]);
  strongroom(verify(mirror, "--state", stage.at("monitor.state"), "--limit", "1"));
  chapter("And from a mirror that lies in one word");
  const liar = stage.at("lying-mirror");
  cpSync(mirror, liar, { recursive: true });
  const bundle = join(liar, "log", NAMESPACE, "bundles/2.json");
  const text = readFileSync(bundle, "utf8");
  writeFileSync(bundle, text.replace("draining", "revoked"));
  insist(readFileSync(bundle, "utf8") !== text, "nothing was changed");
  strongroom(verify(liar, "--limit", "1"), {}, 1);
}

async function visitPage({ url }: Auditing): Promise<void> {
  chapter("The page, where anybody checks the same in a browser");
  const page = await get(url);
  const policy = page.headers.get("content-security-policy") ?? "";
  const scripts = [...(await page.text()).matchAll(/<script[^>]+src="([^"]+)"/g)].map(([, src]) => src ?? "");
  insist(page.ok && policy.includes("default-src 'none'"), "the page is not there, or allows too much");
  insist(scripts.length > 0, "the page has no script");
  for (const src of scripts) insist((await get(new URL(src, url))).ok, `${src} is not there`);
  say(`${url} answers, with ${policy}`);
}

async function show(stage: Stage): Promise<void> {
  const auditing = stage.add(await startAuditing(stage.dir));
  const one = await rollOut(stage, auditing, 1, "fleet-1", []);

  chapter("An app is built: with pins, and without any fleet");
  const alice = new Alice(stage, [`${one.urls[0]}/v1/fleet`, auditing.url]);
  const built = alice.built();
  alice.protect();
  insist(alice.fleet() === "fleet-1", "the first backup is elsewhere");

  await rollOut(stage, auditing, 2, "fleet-2", ["--fleet", "fleet-1=draining"]);
  chapter("The same app recovers, and moves to a fleet that did not exist when it was built");
  alice.restore("restored-1");
  insist(alice.fleet() === "fleet-2", "the backup key did not move");

  chapter("Epoch 3: fleet-1 has nothing left to give. It is revoked, and switched off");
  auditing.announce(3, ["--fleet", "fleet-1=revoked"], []);
  fetchBundles(stage, auditing);
  await one.stop();
  alice.restore("restored-2");
  insist(alice.fleet() === "fleet-2", "the backup key is elsewhere");
  insist(alice.built() === built, "pins or configuration of the app were changed");

  audit(stage, auditing);
  await visitPage(auditing);
}

const stage = new Stage(resolve(values.state ?? join(root, ".strongroom/transparency")));
try {
  rmSync(stage.dir, { recursive: true, force: true });
  mkdirSync(stage.dir, { recursive: true, mode: 0o700 });
  await show(stage);
  say(green("\none app, two fleets, three epochs: nothing was believed but what the log proves\n"));
} catch (error) {
  if (!(error instanceof Unexpected)) throw error;
  say(`strongroom: ${error.message}`);
  process.exitCode = 1;
} finally {
  await stage.stop();
}

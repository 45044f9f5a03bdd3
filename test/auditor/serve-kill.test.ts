/**
 * SIGKILL of `strongroom auditor serve` on an epoch's way (the announcement, the audit, the countersignature): before
 * every change of the disk, in the middle of every write, at every message to the token, before and after the answer.
 * It is started again, and the operator sends the same request again, or comes with another announcement. Among
 * everything that the auditor ever showed there is one digest of each epoch and one root of each size, and the epoch is
 * finished.
 *
 * A run of the suite takes a few of all points; STRONGROOM_ALL_POINTS=1 takes all, STRONGROOM_TEST_POINT=… one, by the
 * name that a failure gives, STRONGROOM_TEST_SEED=… those of an earlier run.
 */
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logKeyOf } from "../../src/auditor/namespace-keys.ts";
import { verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { type Audit, auditSchema } from "../../src/wire/audit.ts";
import { decodeBundle, logEntry } from "../../src/wire/bundle.ts";
import { type AuditorProcess, Shown, spawnAuditor } from "../support/auditor-process.ts";
import {
  type Answer,
  type AuditorWorld,
  announce,
  createAuditorWorld,
  NAMESPACE,
  OperatorClient,
  type PaperFleet,
  paperFleet,
} from "../support/auditor-world.ts";

const { STRONGROOM_ALL_POINTS, STRONGROOM_TEST_POINT, STRONGROOM_TEST_SEED } = process.env;
const SEED = Number(STRONGROOM_TEST_SEED ?? Date.now() % 1_000_000);
/** Of a run of the suite; one of each part of the list, which goes from the first to the last step. */
const SAMPLE = 3;
/** Rounds; most of each is the start of a process. */
const AT_ONCE = 3;
const HEADER = "x-test-kill";
const REQUESTS = ["announcements", "audits", "countersignatures"] as const;
type RequestName = (typeof REQUESTS)[number];

// In memory where that can be: kill -9 loses nothing that was written, and fsync is not waited for.
const MEMORY = "/dev/shm";
const home = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "strongroom-serve-kill-"));
const traceFile = join(home, "trace");
const hook = pathToFileURL("test/support/kill-points.mjs").href;

interface Point {
  /** first: with evidence, and folders that are not there yet. second: the fleet is the same, the log has an entry. */
  readonly epoch: "first" | "second";
  readonly request: RequestName;
  /** As in kill-points.mjs. */
  readonly at: string;
  /** Does the operator come back with the same announcement, or with another one first? */
  readonly then: "again" | "rival";
  readonly name: string;
}

/** A data directory and a token, as they were before an epoch; each round has copies of its own. */
interface Before {
  readonly dir: string;
  readonly epoch: number;
  readonly previous: string | undefined;
}

let world: AuditorWorld;
let one: PaperFleet;
const before = new Map<Point["epoch"], Before>();
const points: Point[] = [];

type Announced = ReturnType<typeof announce>;

/** What an operator sends, one after the other; the same bytes each time. */
class RollOut {
  readonly announced: Announced;
  readonly #epoch: number;
  #countersigned: string | undefined;

  constructor({ epoch, previous }: Before, createdAt: number) {
    this.#epoch = epoch;
    this.announced = announce(world, epoch, previous, [one.announced], { createdAt });
  }

  async send(client: OperatorClient, request: RequestName, audit?: Audit): Promise<Answer> {
    const { bytes, digest } = this.announced;
    if (request === "announcements") return client.put(`announcements/${digest}`, bytes);
    if (request === "audits") return client.post("audits", { epoch: this.#epoch, digest });
    if (audit)
      this.#countersigned ??= JSON.stringify(world.operator.countersign(audit, world.keys.auditors[0] ?? ""));
    return client.post("countersignatures", this.#countersigned ?? "");
  }
}

function copyOf(from: string, name: string): { readonly dir: string; readonly env: Record<string, string> } {
  const root = join(home, name);
  const conf = join(root, "softhsm2.conf");
  cpSync(from, root, { recursive: true });
  writeFileSync(
    conf,
    `directories.tokendir = ${join(root, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  return { dir: join(root, "auditor"), env: { SOFTHSM2_CONF: conf } };
}

function snapshot(epoch: Point["epoch"], facts: Omit<Before, "dir">): void {
  const dir = join(home, epoch);
  mkdirSync(dir);
  cpSync(world.dir, join(dir, "auditor"), { recursive: true });
  cpSync(join(world.hsm.dir, "tokens"), join(dir, "tokens"), { recursive: true });
  before.set(epoch, { dir, ...facts });
}

const hooked = (env: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  ...env,
  NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ""} --import=${hook}`,
  STRONGROOM_TEST_TRACE: traceFile,
});

/** Rolls an epoch out and writes down its steps. @returns its digest */
async function trace(name: Point["epoch"], { url }: AuditorProcess): Promise<string> {
  const facts = before.get(name);
  if (!facts) throw new Error("no such state");
  const rollOut = new RollOut(facts, Date.now());
  const client = new OperatorClient(url, world.token, { [HEADER]: "trace" });
  let audit: Audit | undefined;
  for (const request of REQUESTS) {
    rmSync(traceFile, { force: true });
    const { status, text, json } = await rollOut.send(client, request, audit);
    if (status >= 300) throw new Error(text);
    if (request === "audits") audit = auditSchema.parse(json);
    for (const [step, kind] of readFileSync(traceFile, "utf8").trim().split("\n").entries())
      for (const at of kind === "token" || kind === "answer" ? [`${step}`, `${step}+`] : [`${step}`])
        for (const then of ["again", "rival"] as const)
          points.push({ epoch: name, request, at, then, name: `${name}/${request}/${at}/${kind}/${then}` });
  }
  return rollOut.announced.digest;
}

beforeAll(async () => {
  [world, one] = await Promise.all([createAuditorWorld(), paperFleet("one")]);
  const auditor = await spawnAuditor(world.dir, hooked());
  await new OperatorClient(auditor.url, world.token).evidence(one);
  snapshot("first", { epoch: 1, previous: undefined });
  snapshot("second", { epoch: 2, previous: await trace("first", auditor) });
  await trace("second", auditor);
  await auditor.kill();
});
afterAll(() => {
  world.remove();
  rmSync(home, { recursive: true });
});

/** One life: what is sent from `request` on, until the answer to all of it or the end. */
async function live(
  auditor: AuditorProcess,
  shown: Shown,
  rollOut: RollOut,
  mark?: Pick<Point, "request" | "at">,
): Promise<Answer> {
  let audit: Audit | undefined;
  let last: Answer | undefined;
  for (const request of REQUESTS) {
    const headers = mark?.request === request ? { [HEADER]: mark.at } : {};
    last = await rollOut.send(new OperatorClient(auditor.url, world.token, headers), request, audit);
    if (last.status >= 300) return last;
    if (request === "audits") audit = shown.audit(last.json);
  }
  return last ?? expect.unreachable("three requests have answers");
}

/** @returns how the operator came back, and whose announcement the epoch is */
async function round(point: Point, index: number): Promise<string> {
  const facts = before.get(point.epoch) ?? expect.unreachable(point.epoch);
  const { epoch } = facts;
  const { dir, env } = copyOf(facts.dir, `round-${index}`);
  const [namespace = expect.unreachable("no namespace")] = world.config().namespaces;
  const shown = new Shown(namespace);
  const now = Date.now();
  const [mine, rival] = [new RollOut(facts, now - 2), new RollOut(facts, now - 1)];

  const first = await spawnAuditor(dir, hooked(env));
  const firstReader = shown.readAll(first, epoch);
  const gone = once(first.child, "exit");
  // It may have been answered just before the end.
  const sent = await live(first, shown, mine, point).catch((error: unknown) => {
    if (!(error instanceof TypeError)) throw error;
  });
  if (sent && sent.status >= 300) throw new Error(sent.text);
  const died = await Promise.race([
    gone,
    new Promise<string>((r) => setTimeout(() => r("lived on"), 20_000)),
  ]);
  await first.kill();
  await firstReader;
  if (typeof died === "string") throw new Error(died);
  shown.look(dir);

  const second = await spawnAuditor(dir, env);
  try {
    const secondReader = shown.readAll(second, epoch);
    const told = await live(second, shown, point.then === "rival" ? rival : mine);
    // The other one was signed or is to be, or this one is from now on.
    const refused = told.status >= 300;
    if (refused) expect(told.json).toMatchObject({ code: "auditor-refused" });
    if (refused) expect(point.then).toBe("rival");
    const winner = refused || point.then === "again" ? mine : rival;
    const done = await live(second, shown, winner);
    expect(done.status, done.text).toBe(200);
    const loser = await live(second, shown, winner === mine ? rival : mine);
    expect(loser.json).toMatchObject({ code: "auditor-refused" });

    const bundle = decodeBundle(Uint8Array.from(Buffer.from(done.text)));
    expect(bundle.audit).toMatchObject({ epoch, digest: winner.announced.digest });
    verifyTlogProof(bundle.proof, logEntry(bundle.audit, bundle.countersignature), {
      logs: [logKeyOf(namespace)],
    });
    const published = await fetch(`${second.url}/log/${NAMESPACE}/bundles/${epoch}.json`);
    expect(await published.text()).toBe(done.text);
    const checkpoint = await fetch(`${second.url}/log/${NAMESPACE}/checkpoint`);
    expect(shown.checkpoint(await checkpoint.text())).toBe(epoch);
    shown.look(dir);
    await second.kill();
    await secondReader;
  } finally {
    await second.kill();
  }
  expect([...shown.digests.keys()]).toContain(epoch);
  expect([...shown.roots.keys()]).toContain(epoch);
  const { digests, audits, roots } = shown;
  for (const [what, map] of Object.entries({ digests, audits, roots }))
    for (const [key, values] of map) expect([...values], `${what} of ${key}`).toHaveLength(1);
  rmSync(join(home, `round-${index}`), { recursive: true });
  return `${point.then} ${shown.digests.get(epoch)?.has(mine.announced.digest) ? "mine" : "rival"}`;
}

function chosen(): readonly Point[] {
  if (STRONGROOM_TEST_POINT) return points.filter(({ name }) => name === STRONGROOM_TEST_POINT);
  if (STRONGROOM_ALL_POINTS) return points;
  let state = SEED;
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const part = points.length / SAMPLE;
  return Array.from(
    { length: SAMPLE },
    (_, i) => points[Math.floor((i + random()) * part)] ?? expect.unreachable(),
  );
}

test("killed at every step of an epoch's way", {
  timeout: STRONGROOM_ALL_POINTS ? 7_200_000 : 120_000,
}, async () => {
  const rounds = chosen();
  const outcomes: string[] = [];
  expect(rounds.length).toBeGreaterThan(0);
  const queue = rounds.entries();
  const work = async (): Promise<void> => {
    for (const [index, point] of queue) {
      try {
        outcomes.push(await round(point, index));
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`STRONGROOM_TEST_POINT=${point.name} (seed ${SEED}): ${message}`, { cause });
      }
      if (STRONGROOM_ALL_POINTS) process.stderr.write(`${outcomes.length}/${rounds.length} ${point.name}\n`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.stderr.write(`kill -9 of the auditor: ${rounds.length} of ${points.length} points, seed ${SEED}\n`);
  if (!STRONGROOM_ALL_POINTS) return;
  // Not for want of trying.
  for (const outcome of ["again mine", "rival mine", "rival rival"])
    expect(outcomes.filter((each) => each === outcome).length).toBeGreaterThan(20);
});

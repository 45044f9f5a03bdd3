/** `strongroom audit`: what it says of a log, how it ends, and what it keeps. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { auditCommand } from "../../src/cli/audit.ts";
import { changesBetween } from "../../src/cli/bundle-changes.ts";
import { encodePins } from "../../src/trust/pins.ts";
import { refusalOf } from "../../src/trust/refusal.ts";
import { decodeTrustState } from "../../src/trust/state.ts";
import { changesOf } from "../../src/web/changes.ts";
import type { AnnouncedFleet } from "../../src/wire/announcement.ts";
import type { Audit } from "../../src/wire/audit.ts";
import { paperFleet } from "../support/auditor-world.ts";
import { type Ran, runCommand } from "../support/command.ts";
import { FixtureLog, fixtureFleet, newSigners, tampered } from "../support/log-fixture.ts";

const home = mkdtempSync(join(tmpdir(), "strongroom-audit-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const log = FixtureLog.create({ witnesses: 1 });
const one = fixtureFleet("fleet-1");
const two = fixtureFleet("fleet-2");
await log.add({ fleets: [one] });
await log.add({ fleets: [two, { ...one, status: "draining" }] });
await log.add();
const pins = join(home, "pins.json");
writeFileSync(pins, encodePins(log.pins));

let dir: string;
let state: string;
beforeEach(() => {
  dir = mkdtempSync(join(home, "log-"));
  state = `${dir}.state`;
  log.write(dir);
});

const audit = (...args: readonly string[]): Promise<Ran> => runCommand(auditCommand(), args);
const verify = (...args: readonly string[]): Promise<Ran> =>
  audit("verify", "--pins", pins, "--from", dir, "--proofs", join(dir, "proofs"), ...args);

interface Result {
  readonly holds: boolean;
  readonly auditor: string;
  readonly head: { readonly size: number };
  readonly epochs: readonly {
    readonly epoch: number;
    readonly holds: boolean;
    readonly delta: { readonly keys: readonly { readonly kind: string }[] };
  }[];
  readonly refusals: readonly { readonly epoch?: number; readonly reason: string }[];
  readonly evidence?: readonly { readonly fleet: string; readonly holds: boolean }[];
  readonly proofs: readonly string[];
}
const resultOf = ({ stdout }: Ran): Result => JSON.parse(stdout) as Result;

test("shows what each epoch changed, the oldest as the baseline", async () => {
  const { code, stdout, stderr } = await verify();
  expect(code).toBe(0);
  expect(stdout.match(/^epoch \d+ {2}holds/gm)).toEqual([
    "epoch 1  holds",
    "epoch 2  holds",
    "epoch 3  holds",
  ]);
  expect(stdout).toMatch(/baseline +fleet-1 +identity site-a, active/);
  expect(stdout).toMatch(/added +fleet-2 +ake, active/);
  expect(stdout).toMatch(/role changed +fleet-1 +ake, active → draining/);
  expect(stdout).toContain("fleet-1 status: active → draining");
  expect(stdout).toContain("unchanged: 17 keys");
  expect(stderr).toContain("all 3 epochs of vault.example hold");
  expect(stderr).toContain("seen by 1 of 1 pinned witnesses");
});

test("pages to older epochs, and shows whole keys", async () => {
  const newest = await verify("--limit", "1", "--full-keys");
  expect(newest.stdout).toMatch(/^epoch 3/);
  expect(newest.stdout).toContain(two.manifest.keys[0]?.publicKey);
  expect(newest.stderr).toContain("older epochs were checked too: --before 3 shows them");
  const older = resultOf(await verify("--before", "3", "--json"));
  expect(older.epochs.map(({ epoch }) => epoch)).toEqual([1, 2]);
  expect(older).toMatchObject({ holds: true, head: { size: 3 }, auditor: "not-asked", proofs: [] });
});

test("says which epoch is not believed and why, and ends with an error", async () => {
  writeFileSync(
    join(dir, "log", log.namespace, "bundles", "2.json"),
    log.epoch(2).bytes.map((byte, at) => (at === 700 ? byte ^ 1 : byte)),
  );
  const people = await verify();
  expect(people.code).toBe(1);
  expect(people.stdout).toMatch(/^epoch 2 {2}not believed \(/m);
  const ran = await verify("--json");
  expect(ran.code).toBe(1);
  expect(resultOf(ran).holds).toBe(false);
  expect(resultOf(ran).refusals.map(({ epoch }) => epoch)).toEqual([2]);
});

test("a directory without the log, and one that is none, are no proof of anything", async () => {
  rmSync(join(dir, "log"), { recursive: true });
  expect((await verify()).code).toBe(1);
  expect((await verify("--from", join(dir, "nowhere"))).code).toBe(2);
});

describe("with a state file", () => {
  test("remembers, and keeps what contradicts it for ever", async () => {
    expect((await verify("--state", state)).code).toBe(0);
    expect(decodeTrustState(readFileSync(state)).epoch).toBe(3);

    const fork = log.fork(2);
    await fork.add({ change: { createdAt: log.newest.announcement.createdAt + 1 } });
    fork.write(dir);
    const ran = await verify("--state", state, "--json");
    expect(ran.code).toBe(1);
    expect(resultOf(ran).refusals.map(({ reason }) => reason)).toEqual(["equivocation", "forked-log"]);
    const files = readdirSync(join(dir, "proofs")).sort();
    expect(files).toHaveLength(2);
    const [equivocation = ""] = files;
    const proof = readFileSync(join(dir, "proofs", equivocation), "utf8");
    expect(JSON.parse(proof)).toMatchObject({
      reason: "equivocation",
      first: { bundle: log.newest.bundle },
      second: { bundle: fork.newest.bundle },
    });
    expect(decodeTrustState(readFileSync(state))).toMatchObject({ digest: log.newest.digest });

    const proved = await audit("proof", join(dir, "proofs", equivocation), "--pins", pins);
    expect([proved.code, proved.stdout]).toEqual([0, expect.stringContaining("equivocation")]);
    writeFileSync(join(dir, "forged.json"), proof.replaceAll(/"timestamp": \d+/g, '"timestamp": 1'));
    expect((await audit("proof", join(dir, "forged.json"), "--pins", pins)).code).toBe(1);

    // The liar goes back to the first story: what was told is not forgotten.
    log.write(dir);
    expect((await verify("--state", state)).code).toBe(0);
    expect(readdirSync(join(dir, "proofs")).sort()).toEqual(files);
    expect(decodeTrustState(readFileSync(state)).proofs).toHaveLength(1);
  });

  test("a log that became shorter is refused, and nothing is forgotten for it", async () => {
    await verify("--state", state);
    log.fork(2).write(dir);
    const ran = await verify("--state", state, "--json");
    expect(resultOf(ran).refusals).toMatchObject([{ reason: "older-epoch" }]);
    expect(decodeTrustState(readFileSync(state)).epoch).toBe(3);
  });

  test("of another namespace is not taken", async () => {
    const other = await FixtureLog.of(1, { namespace: "other.example" });
    other.write(dir);
    writeFileSync(join(dir, "pins.json"), encodePins(other.pins));
    await verify("--pins", join(dir, "pins.json"), "--state", state);
    expect((await verify("--state", state)).code).toBe(2);
  });
});

describe("of a server", () => {
  let server: Server;
  let answers: ReadonlyMap<string, unknown>;
  let url: string;
  const files = log.files();

  beforeAll(async () => {
    server = createServer(({ url: path = "" }, response) => {
      const answer = answers.get(path);
      const bytes = answer === undefined ? files.get(path.slice(1)) : JSON.stringify(answer);
      response.writeHead(bytes ? 200 : 404).end(bytes);
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => server.close());

  const namespace = `/namespaces/${log.namespace}`;
  const honest = (): Map<string, unknown> =>
    new Map<string, unknown>([
      ["/info", { keys: [{ public_key: log.signers.auditor.hex, not_before: 0 }], logs: [] }],
      [`${namespace}/last-verified-epoch`, { epoch: 3, end_hash: log.newest.digest }],
      ...log.epochs.map(({ epoch, bundle }) => [`${namespace}/audits/${epoch}`, bundle.audit] as const),
    ]);
  const asked = async (change: readonly (readonly [string, unknown])[]): Promise<Result> => {
    answers = new Map([...honest(), ...change]);
    return resultOf(await verify("--from", url, "--json"));
  };

  test("asks the auditor for each audit, and is content where it says the same", async () => {
    expect(await asked([])).toMatchObject({ holds: true, auditor: "asked" });
    answers = new Map();
    expect(resultOf(await verify("--from", url, "--json"))).toMatchObject({
      holds: true,
      auditor: "not-asked",
    });
  });

  test("finds an auditor that tells another story to who asks than to who reads, and keeps both", async () => {
    const second = (await log.fork(1).add()).bundle.audit;
    const { holds, refusals, proofs } = await asked([[`${namespace}/audits/2`, second]]);
    expect({ holds, refusals }).toMatchObject({
      holds: false,
      refusals: [{ epoch: 2, reason: "equivocation" }],
    });
    const [file = ""] = proofs;
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      first: { bundle: log.epoch(2).bundle },
      second: { audit: second },
    });
  });

  test.each([
    [
      "bad-auditor-signature",
      2,
      `${namespace}/audits/2`,
      { ...log.epoch(2).bundle.audit, signature: "00".repeat(64) },
    ],
    ["malformed", 2, `${namespace}/audits/2`, { epoch: "two" }],
    ["malformed", 2, `${namespace}/audits/2`, log.epoch(1).bundle.audit satisfies Audit],
    ["wrong-auditor-key", undefined, "/info", { keys: [{ public_key: newSigners().auditor.hex }] }],
    [
      "older-epoch",
      undefined,
      `${namespace}/last-verified-epoch`,
      { epoch: 2, end_hash: log.epoch(2).digest },
    ],
    [
      "manifest-changed",
      undefined,
      `${namespace}/last-verified-epoch`,
      { epoch: 3, end_hash: "00".repeat(32) },
    ],
  ])("%s of epoch %s by an answer", async (reason, epoch, path, answer) => {
    const { refusals } = await asked([[path, answer]]);
    expect(refusals).toMatchObject([{ reason, ...(epoch === undefined ? {} : { epoch }) }]);
  });
});

describe("the evidence", () => {
  const policy = join(home, "policy.yaml");
  /** Of ceremonies on paper all claims hold but the one about calls of tokens, which nobody made. */
  const lenient = readFileSync("hsm-config/auditor/policy.yaml", "utf8").replace(
    /^ {2}transcript-follows-plan:.*\n/m,
    "",
  );
  let paper: Awaited<ReturnType<typeof paperFleet>>;
  beforeAll(async () => {
    paper = await paperFleet("paper");
    writeFileSync(policy, lenient);
  });

  async function published(
    change: (files: Map<string, Uint8Array>) => void,
    ...later: readonly AnnouncedFleet[]
  ): Promise<void> {
    const announced = FixtureLog.create();
    const files = new Map(paper.files);
    change(files);
    for (const fleet of [paper.announced, ...later]) await announced.add({ fleets: [fleet] });
    announced.addEvidence(paper.evidenceSha256, files);
    announced.write(dir);
    writeFileSync(join(dir, "pins.json"), encodePins(announced.pins));
  }
  const judged = async (...args: readonly string[]): Promise<Result> =>
    resultOf(await verify("--pins", join(dir, "pins.json"), "--json", ...args));

  test("holds by the policy, and not where a claim is asked for that does not", async () => {
    await published(() => undefined);
    expect(await judged("--policy", policy)).toMatchObject({
      holds: true,
      evidence: [{ fleet: "paper", holds: true }],
    });
    expect(await judged("--evidence")).toMatchObject({
      refusals: [{ epoch: 1, reason: "evidence-mismatch" }],
    });
  });

  test("is not that of other keys under the hash of its manifest", async () => {
    const { announced } = paper;
    const [first, ...keys] = announced.manifest.keys;
    const publicKey = `04${"ab".repeat(64)}`;
    const manifest = { ...announced.manifest, keys: first ? [{ ...first, publicKey }, ...keys] : [] };
    const swapped: AnnouncedFleet = { ...announced, manifest };
    await published(() => undefined, swapped);
    expect(await judged("--policy", policy)).toMatchObject({
      holds: false,
      refusals: [{ epoch: 2, reason: "evidence-mismatch" }],
    });
    // Nor do those who show what an epoch changed go by the hash.
    const keysOf = { auditors: [], operators: [], logs: [] };
    const of = (fleet: AnnouncedFleet) => ({ validUntil: 0, keys: keysOf, fleets: [fleet] }) as never;
    expect(changesBetween(of(announced), of(swapped)).join()).toMatch(/changed +fleet paper/);
    expect(changesOf(of(announced), of(swapped)).map(({ kind }) => kind)).toEqual(["removed", "added"]);
    expect(changesOf(of(announced), of(announced)).map(({ kind }) => kind)).toEqual(["same"]);
  });

  test("that was changed or is gone does not match", async () => {
    await published((files) => files.set("plan.yaml", Buffer.from("fleet: other\n")));
    expect(await judged("--policy", policy)).toMatchObject({
      holds: false,
      refusals: [{ epoch: 1, reason: "evidence-mismatch" }],
    });
    rmSync(join(dir, "log", log.namespace, "evidence"), { recursive: true });
    expect(await judged("--policy", policy)).toMatchObject({ refusals: [{ reason: "evidence-mismatch" }] });
  });
});

describe("follow", () => {
  const following = (...args: readonly string[]): Promise<Ran> =>
    audit(
      ...["follow", "--pins", pins, "--from", dir, "--proofs", join(dir, "proofs"), "--json"],
      ...["--interval", "1", "--state", state, ...args],
    );

  /** Once the first look is done; in one turn, so that nobody reads half of it. */
  function afterFirstLook(change: () => void): void {
    const waiting = setInterval(() => {
      if (!existsSync(state)) return;
      clearInterval(waiting);
      change();
    }, 50);
  }

  test("waits for a new epoch, and shows only what is new", async () => {
    log.fork(2).write(dir);
    afterFirstLook(() => log.write(dir));
    const { code, stdout } = await following("--until", "3");
    expect(code).toBe(0);
    const looks = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Result);
    expect(looks.map(({ epochs }) => epochs.map(({ epoch }) => epoch))).toEqual([[1, 2], [3]]);
    expect(new Set(looks[1]?.epochs[0]?.delta.keys.map(({ kind }) => kind))).toEqual(new Set(["unchanged"]));
  });

  test("ends with an error when the log goes wrong", async () => {
    log.fork(2).write(dir);
    const bad = await tampered(log, "bad-countersignature");
    afterFirstLook(() => {
      log.write(dir);
      writeFileSync(join(dir, "log", log.namespace, "bundles", "3.json"), bad);
    });
    const { code, error } = await following("--until", "3");
    expect(code).toBe(1);
    expect(refusalOf(error)).toBe("bad-countersignature");
  });
});

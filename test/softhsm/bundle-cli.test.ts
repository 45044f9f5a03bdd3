/**
 * `strongroom bundle` as an operator uses it: a key in its own token, two epochs by way of a running auditor, and what
 * sites and apps take from there.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleCommand } from "../../src/cli/bundle.ts";
import { rememberCountersigned } from "../../src/keys/countersigned.ts";
import { type RunningAuditor, startAuditor } from "../../src/service/auditor-start.ts";
import { openSession } from "../../src/token/open.ts";
import { decodePins } from "../../src/trust/pins.ts";
import { decodeAnnouncement } from "../../src/wire/announcement.ts";
import { auditOf } from "../../src/wire/audit.ts";
import { decodeBundle } from "../../src/wire/bundle.ts";
import {
  type AuditorWorld,
  createAuditorWorld,
  NAMESPACE,
  type PaperFleet,
  paperFleet,
  writeEvidence,
} from "../support/auditor-world.ts";
import { type Ran, runCommand } from "../support/command.ts";
import { EdSigner } from "../support/signers.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

let world: AuditorWorld;
let auditor: RunningAuditor;
let hsm: SoftHsm;
let fleets: readonly PaperFleet[];
const at = (...path: readonly string[]): string => join(world.home, ...path);

const run = (...args: readonly string[]): Promise<Ran> => runCommand(bundleCommand(), args);
async function done(...args: readonly string[]): Promise<Ran> {
  const ran = await run(...args);
  if (ran.error !== undefined) throw ran.error;
  return ran;
}
const reason = ({ error }: Ran): unknown =>
  error instanceof Error && "details" in error ? (error.details as { reason?: unknown }).reason : undefined;
const token = (): readonly string[] => ["--uri", hsm.uri];
const operator = (): readonly string[] => [
  "--auditor",
  auditor.url,
  "--operator-token",
  join(world.dir, `${NAMESPACE}.operator-token`),
];

beforeAll(async () => {
  [world, ...fleets] = await Promise.all([createAuditorWorld(), paperFleet("one"), paperFleet("two")]);
  auditor = await startAuditor(world.config(), { write: () => undefined });
  for (const { files, announced } of fleets) writeEvidence(at(announced.manifest.fleet), files);
  hsm = createSoftHsm();
  hsm.use();
});
afterAll(async () => {
  await auditor.close();
  hsm.remove();
  world.remove();
});

let operatorKey: string;

test("the operator's key is made once, and shown whenever it is asked for", async () => {
  const args = ["key", "--namespace", NAMESPACE, ...token()];
  expect((await done(...args, "--dry-run")).stdout).toBe("");
  const made = JSON.parse((await done(...args, "--json")).stdout) as Record<string, string>;
  expect(made).toMatchObject({ state: "created", label: `strongroom/${NAMESPACE}/countersign` });
  expect(made.operator).toMatch(/^04[0-9a-f]{128}$/);
  const again = await done(...args);
  expect([again.stdout, again.stderr]).toEqual([`${made.operator}\n`, expect.stringContaining("was there")]);
  operatorKey = made.operator ?? "";
  expect((await run("key", "--namespace", "No Name", ...token())).code).toBe(2);
});

const keys = (): readonly string[] => [
  "--auditor-key",
  ...world.keys.auditors,
  "--operator-key",
  operatorKey,
  "--log-key",
  ...world.keys.logs,
];

test("the first epoch is proposed with all its keys, and shown before anything is written", async () => {
  const file = at("announcement-1.json");
  const fleet = ["--fleet", `${at("one", "manifest.json")}=active`];
  const args = ["propose", "--namespace", NAMESPACE, ...fleet, "--out", file];
  expect((await run(...args)).error).toMatchObject({ code: "usage", hint: expect.stringContaining("key") });
  expect((await run(...args, ...keys(), "--fleet", "one=gone")).code).toBe(2);
  const dry = await done(...args, ...keys(), "--evidence", at("one"), "--dry-run");
  expect(dry.stderr).toMatch(/added\s+fleet one, 1 site: active/);
  expect(existsSync(file)).toBe(false);
  const { stdout } = await done(...args, ...keys(), "--evidence", at("one"), "--json");
  expect(JSON.parse(stdout)).toMatchObject({ epoch: 1, namespace: NAMESPACE, file });
  const { fleets: announced, keys: trusted } = decodeAnnouncement(readFileSync(file));
  expect(announced).toEqual([fleets[0]?.announced]);
  expect(trusted).toEqual({ ...world.keys, operators: [operatorKey] });
  expect((await run(...args, ...keys(), "--evidence", at("two"))).error).toMatchObject({ code: "usage" });
});

test("nothing is countersigned that the trusted auditor has not signed exactly so", async () => {
  const bytes = readFileSync(at("announcement-1.json"));
  const stranger = new EdSigner();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const statement = {
    ciphersuite: 1,
    namespace: NAMESPACE,
    timestamp: Date.now(),
    epoch: 1,
    digest,
  } as const;
  const unsigned = auditOf(statement, stranger.publicKey, new Uint8Array(64));
  const signature = stranger.signNow(Uint8Array.from(Buffer.from(unsigned.serialized_message, "hex")));
  writeFileSync(at("stranger.json"), JSON.stringify(auditOf(statement, stranger.publicKey, signature)));
  const args = ["countersign", "--announcement", at("announcement-1.json"), ...token()];
  const refused = await run(...args, "--audit", at("stranger.json"), "--out", at("c.json"));
  expect(["wrong-auditor-key", "bad-auditor-signature"]).toContain(reason(refused));
  writeFileSync(
    at("other.json"),
    JSON.stringify(auditOf({ ...statement, digest: new Uint8Array(32) }, stranger.publicKey, signature)),
  );
  expect(reason(await run(...args, "--audit", at("other.json"), "--out", at("c.json")))).toBe(
    "manifest-changed",
  );
  expect(existsSync(at("c.json"))).toBe(false);
  expect((await run(...args)).code).toBe(2);
});

test("the exchange with the auditor ends with a bundle, the same one if it is repeated", async () => {
  const args = ["countersign", "--announcement", at("announcement-1.json"), ...token(), ...operator()];
  const dry = await done(...args, "--dry-run");
  expect(dry.stderr).toContain("nothing was signed");
  const all = [...args, "--evidence", at("one"), "--out", at("1.json")];
  const { stdout } = await done(...all, "--json");
  expect(JSON.parse(stdout)).toMatchObject({ epoch: 1, operatorKey, logSize: 1 });
  const bundle = decodeBundle(readFileSync(at("1.json")));
  expect(bundle.operatorKey).toBe(operatorKey);
  await done(...all);
  expect(decodeBundle(readFileSync(at("1.json")))).toEqual(bundle);
});

test("pins come from a bundle that verifies under them, and people are told to compare", async () => {
  const { stdout, stderr } = await done("pins", at("1.json"));
  writeFileSync(at("pins.json"), stdout);
  expect(decodePins(readFileSync(at("pins.json")))).toMatchObject({
    namespace: NAMESPACE,
    minimumEpoch: 1,
    keys: { operators: [operatorKey] },
  });
  expect(stderr).toContain("compare");
  const served = await done("pins", "--from", auditor.url, "--namespace", NAMESPACE);
  expect(served.stdout).toBe(stdout);
});

test("verify says what is proved, and refuses what is not", async () => {
  const { stdout, stderr } = await done("verify", at("1.json"), "--pins", at("pins.json"), "--json");
  expect(JSON.parse(stdout)).toMatchObject({ genuine: true, epoch: 1, fleets: [{ fleet: "one" }] });
  expect(stderr).toContain("not looked at here: the evidence of one");
  const text = readFileSync(at("1.json"), "utf8");
  writeFileSync(at("changed.json"), text.replace('maxAttempts\\": 10', 'maxAttempts\\": 11'));
  const changed = await run("verify", at("changed.json"), "--pins", at("pins.json"));
  expect([changed.code, reason(changed)]).toEqual([1, "manifest-changed"]);
  // The calls that the ceremony's plan asks of tokens were never made: it took place on paper.
  for (const [dir, why] of [
    ["one", "transcript-follows-plan"],
    ["two", "no announced fleet"],
  ] as const) {
    const ran = await run("verify", at("1.json"), "--pins", at("pins.json"), "--evidence", at(dir));
    expect([reason(ran), ran.error]).toEqual([
      "evidence-mismatch",
      expect.objectContaining({ message: expect.stringContaining(why) }),
    ]);
  }
  const shown = await done("show", at("changed.json"));
  expect([shown.stdout, shown.stderr]).toEqual([
    expect.stringContaining("one"),
    expect.stringContaining("nothing is verified"),
  ]);
});

test("the next epoch is proposed from the one before, submitted, and needs it to be countersigned", async () => {
  const file = at("announcement-2.json");
  const [, ...submit] = operator();
  const { stderr } = await done(
    ...["propose", "--from", auditor.url, "--pins", at("pins.json"), "--out", file],
    ...["--fleet", "one=draining", "--fleet", `${at("two", "manifest.json")}=active`],
    ...["--evidence", at("two"), "--submit", ...submit],
  );
  expect(stderr).toMatch(/changed\s+fleet one, 1 site: status active → draining/);
  expect(existsSync(at("audit-2.json"))).toBe(true);
  expect(decodeAnnouncement(readFileSync(file)).previous).toBe(
    decodeBundle(readFileSync(at("1.json"))).audit.digest,
  );
  const args = ["countersign", "--announcement", file, "--audit", at("audit-2.json"), ...token()];
  expect((await run(...args)).error).toMatchObject({ code: "usage" });
  const offline = at("countersignature-2.json");
  await done(...args, "--previous", at("1.json"), "--out", offline);
  expect(JSON.parse(readFileSync(offline, "utf8"))).toMatchObject({ epoch: 2, operatorKey });
  await done(...args, "--previous", at("1.json"), ...operator(), "--out", at("2.json"));
  expect(reason(await run(...args, "--previous", at("2.json"), "--out", at("3.json")))).toBe("broken-chain");
});

test("the token countersigns one version of an epoch only, and no older epoch", async () => {
  const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  try {
    const { digest } = decodeBundle(readFileSync(at("2.json"))).audit;
    rememberCountersigned(session, NAMESPACE, 2, digest);
    for (const [epoch, other] of [
      [2, "00".repeat(32)],
      [1, digest],
    ] as const)
      expect(() => rememberCountersigned(session, NAMESPACE, epoch, other)).toThrow(/has countersigned/);
  } finally {
    session.close();
  }
  const args = ["countersign", "--announcement", at("announcement-1.json"), ...token(), ...operator()];
  const again = await run(...args, "--out", at("again.json"));
  expect([again.error, existsSync(at("again.json"))]).toEqual([
    expect.objectContaining({ code: "conflict" }),
    false,
  ]);
});

test("a site fetches all epochs, verified, from the auditor or from a copy", async () => {
  const fetched = (from: string, to: string, ...more: readonly string[]): Promise<Ran> =>
    run("fetch", "--from", from, "--to", at(to), "--pins", at("pins.json"), "--json", ...more);
  expect((await fetched(auditor.url, "site", "--dry-run")).error).toBeUndefined();
  expect(existsSync(at("site"))).toBe(false);
  expect(JSON.parse((await fetched(auditor.url, "site")).stdout)).toMatchObject({
    epoch: 2,
    written: [1, 2],
  });
  expect(JSON.parse((await fetched(auditor.url, "site")).stdout)).toMatchObject({ epoch: 2, written: [] });
  expect(readdirSync(at("site")).sort()).toEqual(["1.json", "2.json"]);
  expect(JSON.parse((await fetched(join(world.dir, "public"), "copy")).stdout).written).toEqual([1, 2]);

  mkdirSync(at("behind"));
  cpSync(at("1.json"), at("behind", "1.json"));
  expect(reason(await fetched(at("behind"), "site"))).toBe("older-epoch");
  const text = readFileSync(at("2.json"), "utf8");
  writeFileSync(
    at("behind", "2.json"),
    text
      .replace('"countersignature": "', '"countersignature": "0')
      .replace(/(countersignature": "[0-9a-f]{128})[0-9a-f]"/, '$1"'),
  );
  expect(reason(await fetched(at("behind"), "other"))).toBe("bad-countersignature");
  expect(existsSync(at("other"))).toBe(false);
});

test("an operator's token that others can read is not used", async () => {
  const file = at("token");
  writeFileSync(file, world.token);
  chmodSync(file, 0o644);
  const args = [
    "countersign",
    "--announcement",
    at("announcement-1.json"),
    ...token(),
    "--auditor",
    auditor.url,
  ];
  const ran = await run(...args, "--operator-token", file);
  expect([ran.code, ran.error]).toEqual([2, expect.objectContaining({ hint: `chmod 600 ${file}` })]);
});

/** Must show 4, the monitor's part: every lie of a whole log is found, said of the right epoch, and proof of it kept. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { parseNote } from "../../src/merkle/note.ts";
import type { Pins } from "../../src/trust/pins.ts";
import { refusalOf } from "../../src/trust/refusal.ts";
import type { TrustSource } from "../../src/trust/source.ts";
import type { TrustState } from "../../src/trust/state.ts";
import { refusalsOf, type WalkedLog, walkLog } from "../../src/trust/walk.ts";
import { encodeBundle } from "../../src/wire/bundle.ts";
import { FixtureLog, fixtureFleet, newSigners, type Tampering, tampered } from "../support/log-fixture.ts";
import { EdSigner } from "../support/signers.ts";

const log = await FixtureLog.of(4, { witnesses: 2 });
const FOLDER = `log/${log.namespace}`;

/** The public files, some of them otherwise; undefined: gone. */
function serving(
  from: FixtureLog,
  changes: Readonly<Record<string, Uint8Array | undefined>> = {},
): TrustSource {
  const files = from.files();
  return {
    async get(path) {
      const name = path.slice(FOLDER.length + 1);
      return name in changes ? changes[name] : files.get(path);
    },
  };
}

async function walk(
  source: TrustSource,
  options: { readonly pins?: Pins; readonly seen?: TrustState | undefined; readonly now?: number } = {},
): Promise<WalkedLog> {
  const walked = await walkLog(source, { pins: log.pins, now: Date.now(), ...options });
  if (!walked) throw new Error("nothing is published");
  return walked;
}

/** Epochs with what is said of each, `0` for the log as a whole. */
const said = ({ epochs, refusals }: WalkedLog): readonly string[] => [
  ...epochs.flatMap(({ epoch, refusal }) => (refusal ? [`${epoch} ${refusalOf(refusal)}`] : [])),
  ...refusals.map((refusal) => `0 ${refusalOf(refusal)}`),
];

test("a genuine log is believed from the first epoch to its head", async () => {
  const steps: string[] = [];
  const walked = await walkLog(serving(log), {
    pins: log.pins,
    now: Date.now(),
    progress: (done, all) => steps.push(`${done}/${all}`),
  });
  expect(walked && refusalsOf(walked)).toEqual([]);
  expect(walked?.epochs.map(({ verified }) => verified?.digest)).toEqual(
    log.epochs.map(({ digest }) => digest),
  );
  expect(walked?.newest?.epoch).toBe(4);
  expect(walked?.head).toMatchObject({ checkpoint: { size: 4 }, witnesses: log.witnesses });
  expect(walked?.state).toMatchObject({ epoch: 4, digest: log.newest.digest, proofs: [] });
  expect(walked?.contradictions).toEqual([]);
  expect(steps).toEqual(["0/4", "1/4", "2/4", "3/4", "4/4"]);
});

test("of a namespace without a log there is nothing to say, and of one that is gone there is", async () => {
  const nowhere: TrustSource = { get: async () => undefined };
  expect(await walkLog(nowhere, { pins: log.pins, now: Date.now() })).toBeUndefined();
  const { state } = await walk(serving(log));
  const gone = await walk(nowhere, { seen: state });
  expect(said(gone)).toEqual(["0 older-epoch"]);
  expect(gone.state).toEqual(state);
});

describe("one bundle of the log is not what it was", () => {
  const PLAIN = [
    "malformed",
    "wrong-namespace",
    "wrong-auditor-key",
    "bad-auditor-signature",
    "wrong-operator-key",
    "bad-countersignature",
    "manifest-changed",
    "wrong-log-key",
    "too-few-witnesses",
  ] as const satisfies readonly Tampering[];

  test.each(PLAIN)("%s", async (reason) => {
    const walked = await walk(serving(log, { "bundles/4.json": await tampered(log, reason) }));
    expect(said(walked)).toEqual([`4 ${reason}`]);
    expect(walked.newest?.epoch).toBe(3);
    expect(walked.state).toBeUndefined();
  });

  test("signed anew, but not what the log has", async () => {
    const walked = await walk(serving(log, { "bundles/4.json": await tampered(log, "unlogged") }));
    expect(said(walked)).toEqual(["4 unlogged"]);
  });

  test("an epoch is offered for another", async () => {
    const walked = await walk(serving(log, { "bundles/2.json": log.epoch(1).bytes }));
    expect(said(walked)).toEqual(["2 malformed"]);
  });

  test("a middle one is missing, and the others are judged all the same", async () => {
    const walked = await walk(serving(log, { "bundles/2.json": undefined }));
    expect(said(walked)).toEqual(["2 unlogged"]);
    expect(walked.newest?.epoch).toBe(4);
  });

  test("the announcement that was published is another one, or none", async () => {
    const name = `announcements/${log.epoch(2).digest}.json`;
    expect(said(await walk(serving(log, { [name]: utf8("{}") })))).toEqual(["2 manifest-changed"]);
    expect(said(await walk(serving(log, { [name]: undefined })))).toEqual(["2 unlogged"]);
  });

  test("the last one may be about to be published", async () => {
    const walked = await walk(serving(log, { "bundles/4.json": undefined }));
    expect(said(walked)).toEqual([]);
    expect(walked).toMatchObject({ isPending: true, newest: { epoch: 3 } });
  });
});

describe("the log itself", () => {
  test("its newest head is signed by another key, or by too few witnesses", async () => {
    const other = utf8(await log.checkpointBy(new EdSigner()));
    expect(said(await walk(serving(log, { checkpoint: other })))).toContain("0 wrong-log-key");
    const alone = utf8(await log.checkpointBy(log.signers.log, false));
    expect(said(await walk(serving(log, { checkpoint: alone })))).toContain("0 too-few-witnesses");
    const unreadable = await walk(serving(log, { checkpoint: utf8("a log") }));
    expect(said(unreadable)).toEqual(["0 malformed"]);
  });

  test.each([
    ["entries", "tile/entries/000.p/4"],
    ["hashes", "tile/0/000.p/4"],
  ])("a byte of its %s is another one", async (_, name) => {
    const bytes = Uint8Array.from(log.files().get(`${FOLDER}/${name}`) ?? []);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    expect(said(await walk(serving(log, { [name]: bytes })))).toContain("0 unlogged");
    expect(said(await walk(serving(log, { [name]: undefined })))).toContain("0 unlogged");
  });

  test("tiles of another tree are no proof against the log whose head was signed", async () => {
    const fork = log.fork(3);
    await fork.add();
    const tiles = [...fork.files()].flatMap(([path, bytes]) =>
      path.includes("/tile/") ? [[path.slice(FOLDER.length + 1), bytes] as const] : [],
    );
    const walked = await walk(serving(log, Object.fromEntries(tiles)));
    expect(said(walked)).toEqual(["4 unlogged", "0 unlogged"]);
    expect(walked.contradictions).toEqual([]);
  });

  test("expired, from the future, and before what the app asks for", async () => {
    const { createdAt, validUntil } = log.newest.announcement;
    const late = await walk(serving(log), { now: validUntil + 1 });
    expect(said(late)).toEqual(["0 expired"]);
    expect(late.state?.epoch).toBe(4);
    const early = await walk(serving(log), { now: createdAt - 3_600_000 });
    expect(said(early)).toEqual(["0 not-yet-valid"]);
    expect(early.state).toBeUndefined();
    const below = await walk(serving(log), { pins: { ...log.pins, minimumEpoch: 5 } });
    expect(said(below)).toEqual(["0 below-minimum"]);
  });

  test("two heads of one size: forked, and both are kept", async () => {
    const fork = log.fork(3);
    await fork.add({ change: log.newest.announcement });
    const walked = await walk(serving(log, { "bundles/4.json": fork.newest.bytes }));
    expect(said(walked)).toEqual(["4 forked-log"]);
    const [proof] = walked.contradictions;
    expect(proof).toMatchObject({ reason: "forked-log", second: { checkpoint: log.checkpoint(4) } });
    expect(proof?.first).toMatchObject({ checkpoint: fork.checkpoint(4) });
    expect(proof?.leaves).toBeUndefined();
  });
});

describe("with what was seen before", () => {
  test("the log may grow, and may not shrink", async () => {
    const short = log.fork(3);
    const { state } = await walk(serving(short));
    expect(state?.epoch).toBe(3);
    const grown = await walk(serving(log), { seen: state });
    expect(said(grown)).toEqual([]);
    expect(grown.state?.epoch).toBe(4);
    const shrunk = await walk(serving(short), { seen: grown.state });
    expect(said(shrunk)).toEqual(["0 older-epoch"]);
    expect(shrunk.state).toEqual(grown.state);
  });

  test("the same epoch with other contents is an equivocation, of which both sides are kept", async () => {
    const { state } = await walk(serving(log));
    const fork = log.fork(3);
    await fork.add({ change: { createdAt: log.newest.announcement.createdAt + 1 } });
    const walked = await walk(serving(fork), { seen: state });
    // The tree of the fork is not the one that was seen either.
    expect(said(walked)).toEqual(["4 equivocation", "0 forked-log"]);
    expect(walked.contradictions.map(({ reason }) => reason)).toEqual(["equivocation", "forked-log"]);
    expect(walked.contradictions[0]).toMatchObject({
      first: { bundle: log.newest.bundle },
      second: { bundle: fork.newest.bundle },
    });
    // What was believed stays, and the proof with it.
    expect(walked.state).toMatchObject({ epoch: 4, digest: log.newest.digest });
    expect(walked.state?.proofs).toHaveLength(1);
    const again = await walk(serving(fork), { seen: walked.state });
    expect(again.state?.proofs).toHaveLength(1);
  });

  test("a history that was rewritten before it grew", async () => {
    const { state } = await walk(serving(log.fork(2)));
    const fork = log.fork(1);
    for (let epoch = 2; epoch <= 4; epoch++) await fork.add();
    const walked = await walk(serving(fork), { seen: state });
    expect(said(walked)).toEqual(["2 equivocation", "0 forked-log"]);
    const [, proof] = walked.contradictions;
    // Of other sizes: with the leaves anybody can see it.
    expect(proof?.leaves).toHaveLength(4);
    expect(parseNote(proof && "checkpoint" in proof.first ? proof.first.checkpoint : "").text).toContain(
      "\n2\n",
    );
  });

  test("an epoch that names another one before it", async () => {
    // Genuine on its own: auditor, operator and log signed two lines of epochs.
    const fork = log.fork(2);
    await fork.add({ change: { createdAt: 1 } });
    const fourth = await fork.add();
    const walked = await walk(serving(log, { "bundles/4.json": fourth.bytes }));
    expect(said(walked)).toEqual(["4 broken-chain"]);
    expect(walked.contradictions[0]).toMatchObject({
      reason: "broken-chain",
      first: { bundle: log.epoch(3).bundle },
      second: { bundle: fourth.bundle },
    });
  });
});

describe("keys change", () => {
  test("old and new announced, then the new ones alone: found by pins of before", async () => {
    const rotating = FixtureLog.create();
    const [old, fresh] = [rotating.signers, newSigners()];
    await rotating.add();
    await rotating.add({ keys: rotating.keysOf(old, fresh) });
    await rotating.add({ keys: rotating.keysOf(fresh), signers: fresh });
    await rotating.add();
    const walked = await walk(serving(rotating), { pins: rotating.pins });
    expect(said(walked)).toEqual([]);
    expect(walked.state?.keys).toEqual(rotating.keysOf(fresh));
    // Who ships the new keys from epoch 3 on still sees that what was before belongs to it.
    const pins = { ...rotating.pins, keys: rotating.keysOf(fresh), minimumEpoch: 3 };
    const later = await walk(serving(rotating), { pins });
    expect(said(later)).toEqual([]);
    expect(later.epochs.map(({ isBeforePins, verified }) => isBeforePins && !verified)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const { bundle, digest } = rotating.epoch(1);
    const announcement = bundle.announcement.replace("fleet-1", "fleet-9");
    const consistent = {
      "bundles/1.json": encodeBundle({ ...bundle, announcement }),
      [`announcements/${digest}.json`]: utf8(announcement),
    };
    expect(said(await walk(serving(rotating, consistent), { pins }))).toEqual(["1 manifest-changed"]);
    const other = FixtureLog.create();
    other.signers = old;
    const elsewhere = await other.add({ fleets: [fixtureFleet("fleet-x")] });
    const served = serving(rotating, {
      "bundles/1.json": elsewhere.bytes,
      [`announcements/${elsewhere.digest}.json`]: utf8(elsewhere.bundle.announcement),
    });
    expect(said(await walk(served, { pins }))).toEqual(["1 unlogged"]);
  });

  test("what was before the pins is only what the first pinned epoch names", async () => {
    const torn = FixtureLog.create();
    await torn.add();
    await torn.add({ change: { previous: "ab".repeat(32) } });
    const pins = { ...torn.pins, minimumEpoch: 2 };
    expect(said(await walk(serving(torn), { pins }))).toEqual(["1 broken-chain"]);
  });

  test("new keys that no epoch announced are not believed", async () => {
    const rotating = FixtureLog.create();
    await rotating.add();
    await rotating.add({ signers: newSigners() });
    const walked = await walk(serving(rotating), { pins: rotating.pins });
    expect(walked.epochs[1]?.refusal && refusalOf(walked.epochs[1].refusal)).toMatch(
      /^(?:wrong-auditor-key|bad-auditor-signature)$/,
    );
    expect(said(walked)).toContain("0 wrong-log-key");
  });
});

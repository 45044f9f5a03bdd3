/** Must show 4 of the client's part: every refusal with its own reason, and what is remembered of each. */
import { describe, expect, test } from "vitest";
import { formatCheckpoint } from "../../src/merkle/checkpoint.ts";
import { formatNote, signNote } from "../../src/merkle/note.ts";
import { formatTlogProof } from "../../src/merkle/tlog-proof.ts";
import { leafHash } from "../../src/merkle/tree.ts";
import { verifierKey } from "../../src/merkle/vkey.ts";
import { catchUp } from "../../src/trust/catch-up.ts";
import { REFUSALS, refusalOf } from "../../src/trust/refusal.ts";
import {
  type Advance,
  advance,
  decodeTrustState,
  encodeTrustState,
  follow,
  keysFor,
  type TrustState,
} from "../../src/trust/state.ts";
import { verifyBundle } from "../../src/trust/verify-bundle.ts";
import { decodeBundle, encodeBundle, logEntry } from "../../src/wire/bundle.ts";
import { FixtureLog, fixtureFleet, newSigners, type Tampering, tampered } from "../support/log-fixture.ts";
import { EdSigner, OperatorSigner } from "../support/signers.ts";

const now = Date.now();
const log = await FixtureLog.of(3, { witnesses: 2 });
const nowhere = async (): Promise<undefined> => undefined;

const offer = (bytes: Uint8Array, state?: TrustState, pins = log.pins): Promise<Advance> =>
  catchUp(bytes, { pins, state, now, bundleOf: nowhere });

async function seen(epoch: number): Promise<TrustState> {
  const { state, refusal } = await offer(log.epoch(epoch).bytes);
  if (!state || refusal) throw refusal ?? new Error("nothing was believed");
  return state;
}

const AFTER_NEWEST: readonly Tampering[] = ["older-epoch", "equivocation", "broken-chain", "forked-log"];
const BEFORE: readonly Tampering[] = (Object.keys(REFUSALS) as Tampering[]).filter(
  (reason) => !AFTER_NEWEST.includes(reason) && !["below-minimum", "evidence-mismatch"].includes(reason),
);

test("a genuine bundle is believed, with what was learnt of it", async () => {
  const { epoch, digest, announcement } = log.newest;
  const { state, refusal } = await offer(log.newest.bytes);
  expect(refusal).toBeUndefined();
  expect(state).toMatchObject({ epoch, digest, keys: announcement.keys, proofs: [] });
  expect(state?.checkpoint).toMatchObject({ origin: log.origin, size: 3 });
  const verified = await verifyBundle(log.newest.bytes, { keys: log.pins.keys, pins: log.pins });
  expect(verified.witnesses).toEqual(log.witnesses);
});

describe("with the epoch before seen", () => {
  test.each(BEFORE)("%s is refused as such", async (reason) => {
    const before = await seen(2);
    const bytes = await tampered(log, reason);
    const { state, refusal } = await offer(bytes, before);
    expect(refusalOf(refusal)).toBe(reason);
    // What has expired is genuine, and nothing older may come after it.
    expect(state?.epoch).toBe(reason === "expired" ? decodeBundle(bytes).audit.epoch : 2);
    expect(state?.proofs).toEqual([]);
  });
});

describe("with the newest epoch seen", () => {
  test.each(AFTER_NEWEST)("%s is refused as such", async (reason) => {
    const before = await seen(3);
    const bytes = await tampered(log, reason);
    const { state, refusal } = await offer(bytes, before);
    expect(refusalOf(refusal)).toBe(reason);
    expect(state).toMatchObject({ epoch: 3, digest: before.digest });
    const proofs =
      reason === "older-epoch" ? [] : [{ reason, first: before.bundle, second: decodeBundle(bytes) }];
    expect(state?.proofs).toEqual(proofs);
    // Both bundles of a proof are genuine for anybody who has the keys.
    for (const { second } of state?.proofs ?? [])
      await verifyBundle(encodeBundle(second), { keys: log.pins.keys, pins: log.pins });
  });

  test("a proof is kept once, survives being stored, and later epochs", async () => {
    const bytes = await tampered(log, "equivocation");
    const first = await offer(bytes, await seen(3));
    const again = await offer(bytes, first.state);
    expect(again.state).toBe(first.state);
    if (!again.state) throw new Error("no state");
    const stored = decodeTrustState(encodeTrustState(again.state));
    expect(stored).toEqual(again.state);
    const longer = log.fork(3);
    await longer.add();
    const { state, refusal } = await offer(longer.newest.bytes, stored);
    expect([refusal, state?.epoch, state?.proofs.length]).toEqual([undefined, 4, 1]);
  });

  test("the same one again changes nothing", async () => {
    const before = await seen(3);
    expect(await offer(log.newest.bytes, before)).toEqual({ state: before });
  });
});

test("an epoch below the app's minimum is refused even if nothing newer was seen", async () => {
  const { state, refusal } = await offer(log.epoch(2).bytes, undefined, { ...log.pins, minimumEpoch: 3 });
  expect([state, refusalOf(refusal)]).toEqual([undefined, "below-minimum"]);
});

test("an update of the app with a higher minimum brings its own keys, and forgets no epoch", async () => {
  const pins = { ...log.pins, minimumEpoch: 3, keys: FixtureLog.create().keysOf(newSigners()) };
  const before = await seen(2);
  expect(keysFor(before, pins, 3)).toEqual(pins.keys);
  expect(keysFor(await seen(3), pins, 4)).toEqual(log.newest.announcement.keys);
  expect(refusalOf((await offer(log.epoch(1).bytes, before, pins)).refusal)).toBe("below-minimum");
});

test("a witness that is not pinned does not count", async () => {
  const [first = ""] = log.witnesses;
  const pins = { ...log.pins, witnesses: [first], witnessQuorum: 1 };
  expect((await verifyBundle(log.newest.bytes, { keys: pins.keys, pins })).witnesses).toEqual([first]);
  await expect(
    verifyBundle(log.newest.bytes, { keys: pins.keys, pins: { ...pins, witnessQuorum: 2 } }),
  ).rejects.toMatchObject({ details: { reason: "too-few-witnesses" } });
});

test("of one witness key under two names only one counts", async () => {
  const alias = await FixtureLog.of(1, { witnesses: 2, oneWitnessKey: true });
  const { keys } = alias.pins;
  const verified = (witnessQuorum: number) =>
    verifyBundle(alias.newest.bytes, { keys, pins: { ...alias.pins, witnessQuorum } });
  expect((await verified(1)).witnesses).toEqual(alias.witnesses);
  await expect(verified(2)).rejects.toMatchObject({ details: { reason: "too-few-witnesses" } });
});

test("the genuine proof of another epoch proves nothing", async () => {
  const bytes = encodeBundle({ ...log.newest.bundle, proof: log.epoch(2).bundle.proof });
  expect(refusalOf((await offer(bytes)).refusal)).toBe("unlogged");
  const empty = encodeBundle({ ...log.newest.bundle, proof: "" });
  expect(refusalOf((await offer(empty)).refusal)).toBe("unlogged");
});

test("an epoch at another one's place in the log is not logged", async () => {
  const { bundle } = log.newest;
  const root = leafHash(logEntry(bundle.audit, bundle.countersignature));
  const text = formatCheckpoint({ origin: log.origin, size: 1, root });
  const key = verifierKey("note", log.origin, log.signers.log.publicKey);
  const checkpoint = formatNote({ text, signatures: [await signNote(text, key, log.signers.log.sign)] });
  const bytes = encodeBundle({ ...bundle, proof: formatTlogProof({ index: 0, path: [], checkpoint }) });
  const pins = { ...log.pins, witnesses: [], witnessQuorum: 0 };
  expect(refusalOf((await offer(bytes, undefined, pins)).refusal)).toBe("unlogged");
});

test("an older epoch is refused by whoever walks on his own, too", async () => {
  const verified = await verifyBundle(log.epoch(1).bytes, { keys: log.pins.keys, pins: log.pins });
  const { state, refusal } = advance(await seen(2), log.pins, verified, now);
  expect([state?.epoch, refusalOf(refusal)]).toEqual([2, "older-epoch"]);
});

test("what is stored is read strictly", async () => {
  const bytes = encodeTrustState(await seen(3));
  const text = new TextDecoder().decode(bytes);
  for (const damaged of [
    text.slice(0, -3),
    text.replace('"epoch": 3', '"epoch": 4'),
    text.replace('"proofs"', '"prooves"'),
    text.replace('"type"', '"more": 1, "type"'),
  ])
    expect(() => decodeTrustState(new TextEncoder().encode(damaged))).toThrow(/trust state/);
});

describe("a rotation of keys", async () => {
  // 1: old keys. 2 and 3 announce old and new. 4 is signed by the new, and announces them alone. 5 follows.
  const rotated = FixtureLog.create();
  const old = rotated.signers;
  let auditor = new EdSigner();
  while (auditor.hex.slice(-2) === old.auditor.hex.slice(-2)) auditor = new EdSigner();
  const fresh = { auditor, operator: new OperatorSigner(), log: new EdSigner() };
  const fleets = [fixtureFleet("fleet-1")];
  await rotated.add({ fleets });
  await rotated.add({ keys: rotated.keysOf(old, fresh) });
  await rotated.add();
  await rotated.add({ keys: rotated.keysOf(fresh), signers: fresh });
  await rotated.add();
  const { pins } = rotated;
  const bundleOf = async (epoch: number): Promise<Uint8Array | undefined> => rotated.epochs[epoch - 1]?.bytes;
  const to5 = (state?: TrustState, from = bundleOf): Promise<Advance> =>
    catchUp(rotated.newest.bytes, { pins, state, now, bundleOf: from });

  test("is walked from the pins alone, epoch by epoch", async () => {
    const { state, refusal } = await to5();
    expect([refusal, state?.epoch, state?.keys]).toEqual([undefined, 5, rotated.keysOf(fresh)]);
  });

  test("stays unbelieved where an epoch between is withheld", async () => {
    const { state, refusal } = await to5(undefined, async (epoch) =>
      epoch === 2 ? undefined : bundleOf(epoch),
    );
    expect([state?.epoch, refusalOf(refusal)]).toEqual([1, "wrong-auditor-key"]);
  });

  test("stays unbelieved where an epoch between is another one, or another history's", async () => {
    const wrong = await to5(undefined, async (epoch) => (epoch === 2 ? bundleOf(3) : bundleOf(epoch)));
    expect(refusalOf(wrong.refusal)).toBe("malformed");
    const liar = rotated.fork(1);
    liar.signers = old;
    await liar.add({ keys: rotated.keysOf(old, fresh), change: { validUntil: Date.now() + 1e9 } });
    const lied = await to5(undefined, async (epoch) => (epoch === 2 ? liar.newest.bytes : bundleOf(epoch)));
    expect(refusalOf(lied.refusal)).toBe("broken-chain");
    expect(lied.state?.proofs.length).toBe(1);
  });

  test("ends the trust in the old keys", async () => {
    const { state } = await to5();
    const liar = rotated.fork(5);
    liar.signers = old;
    await liar.add({ keys: rotated.keysOf(old) });
    const { refusal } = await catchUp(liar.newest.bytes, { pins, state, now, bundleOf });
    expect(refusalOf(refusal)).toBe("wrong-auditor-key");
  });

  test("does not hide a second version of the epoch that was verified under the old keys", async () => {
    const options = { pins, now, bundleOf };
    const four = await catchUp((await bundleOf(4)) ?? new Uint8Array(), { ...options, state: undefined });
    expect(four.state?.epoch).toBe(4);
    const liar = rotated.fork(3);
    liar.signers = old;
    await liar.add({ keys: rotated.keysOf(old) });
    const { refusal, state } = await catchUp(liar.newest.bytes, { ...options, state: four.state });
    expect([refusalOf(refusal), state?.proofs.length]).toEqual(["equivocation", 1]);
  });

  test("takes no epoch under keys that it only announces itself", async () => {
    const own = await FixtureLog.of(1);
    const step = verifyBundle(own.newest.bytes, { keys: pins.keys, pins });
    await expect(step).rejects.toMatchObject({ code: "bundle-refused" });
    const verified = await verifyBundle(own.newest.bytes, { keys: own.pins.keys, pins: own.pins });
    const foreign = { ...pins, namespace: "elsewhere.example" };
    expect(refusalOf(follow(undefined, foreign, verified).refusal)).toBe("wrong-namespace");
  });
});

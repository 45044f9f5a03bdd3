/** Proofs of lies: true for whoever has the pins, and worth nothing once anything of them was made up. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import {
  type Contradiction,
  contradictionName,
  decodeContradiction,
  encodeContradiction,
  verifyContradiction,
} from "../../src/trust/contradiction.ts";
import type { TrustSource } from "../../src/trust/source.ts";
import { walkLog } from "../../src/trust/walk.ts";
import { FixtureLog } from "../support/log-fixture.ts";

const log = await FixtureLog.of(3);
const { pins } = log;
const now = Date.now();

const serving = (from: FixtureLog): TrustSource => {
  const files = from.files();
  return { get: async (path) => files.get(path) };
};

/** What a monitor that has seen one story finds in another. */
async function found(seen: FixtureLog, shown: FixtureLog): Promise<readonly Contradiction[]> {
  const before = await walkLog(serving(seen), { pins, now });
  const walked = await walkLog(serving(shown), { pins, now, seen: before?.state });
  return walked?.contradictions ?? [];
}

const other = log.fork(2);
await other.add({ change: { createdAt: log.newest.announcement.createdAt + 1 } });
const longer = log.fork(1);
await longer.add();
await longer.add();

const [equivocation, sameSize] = await found(log, other);
const [, otherSize] = await found(log.fork(2), longer);
const torn: Contradiction | undefined = equivocation && {
  ...equivocation,
  reason: "broken-chain",
  first: { bundle: longer.epoch(2).bundle },
  second: { bundle: log.epoch(3).bundle },
};
const ALL = [
  ["an epoch that was announced twice", equivocation],
  ["two heads of one size", sameSize],
  ["two heads of other sizes", otherSize],
  ["an epoch that does not follow", torn],
] as const;

const given = (contradiction: Contradiction | undefined): Contradiction => {
  if (!contradiction) throw new Error("there was no contradiction");
  return contradiction;
};

describe.each(ALL)("%s", (_, contradiction) => {
  test("is proved to whoever reads the file, and has one name", async () => {
    const read = decodeContradiction(encodeContradiction(given(contradiction)));
    expect(read).toEqual(contradiction);
    await verifyContradiction(read, pins);
    expect(contradictionName(read)).toBe(contradictionName(given(contradiction)));
  });

  test("is no proof against others", async () => {
    const stranger = { ...FixtureLog.create().pins, namespace: pins.namespace };
    await expect(verifyContradiction(given(contradiction), stranger)).rejects.toMatchObject({
      code: "bundle-refused",
    });
    const elsewhere = { ...pins, namespace: "other.example" };
    await expect(verifyContradiction(given(contradiction), elsewhere)).rejects.toMatchObject({
      details: { reason: "wrong-namespace" },
    });
  });

  test("is no proof if both sides say the same, or for another reason", async () => {
    const { first, reason } = given(contradiction);
    const { leaves: _leaves, ...same } = { ...given(contradiction), second: first };
    await expect(verifyContradiction(same, pins)).rejects.toMatchObject({ code: "decode-failed" });
    const otherReason = reason === "broken-chain" ? "equivocation" : "broken-chain";
    await expect(
      verifyContradiction({ ...given(contradiction), reason: otherReason }, pins),
    ).rejects.toMatchObject({ code: "decode-failed" });
  });
});

test("a log that only grew is no fork, whatever leaves are named", async () => {
  const grown: Contradiction = {
    ...given(otherSize),
    first: { checkpoint: log.checkpoint(2) },
    second: { checkpoint: log.checkpoint(3) },
  };
  const { leaves: _leaves, ...without } = grown;
  for (const claim of [grown, without])
    await expect(verifyContradiction(claim, pins)).rejects.toMatchObject({ code: "decode-failed" });
});

test("a signature that was made up proves nothing", async () => {
  const { first } = given(equivocation);
  if (!("bundle" in first)) throw new Error("no bundle");
  const { bundle } = first;
  const forged = { ...bundle.audit, timestamp: bundle.audit.timestamp + 1 };
  const claim: Contradiction = { ...given(equivocation), second: { audit: forged } };
  await expect(verifyContradiction(claim, pins)).rejects.toMatchObject({ code: "bundle-refused" });
});

test("what is no proof is said to be none", () => {
  expect(() => decodeContradiction(utf8("not JSON"))).toThrow(
    expect.objectContaining({ code: "decode-failed" }),
  );
  const more = { ...given(equivocation), more: true };
  expect(() => decodeContradiction(utf8(JSON.stringify(more)))).toThrow(
    expect.objectContaining({ code: "decode-failed" }),
  );
});

/** Guard entries on disk: one encoding, nothing but what was written comes back, golden bytes. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, framed, fromHex } from "../../src/base/bytes.ts";
import { sha256Of } from "../../src/base/node/sha256.ts";
import { decodeGuardEntry, encodeGuardEntry } from "../../src/fleet/guard-codec.ts";
import type { GuardEntry } from "../../src/fleet/guard-rules.ts";
import { encodeCbor } from "../../src/wire/cbor.ts";
import { code } from "../support/codes.ts";

const ID = Uint8Array.from({ length: 32 }, (_, i) => i);
const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

const GOLDEN: GuardEntry = {
  generation: 3,
  policy: hash(1),
  base: 40,
  floor: 43,
  used: [
    { seq: 42, element: hash(2) },
    { seq: 44, element: hash(3) },
  ],
  spent: [
    { token: hash(4), seq: 0, until: 1_790_000_000_000 },
    { token: hash(5), seq: 44, until: 1_790_000_615_000 },
  ],
};

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const MAX = Number.MAX_SAFE_INTEGER;

const anyEntry: fc.Arbitrary<GuardEntry> = fc
  .record(
    {
      generation: fc.integer({ min: 1, max: MAX }),
      policy: bytes32,
      base: fc.oneof(fc.nat(100), fc.integer({ min: 0, max: MAX - 100 })),
      floor: fc.oneof(fc.nat(100), fc.integer({ min: 0, max: MAX })),
      used: fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 100 }), bytes32), {
        maxLength: 100,
        selector: ([above]) => above,
      }),
      spent: fc.array(
        fc.record(
          { token: bytes32, seq: fc.nat(), until: fc.integer({ min: 0, max: MAX }) },
          { noNullPrototype: true },
        ),
        { maxLength: 256 },
      ),
    },
    { noNullPrototype: true },
  )
  .map(({ used, ...rest }) => ({
    ...rest,
    used: used.sort(([a], [b]) => a - b).map(([above, element]) => ({ seq: rest.base + above, element })),
  }));

/** What somebody would write who knows the format and breaks its rules. */
function forged(entry: object): Uint8Array {
  const cbor = encodeCbor(entry);
  const digest = sha256Of(framed("strongroom/guard/v1", ID, cbor));
  return concat(Uint8Array.of(1), cbor, Uint8Array.from(digest.subarray(0, 16)));
}

test("an entry has the bytes that were written down for it", () => {
  const hex = readFileSync(new URL("../vectors/guard-entry-v1.hex", import.meta.url), "utf8");
  const golden = fromHex(hex.replaceAll("\n", ""));
  expect(encodeGuardEntry(ID, GOLDEN)).toStrictEqual(golden);
  expect(decodeGuardEntry(ID, golden)).toStrictEqual(GOLDEN);
});

test("entries come back as they were written", () => {
  fc.assert(
    fc.property(anyEntry, bytes32, (entry, id) => {
      expect(decodeGuardEntry(id, encodeGuardEntry(id, entry))).toStrictEqual(entry);
    }),
  );
});

describe("nothing else is an entry", () => {
  const encoded = encodeGuardEntry(ID, GOLDEN);

  test("any bit flipped, any other length", () => {
    const mutants = [
      ...Array.from({ length: encoded.length * 8 }, (_, bit) =>
        encoded.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
      ),
      ...Array.from({ length: encoded.length }, (_, length) => encoded.slice(0, length)),
      concat(encoded, new Uint8Array(1)),
    ];
    const accepted = mutants.filter((mutant) => {
      try {
        decodeGuardEntry(ID, mutant);
        return true;
      } catch (error) {
        expect(error).toMatchObject({ code: "record-corrupt" });
        return false;
      }
    });
    expect(accepted).toStrictEqual([]);
  });

  test("another record's", () => {
    expect(() => decodeGuardEntry(hash(9), encoded)).toThrow(code("record-corrupt"));
  });

  const [first, second] = GOLDEN.used;
  test.each<[string, object]>([
    ["no generation", { ...GOLDEN, generation: 0 }],
    ["a used attempt at the base", { ...GOLDEN, used: [{ seq: 40, element: hash(2) }] }],
    ["a used attempt far above the base", { ...GOLDEN, used: [{ seq: 141, element: hash(2) }] }],
    ["used attempts out of order", { ...GOLDEN, used: [second, first] }],
    ["an attempt twice", { ...GOLDEN, used: [first, first] }],
    ["a short hash", { ...GOLDEN, policy: new Uint8Array(31) }],
    ["a negative number", { ...GOLDEN, floor: -1 }],
    ["too many tokens", { ...GOLDEN, spent: Array.from({ length: 257 }, () => GOLDEN.spent[0]) }],
    ["another field", { ...GOLDEN, more: 1 }],
    ["a field less", { ...GOLDEN, floor: undefined }],
  ])("%s", (_, broken) => {
    const entry = Object.fromEntries(Object.entries(broken).filter(([, value]) => value !== undefined));
    expect(() => decodeGuardEntry(ID, forged(entry))).toThrow(code("record-corrupt"));
    expect(() => encodeGuardEntry(ID, entry as unknown as GuardEntry)).toThrow(code("internal"));
  });

  test("what is not deterministic CBOR", () => {
    const cbor = Uint8Array.of(0xbf, 0xff);
    const digest = sha256Of(framed("strongroom/guard/v1", ID, cbor));
    const bytes = concat(Uint8Array.of(1), cbor, Uint8Array.from(digest.subarray(0, 16)));
    expect(() => decodeGuardEntry(ID, bytes)).toThrow(code("record-corrupt"));
  });
});

/** Codecs of records and cookies: what goes in comes out, and nothing else opens. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equal } from "../../src/base/bytes.ts";
import { type ErrorCode, isStrongroomError } from "../../src/base/errors.ts";
import { cookieKeyStep, openCookie, type RegisterCookie, sealCookie } from "../../src/vault/cookie.ts";
import { decodeRecord, encodedRecordBytes, encodeRecord } from "../../src/vault/record-codec.ts";
import { openRecord, recordKeyStep, saltOf, sealRecord } from "../../src/vault/record-seal.ts";
import { code } from "../support/codes.ts";
import { anyRecord, randomId, recordHmac } from "../support/records.ts";

const salt = new Uint8Array(16).fill(3);

/** The mutants of `bytes` that `open` does not refuse with `expected`; named, so that a failure says which. */
function accepted(bytes: Uint8Array, expected: string, open: (mutant: Uint8Array) => unknown): string[] {
  const found: string[] = [];
  const probe = (name: string, mutant: Uint8Array): void => {
    try {
      open(mutant);
      found.push(name);
    } catch (error) {
      if (!isStrongroomError(error, expected as ErrorCode)) found.push(`${name}: ${String(error)}`);
    }
  };
  for (let bit = 0; bit < bytes.length * 8; bit++) probe(`bit ${bit}`, withBitFlipped(bytes, bit));
  for (let length = 0; length < bytes.length; length++) probe(`length ${length}`, bytes.slice(0, length));
  probe("one byte more", Uint8Array.of(...bytes, 0));
  return found;
}

function withBitFlipped(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}

/** Opens as the executor does: the salt in the bytes chooses the key. */
function reopen(sealed: Uint8Array, id: Uint8Array): unknown {
  const found = saltOf(sealed, 1);
  return openRecord(sealed, { id, shareCount: 1, key: recordHmac(recordKeyStep(id, found).data) });
}

function sample(id: Uint8Array, record = fc.sample(anyRecord(1), { numRuns: 1, seed: 5 })[0]): Uint8Array {
  if (!record) throw new Error("no sample");
  return sealRecord(record, salt, { id, shareCount: 1, key: recordHmac(recordKeyStep(id, salt).data) });
}

describe("records", () => {
  test.each([1, 3, 10])("come back as they were written, all of one size (%i shares)", (shareCount) => {
    fc.assert(
      fc.property(anyRecord(shareCount), (record) => {
        const encoded = encodeRecord(record, shareCount);
        expect(encoded.length).toBe(encodedRecordBytes(shareCount));
        expect(decodeRecord(encoded, shareCount)).toStrictEqual(record);
      }),
    );
  });

  test("survive sealing, and never look the same twice", () => {
    fc.assert(
      fc.property(anyRecord(1), (record) => {
        const id = randomId();
        const sealed = sample(id, record);
        expect(reopen(sealed, id)).toStrictEqual(record);
        expect(sample(id, record)).not.toStrictEqual(sealed);
      }),
    );
  });

  test("are refused with any bit flipped and at any other length", () => {
    const id = randomId();
    const sealed = sample(id);
    expect(accepted(sealed, "record-corrupt", (mutant) => reopen(mutant, id))).toStrictEqual([]);
  });

  test("are refused under another id", () => {
    const id = randomId();
    const key = recordHmac(recordKeyStep(id, salt).data);
    expect(() => openRecord(sample(id), { id: randomId(), shareCount: 1, key })).toThrow(
      code("record-corrupt"),
    );
  });

  test("have one encoding: a flipped bit in plain text is refused or another record", () => {
    const record = fc.sample(anyRecord(1), { numRuns: 20, seed: 1 }).find((one) => one.state === "active");
    if (!record) throw new Error("no active sample");
    const encoded = encodeRecord(record, 1);
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const flipped = withBitFlipped(encoded, bit);
      let decoded: ReturnType<typeof decodeRecord>;
      try {
        decoded = decodeRecord(flipped, 1);
      } catch (error) {
        if (isStrongroomError(error, "record-corrupt")) continue;
        throw error;
      }
      // Canonical: one value, one encoding.
      if (!equal(encodeRecord(decoded, 1), flipped)) expect.fail(`bit ${bit}`);
    }
  });
});

describe("cookies", () => {
  const anyCookie: fc.Arbitrary<RegisterCookie> = anyRecord(1).chain((record) =>
    record.registration
      ? fc.constant({
          generation: record.generation,
          shares: record.registration.shares,
          receiptPublicKey: record.registration.receiptPublicKey,
          maxAttempts: record.registration.maxAttempts,
          expiresAt: record.updatedAt,
        })
      : fc.constant({
          generation: 1,
          shares: [
            {
              share: 0,
              mechanism: 0x210a,
              wrapped: new Uint8Array(80),
              publicKey: new Uint8Array(65),
              tag: new Uint8Array(32),
            },
          ],
          receiptPublicKey: new Uint8Array(33),
          maxAttempts: 10,
          expiresAt: 0,
        }),
  );
  const key = recordHmac(cookieKeyStep("register", salt).data);
  const id = randomId();

  test("come back as they were sealed", () => {
    fc.assert(
      fc.property(anyCookie, (cookie) => {
        expect(openCookie("register", sealCookie(cookie, salt, key, id), key, id)).toStrictEqual(cookie);
      }),
    );
  });

  const [first] = fc.sample(anyCookie, { numRuns: 1, seed: 2 });
  if (!first) throw new Error("no sample");
  const sealed = sealCookie(first, salt, key, id);
  const reopenCookie = (bytes: Uint8Array): unknown =>
    openCookie("register", bytes, recordHmac(cookieKeyStep("register", bytes.slice(1, 17)).data), id);

  test("are refused with any bit flipped and at any other length", () => {
    expect(accepted(sealed, "invalid-request", reopenCookie)).toStrictEqual([]);
    expect(reopenCookie(sealed)).toStrictEqual(first);
  });

  test("are refused for another purpose and another account", () => {
    const other = recordHmac(cookieKeyStep("recover", salt).data);
    expect(() => openCookie("recover", sealed, other, id)).toThrow(code("invalid-request"));
    expect(() => openCookie("recover", sealed, key, id)).toThrow(code("invalid-request"));
    expect(() => openCookie("register", sealed, key, randomId())).toThrow(code("invalid-request"));
  });
});

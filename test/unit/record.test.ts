/** The stored form of a record: golden bytes, sizes, and every rule that a decoded record must keep. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromHex, toHex, uintBE } from "../../src/base/bytes.ts";
import { sealCookie } from "../../src/vault/cookie.ts";
import type { Registration, Share, VaultRecord } from "../../src/vault/record.ts";
import { decodeRecord, encodedRecordBytes, encodeRecord } from "../../src/vault/record-codec.ts";
import { sealRecord } from "../../src/vault/record-seal.ts";
import { encodeCbor } from "../../src/wire/cbor.ts";
import { LONGEST_REQUEST_BYTES, MAX_ACCOUNT_TOKEN_BYTES } from "../../src/wire/limits.ts";
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  type RegisterFinish,
} from "../../src/wire/messages.ts";

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

const registration: Registration = {
  shares: [{ share: 0, mechanism: 0x210a, wrapped: fill(80, 1), publicKey: fill(65, 2), tag: fill(32, 3) }],
  registrationRecord: fill(129, 4),
  sealedBackupKey: fill(60, 5),
  sealedReceiptKey: fill(60, 6),
  receiptPublicKey: fill(33, 7),
  maxAttempts: 10,
  seq: 5,
  base: 2,
  lastReceipt: fill(64, 8),
  lastAttempt: fill(32, 9),
  lastAttemptAt: 1_790_000_000_000,
  registeredAt: 1_780_000_000_000,
};

const active: VaultRecord = {
  version: 1,
  state: "active",
  generation: 3,
  registration,
  budgetAt: 1_790_000_100_000,
  writeIds: [fill(16, 10), fill(16, 11)],
  updatedAt: 1_790_000_000_001,
};

const longestShares = (count: number): readonly Share[] =>
  Array.from({ length: count }, (_, share) => ({
    share,
    mechanism: 0xffff_ffff,
    wrapped: fill(256, 1),
    publicKey: fill(65, 2),
    tag: fill(32, 3),
  }));

/** Version, key id, encapsulated key and tag. */
const ENVELOPE_BYTES = 1 + 8 + 65 + 16;

/** A record as it would be stored, with what the encoder would never write. */
function encoded(record: object): Uint8Array {
  const cbor = encodeCbor(record);
  const out = new Uint8Array(encodedRecordBytes(1));
  out.set(uintBE(cbor.length, 4));
  out.set(cbor, 4);
  return out;
}

const corrupt = expect.objectContaining({ code: "record-corrupt" });

test.each([
  ["record-v1", active],
  ["record-v1-earlier", { ...active, registration: { ...registration, earlier: fill(12, 12) } }],
] as const)("the encoding is the golden one, byte for byte: %s", (name, record) => {
  const golden = readFileSync(new URL(`../vectors/${name}.hex`, import.meta.url), "utf8").replace(/\s/g, "");
  const bytes = encodeRecord(record, 1);
  expect(toHex(bytes).replace(/(00)+$/, "")).toBe(golden);
  const padded = new Uint8Array(bytes.length);
  padded.set(fromHex(golden));
  expect(decodeRecord(padded, 1)).toStrictEqual(record);
});

describe("size", () => {
  const { registration: _, ...rest } = active;
  const states: VaultRecord[] = [
    active,
    { ...rest, state: "destroyed" },
    { ...rest, state: "deleted" },
    { ...rest, state: "vacant", generation: 0, writeIds: [] },
  ];

  test.each([1, 3, 10, 35])("is one for all states in a fleet with %i shares", (shareCount) => {
    const context = { key: fill(32, 1), id: fill(32, 2), shareCount };
    const sizes = states.map((record) => sealRecord(record, fill(16, 3), context).length);
    expect(new Set(sizes).size).toBe(1);
  });

  test.each([1, 3, 5, 7, 10, 21, 35])("has room for the longest record with %i shares", (shareCount) => {
    const max = Number.MAX_SAFE_INTEGER;
    const longest: VaultRecord = {
      ...active,
      generation: max,
      budgetAt: max,
      updatedAt: max,
      writeIds: Array.from({ length: 16 }, () => fill(16, 1)),
      registration: {
        ...registration,
        shares: longestShares(shareCount),
        maxAttempts: 0xffff_ffff,
        seq: max,
        base: max,
        earlier: fill(54, 12),
        lastAttemptAt: max,
        registeredAt: max,
      },
    };
    expect(decodeRecord(encodeRecord(longest, shareCount), shareCount)).toStrictEqual(longest);
  });

  test.each([1, 3, 10, 35])("has room for the longest cookie with %i shares, on both ways", (shareCount) => {
    const max = Number.MAX_SAFE_INTEGER;
    const shares = longestShares(shareCount);
    const contents = {
      generation: max,
      shares,
      receiptPublicKey: fill(33, 1),
      maxAttempts: 0xffff_ffff,
      expiresAt: max,
    };
    const cookie = sealCookie(contents, fill(16, 1), fill(32, 2), fill(32, 3));
    const started = { evaluatedElement: fill(33, 1), serverPublicKey: fill(33, 2), cookie };
    expect(decodeAnswer("register-start", encodeAnswer(started))).toEqual(started);
    const finish: RegisterFinish = {
      op: "register-finish",
      accountToken: "x".repeat(MAX_ACCOUNT_TOKEN_BYTES),
      cookie,
      registrationRecord: fill(129, 4),
      sealedBackupKey: fill(60, 5),
      sealedReceiptKey: fill(60, 6),
    };
    const request = encodeRequest(finish);
    expect(decodeRequest(request)).toEqual(finish);
    expect(request.length + ENVELOPE_BYTES).toBeLessThanOrEqual(LONGEST_REQUEST_BYTES);
  });

  test("one share fits a record of 1.5 KiB, so that LMDB keeps two to a page", () => {
    expect(encodedRecordBytes(1)).toBe(1536);
    expect(encodedRecordBytes(3) % 1024).toBe(0);
  });
});

describe("refused", () => {
  const broken: readonly (readonly [string, object])[] = [
    ["an unknown field", { ...active, extra: 1 }],
    ["an unknown field of the registration", { ...active, registration: { ...registration, extra: 1 } }],
    ["another version", { ...active, version: 2 }],
    ["an unknown state", { ...active, state: "frozen" }],
    ["active without registration", { ...active, registration: undefined }],
    ["destroyed with registration", { ...active, state: "destroyed" }],
    ["vacant with a generation", { ...active, state: "vacant", registration: undefined }],
    ["active in generation 0", { ...active, generation: 0 }],
    ["seventeen write ids", { ...active, writeIds: Array.from({ length: 17 }, () => fill(16, 1)) }],
    ["a short write id", { ...active, writeIds: [fill(15, 1)] }],
    ["a negative time", { ...active, updatedAt: -1 }],
    ["a fraction", { ...active, generation: 1.5 }],
    ["no share", { ...active, registration: { ...registration, shares: [] } }],
    [
      "a share twice",
      {
        ...active,
        registration: { ...registration, shares: [...registration.shares, ...registration.shares] },
      },
    ],
    ["more successes than attempts", { ...active, registration: { ...registration, base: 6 } }],
    ["more attempts than allowed", { ...active, registration: { ...registration, seq: 13 } }],
    ["success without receipt", { ...active, registration: { ...registration, lastReceipt: fill(0, 0) } }],
    ["no earlier attempt", { ...active, registration: { ...registration, earlier: fill(0, 0) } }],
    ["part of an earlier attempt", { ...active, registration: { ...registration, earlier: fill(7, 0) } }],
    ["too many earlier attempts", { ...active, registration: { ...registration, earlier: fill(60, 0) } }],
    ["attempt without hash", { ...active, registration: { ...registration, lastAttempt: fill(0, 0) } }],
    [
      "a short share tag",
      {
        ...active,
        registration: { ...registration, shares: [{ ...registration.shares[0], tag: fill(31, 3) }] },
      },
    ],
  ];

  test.each(broken)("%s", (_, record) => {
    const { registration: inner, ...rest } = record as VaultRecord;
    expect(() => decodeRecord(encoded(inner ? { ...rest, registration: inner } : rest), 1)).toThrow(corrupt);
    expect(() => encodeRecord(record as VaultRecord, 1)).toThrow(
      expect.objectContaining({ code: "internal" }),
    );
  });

  test("a length beyond the end, and bytes in the padding", () => {
    const bytes = encodeRecord(active, 1);
    const long = Uint8Array.from(bytes);
    long.set(uintBE(bytes.length - 3, 4));
    expect(() => decodeRecord(long, 1)).toThrow(corrupt);
    const padded = Uint8Array.from(bytes);
    padded[bytes.length - 1] = 1;
    expect(() => decodeRecord(padded, 1)).toThrow(corrupt);
  });
});

/** Strict Ed25519: what OpenSSL signs verifies; what RFC 8032 leaves open, or an attacker would make, does not. */
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { describe, expect, test } from "vitest";
import { concat, fromHex, utf8 } from "../../src/base/bytes.ts";
import { verifyEd25519 } from "../../src/crypto/ed25519.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const raw = Uint8Array.from(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"));
const message = utf8("a checkpoint, say");
const signature = Uint8Array.from(sign(null, message, privateKey));
const openssl = (key: Uint8Array, text: Uint8Array, by: Uint8Array): boolean =>
  verify(
    null,
    text,
    createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(key).toString("base64url") },
      format: "jwk",
    }),
    by,
  );
const little = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, at) => Number((value >> BigInt(8 * at)) & 0xffn));
const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;
// A point of order 8, in every publication on the matter.
const TORSION = Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");

test("RFC 8032 §7.1, test 3", () => {
  const key = fromHex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
  const by = fromHex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  );
  expect(verifyEd25519(key, fromHex("af82"), by)).toBe(true);
  expect(verifyEd25519(key, fromHex("af83"), by)).toBe(false);
});

test("a signature by OpenSSL, and not with one bit changed anywhere", () => {
  expect(verifyEd25519(raw, message, signature)).toBe(true);
  for (let at = 0; at < 64; at += 5) {
    const changed = signature.map((byte, i) => (i === at ? byte ^ 4 : byte));
    expect(verifyEd25519(raw, message, changed)).toBe(false);
  }
  expect(
    verifyEd25519(
      raw.map((byte, i) => (i === 3 ? byte ^ 1 : byte)),
      message,
      signature,
    ),
  ).toBe(false);
});

describe("refused", () => {
  test("S that is not reduced", () => {
    const s = signature.slice(32).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    expect(verifyEd25519(raw, message, concat(signature.slice(0, 32), little(s + ORDER)))).toBe(false);
  });
  test("a key of small order, under which everything verifies, by OpenSSL too", () => {
    const identity = little(1n);
    const by = concat(identity, little(0n));
    expect(openssl(identity, message, by)).toBe(true);
    expect(verifyEd25519(identity, message, by)).toBe(false);
  });
  test("R of small order", () => {
    // r = 0: S = k · a, which an owner of the key can make.
    const { scalar } = ed25519.utils.getExtendedPublicKey(new Uint8Array(32).fill(7));
    const key = Point.BASE.multiply(scalar).toBytes();
    const identity = little(1n);
    const hash = challenge(identity, key, message);
    const by = concat(identity, little((hash * scalar) % ORDER));
    expect(openssl(key, message, by)).toBe(true);
    expect(verifyEd25519(key, message, by)).toBe(false);
  });
  test("a key with a part of small order, of which the RFC's two equations say different things", () => {
    const { scalar } = ed25519.utils.getExtendedPublicKey(new Uint8Array(32).fill(7));
    const key = Point.BASE.multiply(scalar).add(TORSION).toBytes();
    const r = 12345n;
    const point = Point.BASE.multiply(r).toBytes();
    const by = concat(point, little((r + challenge(point, key, message) * scalar) % ORDER));
    expect(ed25519.verify(by, message, key, { zip215: true })).toBe(true);
    expect(verifyEd25519(key, message, by)).toBe(false);
  });
  test("y that is not reduced", () => {
    // y = p + 1 is the identity, written otherwise.
    const other = little(2n ** 255n - 18n);
    expect(verifyEd25519(other, message, concat(other, little(0n)))).toBe(false);
  });
  test("lengths that are not its own, without an error", () => {
    expect(verifyEd25519(raw.slice(1), message, signature)).toBe(false);
    expect(verifyEd25519(raw, message, signature.slice(1))).toBe(false);
    expect(verifyEd25519(raw, message, new Uint8Array(0))).toBe(false);
    expect(verifyEd25519(new Uint8Array(32).fill(255), message, signature)).toBe(false);
  });
});

/** k of RFC 8032 §5.1.7, reduced. */
function challenge(point: Uint8Array, key: Uint8Array, text: Uint8Array): bigint {
  const digest = createHash("sha512")
    .update(concat(point, key, text))
    .digest();
  return digest.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n) % ORDER;
}

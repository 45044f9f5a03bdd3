/** The client's keys, boxes and signatures: frozen bytes, RFC 6979, both implementations, tampering. */
import { createECDH, createHmac } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import {
  generateReceiptKeyPair,
  openBackupKey,
  openReceiptKey,
  sealBackupKey,
  sealReceiptKey,
  signReceipt,
  verifySignature as verifyInBrowser,
} from "../../src/crypto/client-keys.ts";
import { expand, extract } from "../../src/crypto/node/hkdf.ts";
import { verifySignature as verifyOnHost } from "../../src/crypto/node/receipts.ts";
import { open, seal } from "../../src/crypto/node/seal.ts";
import { codeOfAsync } from "../support/codes.ts";
import { flipped } from "../support/flipped.ts";
import { loadJson } from "../vectors/rfc.ts";

const golden = loadJson("golden-client-keys.json") as Readonly<Record<string, string>>;
const goldenBytes = (name: string): Uint8Array => fromHex(golden[name] ?? "");

describe("boxes under OPAQUE's export key", () => {
  const exportKey = goldenBytes("exportKey");
  const aad = goldenBytes("aad");
  const secret = goldenBytes("key");

  test("golden boxes open", async () => {
    expect(await openBackupKey(exportKey, goldenBytes("sealedBackupKey"), aad)).toEqual(secret);
    expect(await openReceiptKey(exportKey, goldenBytes("sealedReceiptKey"), aad)).toEqual(secret);
  });

  test("round trip, 60 bytes, a fresh nonce each time", async () => {
    for (const [sealKey, openKey] of [
      [sealBackupKey, openBackupKey],
      [sealReceiptKey, openReceiptKey],
    ] as const) {
      const [one, two] = [await sealKey(exportKey, secret, aad), await sealKey(exportKey, secret, aad)];
      expect(one).toHaveLength(60);
      expect(one.subarray(0, 12)).not.toEqual(two.subarray(0, 12));
      expect(await openKey(exportKey, one, aad)).toEqual(secret);
      expect(await openKey(exportKey, two, aad)).toEqual(secret);
    }
  });

  test("nothing opens for another purpose, account or code, with a changed byte, or at another length", async () => {
    const box = await sealBackupKey(exportKey, secret, aad);
    const refused = [
      () => openReceiptKey(exportKey, box, aad),
      () => openBackupKey(exportKey, box, utf8("another account")),
      () => openBackupKey(flipped(exportKey, 0), box, aad),
      () => openBackupKey(exportKey, box.subarray(0, 59), aad),
      () => openBackupKey(exportKey, concat(box, Uint8Array.of(0)), aad),
      () => openBackupKey(exportKey, new Uint8Array(0), aad),
      ...Array.from(box, (_, at) => () => openBackupKey(exportKey, flipped(box, at), aad)),
    ];
    for (const run of refused) expect(await codeOfAsync(run)).toBe("decrypt-failed");
  });

  test("keys of the wrong size are a bug of the caller", async () => {
    expect(await codeOfAsync(() => sealBackupKey(exportKey, secret.subarray(1), aad))).toBe("internal");
    expect(await codeOfAsync(() => sealBackupKey(exportKey.subarray(1), secret, aad))).toBe("internal");
  });

  test("exported and sealed keys are left as they were", async () => {
    const [a, b] = [Uint8Array.from(exportKey), Uint8Array.from(secret)];
    await openBackupKey(a, await sealBackupKey(a, b, aad), aad);
    expect([a, b]).toEqual([exportKey, secret]);
  });
});

describe("receipts", () => {
  // RFC 6979 A.2.5, P-256 with SHA-256, message "sample".
  const privateKey = fromHex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
  const r = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
  const s = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
  const sample = utf8("sample");
  const publicKey = p256.getPublicKey(privateKey);

  test("RFC 6979 A.2.5: the signature, in low-s form", () => {
    const low = (p256.Point.Fn.ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, "0");
    expect(toHex(signReceipt(privateKey, sample))).toBe(r + low);
    for (const verify of [verifyOnHost, verifyInBrowser]) {
      expect(verify(publicKey, sample, fromHex(r + s))).toBe(true);
      expect(verify(publicKey, sample, fromHex(r + low))).toBe(true);
    }
  });

  test("host and browser agree, for compressed and whole keys", () => {
    for (let i = 0; i < 20; i++) {
      const pair = generateReceiptKeyPair();
      expect([pair.privateKey.length, pair.publicKey.length]).toEqual([32, 33]);
      const message = utf8(`message ${i}`);
      const signature = signReceipt(pair.privateKey, message);
      const ecdh = createECDH("prime256v1");
      ecdh.setPrivateKey(pair.privateKey);
      for (const verify of [verifyOnHost, verifyInBrowser])
        for (const key of [pair.publicKey, Uint8Array.from(ecdh.getPublicKey())]) {
          expect(verify(key, message, signature)).toBe(true);
          expect(verify(key, utf8("another message"), signature)).toBe(false);
          expect(verify(generateReceiptKeyPair().publicKey, message, signature)).toBe(false);
          for (let at = 0; at < 64; at += 9) expect(verify(key, message, flipped(signature, at))).toBe(false);
        }
    }
  });

  test("malformed keys and signatures are false, never an error", () => {
    const signature = signReceipt(privateKey, sample);
    const whole = p256.getPublicKey(privateKey, false);
    const hybrid = Uint8Array.from(whole);
    hybrid[0] = 0x06 | ((whole[64] ?? 0) & 1);
    const keys = [
      new Uint8Array(0),
      new Uint8Array(1),
      new Uint8Array(33),
      new Uint8Array(65),
      publicKey.subarray(1),
      concat(publicKey, Uint8Array.of(0)),
      concat(Uint8Array.of(2), new Uint8Array(32).fill(0xff)),
      flipped(whole, 64),
      hybrid,
    ];
    const signatures = [
      new Uint8Array(0),
      new Uint8Array(64),
      new Uint8Array(64).fill(0xff),
      signature.subarray(1),
      concat(signature, Uint8Array.of(0)),
      concat(new Uint8Array(32), signature.subarray(32)),
      concat(signature.subarray(0, 32), new Uint8Array(32)),
    ];
    for (const verify of [verifyOnHost, verifyInBrowser]) {
      expect(verify(publicKey, sample, signature)).toBe(true);
      for (const key of keys) expect(verify(key, sample, signature)).toBe(false);
      for (const bad of signatures) expect(verify(publicKey, sample, bad)).toBe(false);
    }
  });
});

describe("host boxes", () => {
  const key = new Uint8Array(32).fill(3);
  const aad = utf8("record id");

  test("round trip, the empty plaintext too", () => {
    for (const plaintext of [new Uint8Array(0), utf8("x"), new Uint8Array(5000).fill(9)]) {
      const box = seal(key, plaintext, aad);
      expect(box).toHaveLength(plaintext.length + 28);
      expect(open(key, box, aad)).toEqual(plaintext);
      expect(seal(key, plaintext, aad)).not.toEqual(box);
    }
  });

  test("any change, truncation, other key or other associated data is refused", async () => {
    const box = seal(key, utf8("a secret"), aad);
    const refused = [
      () => open(flipped(key, 5), box, aad),
      () => open(key, box, utf8("record ie")),
      () => open(key, concat(box, Uint8Array.of(0)), aad),
      ...Array.from(box, (_, at) => () => open(key, flipped(box, at), aad)),
      ...Array.from(box, (_, length) => () => open(key, box.subarray(0, length), aad)),
    ];
    for (const run of refused) expect(await codeOfAsync(run)).toBe("decrypt-failed");
  });
});

test("HKDF: RFC 5869 A.1, info in parts, and lengths that are no multiple of a block", () => {
  const ikm = new Uint8Array(22).fill(0x0b);
  const prk = extract(fromHex("000102030405060708090a0b0c"), ikm);
  expect(toHex(prk)).toBe("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  const info = fromHex("f0f1f2f3f4f5f6f7f8f9");
  const okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
  expect(toHex(expand(prk, 42, info))).toBe(okm);
  expect(toHex(expand(prk, 42, info.subarray(0, 3), info.subarray(3)))).toBe(okm);
  const first = createHmac("sha256", prk).update(info).update(Uint8Array.of(1)).digest("hex");
  expect(toHex(expand(prk, 32, info))).toBe(first);
  expect(() => expand(prk, 255 * 32 + 1)).toThrow(expect.objectContaining({ code: "internal" }));
});

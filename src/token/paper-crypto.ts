/**
 * What a paper token computes, by OpenSSL and with keys of its own that live as long as the process: real results, so
 * that whatever checks a token's answers goes the same way as on a device.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { concat, toBase64Url } from "../base/bytes.ts";
import { ckrError } from "./paper-objects.ts";
import type { WrapFormat } from "./profile.ts";

/** bytes: a secret key. ec: the scalar of a P-256 key. */
export type PaperSecret =
  | { readonly kind: "bytes" | "ec"; readonly value: Uint8Array }
  | { readonly kind: "rsa"; readonly key: KeyObject };

const CURVE = "prime256v1";

export function makeEc(): { secret: PaperSecret; point: Uint8Array } {
  const ecdh = createECDH(CURVE);
  const point = Uint8Array.from(ecdh.generateKeys());
  const scalar = ecdh.getPrivateKey();
  return {
    secret: { kind: "ec", value: Uint8Array.from(Buffer.alloc(32).fill(scalar, 32 - scalar.length)) },
    point,
  };
}

const rsaPairs = new Map<number, { secret: PaperSecret; modulus: Uint8Array }>();

/** The same pair for every paper token of the process: primes take long to find, and these guard nothing. */
export function makeRsa(bits: number): { secret: PaperSecret; modulus: Uint8Array } {
  const known = rsaPairs.get(bits);
  if (known) return known;
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: bits,
    publicExponent: 0x10001,
  });
  const { n = "" } = publicKey.export({ format: "jwk" });
  const modulus = Uint8Array.from(Buffer.from(n, "base64url"));
  const pair = { secret: { kind: "rsa" as const, key: privateKey }, modulus };
  rsaPairs.set(bits, pair);
  return pair;
}

/** x(k·P), 32 bytes. */
export function ecdhX(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  const ecdh = createECDH(CURVE);
  try {
    ecdh.setPrivateKey(scalar);
    return Uint8Array.from(ecdh.computeSecret(point));
  } catch {
    throw ckrError("CKR_MECHANISM_PARAM_INVALID");
  }
}

/** CKM_ECDSA: r ‖ s over a digest. */
export function ecdsa(scalar: Uint8Array, digest: Uint8Array): Uint8Array {
  return p256.sign(digest, scalar, { prehash: false, lowS: false });
}

export function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac("sha256", key).update(data).digest());
}

/** CKM to the name of a hash. */
const HASHES: Readonly<Record<number, string>> = {
  544: "sha1",
  592: "sha256",
  608: "sha384",
  624: "sha512",
};
function oaepHash(mechanism: number): string {
  const name = HASHES[mechanism];
  if (name === undefined) throw ckrError("CKR_MECHANISM_PARAM_INVALID");
  return name;
}

export function wrapOaep(
  modulus: Uint8Array,
  exponent: Uint8Array,
  hashAlg: number,
  value: Uint8Array,
): Uint8Array {
  const jwk = { kty: "RSA", n: toBase64Url(modulus), e: toBase64Url(exponent) };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return Uint8Array.from(publicEncrypt({ key, padding, oaepHash: oaepHash(hashAlg) }, value));
}

export function unwrapOaep(key: KeyObject, hashAlg: number, wrapped: Uint8Array): Uint8Array {
  const hash = oaepHash(hashAlg);
  try {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return Uint8Array.from(privateDecrypt({ key, padding, oaepHash: hash }, wrapped));
  } catch {
    throw ckrError("CKR_WRAPPED_KEY_INVALID");
  }
}

/** Cipher and initial value: RFC 5649 §3, RFC 3394 §2.2.3.1. A vendor's own format is the first of them on paper. */
const KEY_WRAP: Readonly<Record<WrapFormat, readonly [string, Buffer]>> = {
  rfc5649: ["id-aes256-wrap-pad", Buffer.from("a65959a6", "hex")],
  vendor: ["id-aes256-wrap-pad", Buffer.from("a65959a6", "hex")],
  "pkcs7-rfc3394": ["id-aes256-wrap", Buffer.alloc(8, 0xa6)],
};

export function wrapAes(format: WrapFormat, kek: Uint8Array, value: Uint8Array): Uint8Array {
  const padding = 8 - (value.length % 8);
  const data = format === "pkcs7-rfc3394" ? concat(value, new Uint8Array(padding).fill(padding)) : value;
  const [name, iv] = KEY_WRAP[format];
  const cipher = createCipheriv(name, kek, iv);
  return Uint8Array.from(Buffer.concat([cipher.update(data), cipher.final()]));
}

export function unwrapAes(format: WrapFormat, kek: Uint8Array, wrapped: Uint8Array): Uint8Array {
  try {
    const [name, iv] = KEY_WRAP[format];
    const cipher = createDecipheriv(name, kek, iv);
    const data = Uint8Array.from(Buffer.concat([cipher.update(wrapped), cipher.final()]));
    if (format !== "pkcs7-rfc3394") return data;
    const padding = data.at(-1) ?? 0;
    const end = data.length - padding;
    if (padding < 1 || padding > 8 || !data.subarray(end).every((byte) => byte === padding))
      throw new RangeError();
    return data.slice(0, end);
  } catch {
    throw ckrError("CKR_WRAPPED_KEY_INVALID");
  }
}

/** What wrapping takes of a secret: itself, or PrivateKeyInfo (RFC 5208). */
export function secretBytes(secret: PaperSecret): Uint8Array {
  if (secret.kind === "bytes") return secret.value;
  if (secret.kind === "rsa") return Uint8Array.from(secret.key.export({ format: "der", type: "pkcs8" }));
  const ecdh = createECDH(CURVE);
  ecdh.setPrivateKey(secret.value);
  const point = ecdh.getPublicKey();
  const jwk = {
    kty: "EC",
    crv: "P-256",
    x: toBase64Url(point.subarray(1, 33)),
    y: toBase64Url(point.subarray(33)),
    d: toBase64Url(secret.value),
  };
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return Uint8Array.from(key.export({ format: "der", type: "pkcs8" }));
}

/** The scalar of a P-256 key in PrivateKeyInfo. */
export function ecFromBytes(der: Uint8Array): PaperSecret {
  try {
    const jwk = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" }).export({
      format: "jwk",
    });
    if (jwk.crv !== "P-256" || jwk.d === undefined) throw new RangeError();
    return { kind: "ec", value: Uint8Array.from(Buffer.from(jwk.d, "base64url")) };
  } catch {
    throw ckrError("CKR_WRAPPED_KEY_INVALID");
  }
}

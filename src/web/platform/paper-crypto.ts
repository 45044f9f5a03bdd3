/**
 * The page's build puts this in the place of src/token/paper-crypto.ts. Keys on elliptic curves and HMAC are as they are
 * there. What a paper token wraps, no other code ever opens, and nothing is told of it but that it was done: here it is
 * an envelope that names its key, since browsers have neither RSA nor AES key wrap that answers at once. The calls of
 * a dry run are the same, which test/web compares for every device.
 */
import { p256 } from "@noble/curves/nist.js";
import { hmac as hmacOf } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, equal } from "../../base/bytes.ts";
import { ckrError } from "../../token/paper-objects.ts";
import type { WrapFormat } from "../../token/profile.ts";

export type PaperSecret =
  | { readonly kind: "bytes" | "ec"; readonly value: Uint8Array }
  /** The modulus, which names the pair. */
  | { readonly kind: "rsa"; readonly key: Uint8Array };

/** Of an envelope; with the padding's length, one block of AES key wrap. */
const TAG_BYTES = 7;
const SCALAR_BYTES = 32;
/** What PrivateKeyInfo of a P-256 key begins with here; the scalar follows. */
const EC_PREFIX = new TextEncoder().encode("P-256 ");

export function makeEc(): { secret: PaperSecret; point: Uint8Array } {
  const { secretKey, publicKey } = p256.keygen();
  return { secret: { kind: "ec", value: secretKey }, point: p256.Point.fromBytes(publicKey).toBytes(false) };
}

const rsaPairs = new Map<number, { secret: PaperSecret; modulus: Uint8Array }>();

/** The same pair for every paper token of the page, as in Node. */
export function makeRsa(bits: number): { secret: PaperSecret; modulus: Uint8Array } {
  const known = rsaPairs.get(bits);
  if (known) return known;
  const modulus = crypto.getRandomValues(new Uint8Array(bits / 8));
  modulus[0] = 0x80 | (modulus[0] ?? 0);
  const pair = { secret: { kind: "rsa" as const, key: modulus }, modulus };
  rsaPairs.set(bits, pair);
  return pair;
}

/** x(k·P), 32 bytes. */
export function ecdhX(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  try {
    return p256.getSharedSecret(scalar, point).slice(1);
  } catch {
    throw ckrError("CKR_MECHANISM_PARAM_INVALID");
  }
}

/** CKM_ECDSA: r ‖ s over a digest. */
export function ecdsa(scalar: Uint8Array, digest: Uint8Array): Uint8Array {
  return p256.sign(digest, scalar, { prehash: false, lowS: false });
}

export function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return hmacOf(sha256, key, data);
}

/** As long as AES key wrap makes it (RFC 3394 §2.2, RFC 5649 §4.1): devices are told apart by that. */
function seal(key: Uint8Array, value: Uint8Array, padding: number): Uint8Array {
  const tag = hmac(key, concat(value, Uint8Array.of(padding))).subarray(0, TAG_BYTES);
  return concat(tag, Uint8Array.of(padding), value, new Uint8Array(padding));
}

function unseal(key: Uint8Array, envelope: Uint8Array): Uint8Array {
  const padding = envelope[TAG_BYTES] ?? 0;
  const value = envelope.slice(TAG_BYTES + 1, envelope.length - padding);
  if (equal(seal(key, value, padding), envelope)) return value;
  throw ckrError("CKR_WRAPPED_KEY_INVALID");
}

/** CKM of the hashes that RSA-OAEP takes. */
const HASHES: readonly number[] = [544, 592, 608, 624];
function requireHash(mechanism: number): void {
  if (!HASHES.includes(mechanism)) throw ckrError("CKR_MECHANISM_PARAM_INVALID");
}

export function wrapOaep(
  modulus: Uint8Array,
  _exponent: Uint8Array,
  hashAlg: number,
  value: Uint8Array,
): Uint8Array {
  requireHash(hashAlg);
  return seal(modulus, value, 0);
}

export function unwrapOaep(key: Uint8Array, hashAlg: number, wrapped: Uint8Array): Uint8Array {
  requireHash(hashAlg);
  return unseal(key, wrapped);
}

export function wrapAes(format: WrapFormat, kek: Uint8Array, value: Uint8Array): Uint8Array {
  const toBlock = 8 - (value.length % 8);
  return seal(kek, value, format === "pkcs7-rfc3394" ? toBlock : toBlock % 8);
}

export function unwrapAes(_format: WrapFormat, kek: Uint8Array, wrapped: Uint8Array): Uint8Array {
  return unseal(kek, wrapped);
}

export function secretBytes(secret: PaperSecret): Uint8Array {
  if (secret.kind === "ec") return concat(EC_PREFIX, secret.value);
  return secret.kind === "rsa" ? secret.key : secret.value;
}

export function ecFromBytes(bytes: Uint8Array): PaperSecret {
  const isEc =
    bytes.length === EC_PREFIX.length + SCALAR_BYTES && equal(bytes.slice(0, EC_PREFIX.length), EC_PREFIX);
  if (!isEc) throw ckrError("CKR_WRAPPED_KEY_INVALID");
  return { kind: "ec", value: bytes.slice(EC_PREFIX.length) };
}

/**
 * P-256 points on the host: strict SEC1 decoding, compression, affine addition.
 *
 * Square roots are OpenSSL's (`ECDH.convertKey`); the few field operations left are BigInt, which is not
 * constant-time. That is sound for what flows through here:
 * - blinded elements, key shares and public keys arrive from, or go to, the client: public;
 * - k·P is the answer to the client that sent P: public to it, and it is the only one who could time us;
 * - the Diffie-Hellman products of a login are secret. They meet only multiplications and reductions
 *   (point-recovery.ts): no branch of ours, no table and no inversion depends on them. V8's own division still
 *   varies a little (leading zero limbs, corrections of a quotient digit), and neither BigInts nor the hex between
 *   them and bytes can be wiped: they last until they are collected. That is accepted because each value lives for
 *   one login, costs whoever wants to time it an attempt, and says nothing about a long-term key.
 * Private scalars never become a BigInt in this file.
 */
import { ECDH } from "node:crypto";
import { StrongroomError } from "../../base/errors.ts";
import { POINT_BYTES, UNCOMPRESSED_POINT_BYTES } from "../../wire/limits.ts";

/** The field prime p of FIPS 186-5 / SEC 2 §2.4.2; p ≡ 3 (mod 4). */
export const FIELD_PRIME: bigint = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
/** y² = x³ − 3x + b. */
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

export interface AffinePoint {
  readonly x: bigint;
  readonly y: bigint;
}

/** The base point G, uncompressed. */
export const GENERATOR: Uint8Array = Uint8Array.from(
  Buffer.from(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" +
      "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    "hex",
  ),
);

function invalid(message: string, cause?: unknown): StrongroomError {
  return new StrongroomError("point-invalid", message, { cause });
}

/** Big-endian bytes as a number. */
export function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}`);
}

/** The residue in [0, p). */
export function mod(value: bigint): bigint {
  const rest = value % FIELD_PRIME;
  return rest < 0n ? rest + FIELD_PRIME : rest;
}

/** 1/value mod p by Euclid: a quarter of the time of Fermat's power. Time depends on `value`: public values only. */
export function invert(value: bigint): bigint {
  let r0 = FIELD_PRIME;
  let r1 = mod(value);
  let t0 = 0n;
  let t1 = 1n;
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    const r2 = r0 - quotient * r1;
    const t2 = t0 - quotient * t1;
    r0 = r1;
    r1 = r2;
    t0 = t1;
    t1 = t2;
  }
  if (r0 !== 1n) throw new StrongroomError("internal", "zero has no inverse");
  return mod(t0);
}

/** The inverses of several values for the price of one inversion (Montgomery). Public values only. */
export function invertAll(values: readonly bigint[]): readonly bigint[] {
  const prefixes: bigint[] = [];
  let product = 1n;
  for (const value of values) {
    prefixes.push(product);
    product = mod(product * value);
  }
  let inverse = invert(product);
  const out: bigint[] = [];
  for (const [i, value] of [...values.entries()].reverse()) {
    out[i] = mod(inverse * (prefixes[i] ?? 1n));
    inverse = mod(inverse * value);
  }
  return out;
}

/** x³ − 3x + b mod p. */
export function curve(x: bigint): bigint {
  return mod((x * x - 3n) * x + B);
}

/** @throws point-invalid unless `point` is an uncompressed, canonical point on the curve */
export function toAffine(point: Uint8Array): AffinePoint {
  if (point.length !== UNCOMPRESSED_POINT_BYTES || point[0] !== 0x04)
    throw invalid("not an uncompressed P-256 point");
  const x = toBigInt(point.subarray(1, 33));
  const y = toBigInt(point.subarray(33));
  if (x >= FIELD_PRIME || y >= FIELD_PRIME) throw invalid("coordinate out of range");
  if (mod(y * y) !== curve(x)) throw invalid("point is not on the curve");
  return { x, y };
}

/** 65 bytes, `04 ‖ x ‖ y`. */
export function fromAffine(point: AffinePoint): Uint8Array {
  const hex = point.x.toString(16).padStart(64, "0") + point.y.toString(16).padStart(64, "0");
  return Uint8Array.from(Buffer.from(`04${hex}`, "hex"));
}

/**
 * SEC1 §2.3.4 for the compressed form only: 33 bytes → 65. P-256 has cofactor 1, so that any point on the
 * curve other than the identity (which has no 33-byte encoding) is in the group.
 *
 * @throws point-invalid for another length or prefix, x ≥ p, or an x without a point
 */
export function decompressPoint(compressed: Uint8Array): Uint8Array {
  if (compressed.length !== POINT_BYTES || (compressed[0] !== 0x02 && compressed[0] !== 0x03))
    throw invalid("not a compressed P-256 point");
  // OpenSSL refuses it as well; the rule is kept here too, because one point must have one encoding.
  if (toBigInt(compressed.subarray(1)) >= FIELD_PRIME) throw invalid("coordinate out of range");
  try {
    const point = ECDH.convertKey(compressed, "prime256v1", undefined, undefined, "uncompressed");
    if (typeof point === "string") throw new StrongroomError("internal", "convertKey gave text");
    return Uint8Array.from(point);
  } catch (cause) {
    throw invalid("point is not on the curve", cause);
  }
}

/** 65 bytes → 33. @throws point-invalid unless it looks like an uncompressed point (not checked to be on the curve) */
export function compressPoint(point: Uint8Array): Uint8Array {
  if (point.length !== UNCOMPRESSED_POINT_BYTES || point[0] !== 0x04)
    throw invalid("not an uncompressed P-256 point");
  // Not `slice`: on a Buffer that would be a view, and the caller's point would change.
  const out = Uint8Array.from(point.subarray(0, POINT_BYTES));
  out[0] = 0x02 | ((point[64] ?? 0) & 1);
  return out;
}

/** Fails where `point` (65 bytes) may not reach a token. @throws point-invalid */
export function checkPoint(point: Uint8Array): void {
  toAffine(point);
}

/** a + b, all uncompressed, 65 bytes. @throws point-invalid for a bad operand, and where the sum is the identity */
export function addPoints(a: Uint8Array, b: Uint8Array): Uint8Array {
  const { x: x1, y: y1 } = toAffine(a);
  const { x: x2, y: y2 } = toAffine(b);
  const same = x1 === x2;
  if (same && y1 !== y2) throw invalid("the sum is the identity");
  // No point has y = 0: the group has odd prime order.
  const slope = same ? mod(3n * (x1 * x1 - 1n) * invert(2n * y1)) : mod((y2 - y1) * invert(x2 - x1));
  const x = mod(slope * slope - x1 - x2);
  return fromAffine({ x, y: mod(slope * (x1 - x) - y1) });
}

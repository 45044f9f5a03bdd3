/**
 * k·P from a token that tells only x-coordinates (design §1).
 *
 * CKM_ECDH1_DERIVE gives x(k·P) and hides y, so Y = k·P is known up to its sign. K = k·G is public, hence one
 * more derivation, with P + G, decides it:
 *
 *     x1 = x(k·P) = x(Y)          x2 = x(k·(P + G)) = x(Y + K)
 *
 * The chord through Y = (x1, y1) and K = (xK, yK) gives, by the addition law,
 *
 *     x2 = ((yK − y1) / (xK − x1))² − xK − x1
 *
 * Multiplied by (xK − x1)², with y1² and yK² replaced by f(x) = x³ − 3x + b, y1 occurs once only, linearly:
 *
 *     y1 = [ f(xK) + f(x1) − (xK + x1 + x2)·(xK − x1)² ] / (2·yK)
 *
 * So no square root is taken and no candidate is tried; what is inverted is public (yK ≠ 0, the group order is
 * odd). The test y1² = f(x1) then says whether the two answers belong together: the chord equation is linear in
 * y1, so at most one of ±Y meets it, and one does exactly when the y1 above lies over x1. Unrelated x-coordinates
 * pass by chance with probability 2⁻²⁵⁵. What passes by nature is any pair that belongs to some point Y′ and to
 * Y′ + K; the swapped pair (x2, x1) does, with Y′ = −(Y + K). So the test finds a token that errs, not one that
 * lies on purpose: a wrong product is an honest client's failed login, and tells a dishonest one no more than
 * the P of its own choice would have.
 *
 * Edge cases. The chord needs x1 ≠ xK, that is Y ≠ ±K, that is P ≠ ±G: then k·P = ±K is known without the
 * token. P + G is the identity only for P = −G, one of these two. P = G would also make it a tangent. For any
 * other P, x1 = xK is a lie.
 */
import { equal, wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import {
  type AffinePoint,
  addPoints,
  curve,
  FIELD_PRIME,
  fromAffine,
  GENERATOR,
  invert,
  mod,
  toAffine,
  toBigInt,
} from "./p256.ts";

const BIAS = 3n * FIELD_PRIME * FIELD_PRIME;
const X = { start: 1, end: 33 };

function sameX(a: Uint8Array, b: Uint8Array): boolean {
  return equal(a.subarray(X.start, X.end), b.subarray(X.start, X.end));
}

/**
 * The points that a token must multiply by k: [P, P + G], or none where P = ±G.
 *
 * @param point P, uncompressed
 * @throws point-invalid unless P is on the curve
 */
export function derivationPoints(point: Uint8Array): readonly Uint8Array[] {
  toAffine(point);
  return sameX(point, GENERATOR) ? [] : [point, addPoints(point, GENERATOR)];
}

/**
 * The point Y with x(Y) = x1 and x(Y + D) = x2, by the formula of the header (there D = K).
 *
 * @param inverse 1/(2·yD) where the caller has it already
 * @returns undefined where no such point exists, or x1 = x(D)
 */
export function pointFromChord(
  difference: AffinePoint,
  x1: bigint,
  x2: bigint,
  inverse: bigint = invert(2n * difference.y),
): AffinePoint | undefined {
  if (x1 >= FIELD_PRIME || x2 >= FIELD_PRIME) return undefined;
  const gap = difference.x - x1;
  if (gap === 0n) return undefined;
  const f1 = curve(x1);
  // 3p² makes it positive whatever x1 and x2 are: reducing a secret must not branch on a sign.
  const numerator = BIAS + curve(difference.x) + f1 - (difference.x + x1 + x2) * mod(gap * gap);
  const y = mod(mod(numerator) * inverse);
  return mod(y * y) === f1 ? { x: x1, y } : undefined;
}

interface PreparedKey {
  readonly point: AffinePoint;
  /** 1/(2·y). */
  readonly inverse: bigint;
}

/** By the array itself, never written to: the fleet's ake key comes again with every recovery, a share's key does not. */
const prepared = new WeakMap<Uint8Array, PreparedKey>();

function prepare(publicKey: Uint8Array): PreparedKey {
  const known = prepared.get(publicKey);
  if (known) return known;
  const point = toAffine(publicKey);
  const key = { point, inverse: invert(2n * point.y) };
  prepared.set(publicKey, key);
  return key;
}

/**
 * k·P, uncompressed.
 *
 * @param point     P, as given to `derivationPoints`
 * @param publicKey K = k·G, uncompressed
 * @param xs        what the token answered to `derivationPoints(point)`, 32 bytes each
 * @throws token-failed where the answers are inconsistent; point-invalid for a bad P or K
 */
export function recoverProduct(
  point: Uint8Array,
  publicKey: Uint8Array,
  xs: readonly Uint8Array[],
): Uint8Array {
  const { point: known, inverse } = prepare(publicKey);
  if (sameX(point, GENERATOR)) {
    toAffine(point);
    if (xs.length !== 0) throw new StrongroomError("internal", "k·(±G) needs no derivation");
    return equal(point, GENERATOR)
      ? Uint8Array.from(publicKey)
      : fromAffine({ x: known.x, y: mod(-known.y) });
  }
  const [x1, x2] = xs;
  if (xs.length !== 2 || x1?.length !== 32 || x2?.length !== 32)
    throw new StrongroomError("token-failed", "the token did not answer with two x-coordinates");
  const product = pointFromChord(known, toBigInt(x1), toBigInt(x2), inverse);
  if (!product)
    throw new StrongroomError("token-failed", "the token's two x-coordinates do not fit together");
  return fromAffine(product);
}

/** As `recoverProduct`, for whoever needs the token's answers no more: they are wiped. */
export function takeProduct(point: Uint8Array, publicKey: Uint8Array, xs: readonly Uint8Array[]): Uint8Array {
  try {
    return recoverProduct(point, publicKey, xs);
  } finally {
    wipe(...xs);
  }
}

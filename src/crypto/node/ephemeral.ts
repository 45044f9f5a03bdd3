/**
 * The ephemeral half of a Diffie-Hellman exchange where the protocol wants the whole point (RFC 9807 §6.4: DH
 * gives a serialized element, sign included), while node:crypto's ECDH gives only x, as a token does.
 *
 * Here the scalar is ours, which makes it simpler than point-recovery.ts: with x(e·P) and x((e + 1)·P) the
 * chord is the one through e·P and P. There is no point to add, what is inverted is 2·yP, which is public, and
 * for e outside {0, ±1, −2} no point P of the prime-order group is an exception.
 *
 * Measured per product: 0.25 ms, nearly all of it OpenSSL's two multiplications and the checks it makes of our
 * own key before each. A multiplication in noble-curves costs 3 ms. `diffieHellman` on KeyObjects costs 0.12 ms
 * each, but 0.09 ms more to import every point and as much for each scalar.
 */
import { createECDH, type ECDH } from "node:crypto";
import { wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { compressPoint, fromAffine, invertAll, toAffine, toBigInt } from "./p256.ts";
import { pointFromChord } from "./point-recovery.ts";
import { randomBytes } from "./random.ts";

const SCALAR_BYTES = 32;
/** n − 2, for the group order n. */
const LIMIT = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f", "hex");
const ONE = Buffer.alloc(SCALAR_BYTES);
ONE[SCALAR_BYTES - 1] = 1;

/** Setting a key up costs 20 µs more in a new object. Its key is overwritten before `agree` returns. */
const engine: ECDH = createECDH("prime256v1");

/** A uniform scalar e with 1 < e < n − 2, 32 bytes. A draw outside that has probability below 2⁻³¹. */
export function randomScalar(): Uint8Array {
  for (;;) {
    const scalar = randomBytes(SCALAR_BYTES);
    if (Buffer.compare(scalar, ONE) > 0 && Buffer.compare(scalar, LIMIT) < 0) return scalar;
  }
}

/** e + 1, big endian, without a branch on e. */
function successor(scalar: Uint8Array): Uint8Array {
  const out = Uint8Array.from(scalar);
  let carry = 1;
  for (let i = out.length - 1; i >= 0; i--) {
    carry += out[i] ?? 0;
    out[i] = carry & 0xff;
    carry >>= 8;
  }
  return out;
}

export interface Agreement {
  /** e·G, compressed. */
  readonly publicKey: Uint8Array;
  /** e·P for each point, compressed; secret. */
  readonly products: readonly Uint8Array[];
}

/**
 * @param scalar e, 32 bytes, 1 < e < n − 2
 * @param points uncompressed
 * @throws point-invalid unless every point is on the curve
 */
export function agree(scalar: Uint8Array, points: readonly Uint8Array[]): Agreement {
  const known = points.map(toAffine);
  const inverses = invertAll(known.map((point) => 2n * point.y));
  const next = successor(scalar);
  try {
    engine.setPrivateKey(scalar);
    const publicKey = Uint8Array.from(engine.getPublicKey(null, "compressed"));
    const firsts = points.map((point) => engine.computeSecret(point));
    engine.setPrivateKey(next);
    const seconds = points.map((point) => engine.computeSecret(point));
    const products = known.map((point, i) => {
      const first = firsts[i];
      const second = seconds[i];
      const product =
        first && second && pointFromChord(point, toBigInt(first), toBigInt(second), inverses[i]);
      if (!product)
        throw new StrongroomError("internal", "the products of an ephemeral key do not fit together");
      const whole = fromAffine(product);
      const compressed = compressPoint(whole);
      wipe(first, second, whole);
      return compressed;
    });
    return { publicKey, products };
  } finally {
    wipe(next);
    engine.setPrivateKey(ONE);
  }
}

/** P-256 points: what is decoded, what is refused, and k·P from x-coordinates, against noble-curves and OpenSSL. */
import { p256 } from "@noble/curves/nist.js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, toHex, uintBE } from "../../src/base/bytes.ts";
import { agree } from "../../src/crypto/node/ephemeral.ts";
import {
  addPoints,
  checkPoint,
  compressPoint,
  decompressPoint,
  FIELD_PRIME,
  GENERATOR,
  invertAll,
  mod,
} from "../../src/crypto/node/p256.ts";
import { derivationPoints, recoverProduct } from "../../src/crypto/node/point-recovery.ts";
import { codeOf } from "../support/codes.ts";
import { softwareKey } from "../vectors/software-key.ts";

const { Point } = p256;
const ORDER = Point.Fn.ORDER;
const B = Point.CURVE().b;

const scalar = fc.bigInt({ min: 1n, max: ORDER - 1n });
/** Random scalars, and those where formulas tend to break. */
const anyScalar = fc.oneof(
  { weight: 3, arbitrary: scalar },
  {
    weight: 1,
    arbitrary: fc.constantFrom(1n, 2n, 3n, ORDER - 1n, ORDER - 2n, ORDER - 3n, ORDER / 2n, ORDER / 2n + 1n),
  },
);
const times = (k: bigint): Uint8Array => Point.BASE.multiply(k).toBytes(false);
const bytesOf = (k: bigint): Uint8Array => uintBE(k, 32);
const runs = { numRuns: 60 };

describe("decoding", () => {
  test("compress and decompress are inverse, and agree with noble", () => {
    fc.assert(
      fc.property(anyScalar, (k) => {
        const point = times(k);
        const compressed = compressPoint(point);
        expect(toHex(compressed)).toBe(Point.BASE.multiply(k).toHex(true));
        expect(decompressPoint(compressed)).toEqual(point);
      }),
      runs,
    );
  });

  test("any 33 bytes decode exactly where noble decodes them", () => {
    const prefix = fc.constantFrom(0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x82);
    const x = fc.oneof(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.bigInt({ min: FIELD_PRIME - 5n, max: FIELD_PRIME + 5n }).map(bytesOf),
      fc.bigInt({ min: 0n, max: 20n }).map(bytesOf),
      fc.constant(new Uint8Array(32).fill(0xff)),
    );
    fc.assert(
      fc.property(prefix, x, (first, rest) => {
        const bytes = concat(Uint8Array.of(first), rest);
        let theirs: string | undefined;
        try {
          theirs = Point.fromBytes(bytes).toHex(false);
        } catch {}
        if (theirs === undefined) expect(codeOf(() => decompressPoint(bytes))).toBe("point-invalid");
        else expect(toHex(decompressPoint(bytes))).toBe(theirs);
      }),
      { numRuns: 400 },
    );
  });

  test("a point off the curve is refused: of all y over an x, only two pass", () => {
    fc.assert(
      fc.property(scalar, fc.bigInt({ min: 0n, max: FIELD_PRIME - 1n }), (k, y) => {
        const point = times(k);
        const { x, y: right } = Point.BASE.multiply(k).toAffine();
        const candidate = concat(Uint8Array.of(4), bytesOf(x), bytesOf(y));
        const expected = y === right || y === FIELD_PRIME - right ? "no error" : "point-invalid";
        expect(codeOf(() => checkPoint(candidate))).toBe(expected);
        expect(codeOf(() => checkPoint(point))).toBe("no error");
        const flipped = Uint8Array.from(point);
        flipped[64] = (flipped[64] ?? 0) ^ 1;
        for (const use of [checkPoint, derivationPoints, (p: Uint8Array) => addPoints(p, GENERATOR)])
          expect(codeOf(() => use(flipped))).toBe("point-invalid");
      }),
      runs,
    );
  });

  test("every other encoding of a valid point is refused", () => {
    fc.assert(
      fc.property(scalar, fc.integer({ min: 0, max: 70 }), (k, length) => {
        const point = times(k);
        const compressed = compressPoint(point);
        const parity = (point[64] ?? 0) & 1;
        const hybrid = Uint8Array.from(point);
        hybrid[0] = 0x06 | parity;
        const raw = point.subarray(1);
        for (const bytes of [hybrid, raw, compressed, concat(point, Uint8Array.of(0))])
          expect(codeOf(() => checkPoint(bytes))).toBe("point-invalid");
        for (const bytes of [point, hybrid, compressed.subarray(1), concat(compressed, Uint8Array.of(0))])
          expect(codeOf(() => decompressPoint(bytes))).toBe("point-invalid");
        if (length !== 33)
          expect(codeOf(() => decompressPoint(new Uint8Array(length).fill(2)))).toBe("point-invalid");
        if (length !== 65) {
          expect(codeOf(() => compressPoint(new Uint8Array(length).fill(4)))).toBe("point-invalid");
          expect(codeOf(() => checkPoint(new Uint8Array(length).fill(4)))).toBe("point-invalid");
        }
      }),
      runs,
    );
  });

  test("encodings of the identity are refused", () => {
    for (const identity of [new Uint8Array(1), new Uint8Array(33), new Uint8Array(65), new Uint8Array(0)]) {
      expect(codeOf(() => decompressPoint(identity))).toBe("point-invalid");
      expect(codeOf(() => checkPoint(identity))).toBe("point-invalid");
    }
    const zeros = concat(Uint8Array.of(4), new Uint8Array(64));
    expect(codeOf(() => checkPoint(zeros))).toBe("point-invalid");
  });

  test("x and x + p name the same point; only the first is an encoding", () => {
    // Small x, so that x + p still fits 32 bytes.
    const small = Array.from({ length: 40 }, (_, i) => BigInt(i)).filter(
      (x) => codeOf(() => decompressPoint(concat(Uint8Array.of(2), bytesOf(x)))) === "no error",
    );
    expect(small.length).toBeGreaterThan(5);
    for (const x of small) {
      const high = bytesOf(x + FIELD_PRIME);
      const point = decompressPoint(concat(Uint8Array.of(2), bytesOf(x)));
      expect(codeOf(() => decompressPoint(concat(Uint8Array.of(2), high)))).toBe("point-invalid");
      expect(codeOf(() => checkPoint(concat(Uint8Array.of(4), high, point.subarray(33))))).toBe(
        "point-invalid",
      );
    }
  });
});

describe("arithmetic", () => {
  test("addition agrees with noble, doubling and the identity included", () => {
    fc.assert(
      fc.property(anyScalar, anyScalar, (a, b) => {
        const sum = (a + b) % ORDER;
        if (sum === 0n) expect(codeOf(() => addPoints(times(a), times(b)))).toBe("point-invalid");
        else expect(addPoints(times(a), times(b))).toEqual(times(sum));
      }),
      { numRuns: 120 },
    );
    expect(addPoints(GENERATOR, GENERATOR)).toEqual(times(2n));
    expect(codeOf(() => addPoints(times(7n), times(ORDER - 7n)))).toBe("point-invalid");
  });

  test("inverses of many are the inverses of each", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 1n, max: FIELD_PRIME - 1n }), { maxLength: 5 }), (values) => {
        const inverses = invertAll(values);
        expect(inverses.map((inverse, i) => mod(inverse * (values[i] ?? 0n)))).toEqual(values.map(() => 1n));
      }),
      runs,
    );
    expect(codeOf(() => invertAll([3n, 0n]))).toBe("internal");
  });

  test("the generator is the curve's", () => {
    expect(GENERATOR).toEqual(Point.BASE.toBytes(false));
    expect(Point.CURVE().p).toBe(FIELD_PRIME);
    const { x, y } = Point.BASE.toAffine();
    expect(mod(y * y)).toBe(mod(x * x * x - 3n * x + B));
  });
});

describe("k·P from x-coordinates", () => {
  test("equals noble's product for any k and P", () => {
    fc.assert(
      fc.property(anyScalar, anyScalar, (k, p) => {
        const key = softwareKey(bytesOf(k));
        const point = times(p);
        const asked = derivationPoints(point);
        expect(asked.length).toBe(p === 1n || p === ORDER - 1n ? 0 : 2);
        for (const derivation of asked) checkPoint(derivation);
        expect(key.multiply(point)).toEqual(times((k * p) % ORDER));
      }),
      { numRuns: 120 },
    );
  });

  test("P = ±G needs no token", () => {
    const key = softwareKey();
    const minusG = times(ORDER - 1n);
    expect(derivationPoints(GENERATOR)).toEqual([]);
    expect(derivationPoints(minusG)).toEqual([]);
    expect(recoverProduct(GENERATOR, key.publicKey, [])).toEqual(key.publicKey);
    const negated = recoverProduct(minusG, key.publicKey, []);
    expect(negated.subarray(0, 33)).toEqual(key.publicKey.subarray(0, 33));
    expect(codeOf(() => addPoints(negated, key.publicKey))).toBe("point-invalid");
  });

  test("answers that do not belong together are refused", () => {
    // Large scalars: small multiples of G are related to each other by accident.
    const large = fc.bigInt({ min: 1n << 200n, max: (1n << 255n) - 1n });
    fc.assert(
      fc.property(large, large, large, (k, other, p) => {
        fc.pre(k !== other);
        const key = softwareKey(bytesOf(k));
        const wrong = softwareKey(bytesOf(other));
        const point = times(p);
        const asked = derivationPoints(point);
        const right = asked.map(key.ecdh);
        const wrongs = asked.map(wrong.ecdh);
        const [x1 = GENERATOR, x2 = GENERATOR] = right;
        const [w1 = GENERATOR, w2 = GENERATOR] = wrongs;
        const bad: Uint8Array[][] = [
          [x1, w2],
          [w1, x2],
          wrongs,
          [x1, x1],
          [],
          [x1],
          [x1, x2, x1],
          [x1, x2.subarray(1)],
          [new Uint8Array(33), x2],
          [new Uint8Array(32).fill(0xff), x2],
          [x1, new Uint8Array(32).fill(0xff)],
          [new Uint8Array(32), x2],
          // x(K) itself would make the chord meaningless.
          [key.publicKey.slice(1, 33), x2],
        ];
        for (const xs of bad)
          expect(codeOf(() => recoverProduct(point, key.publicKey, xs))).toBe("token-failed");
      }),
      { numRuns: 30 },
    );
  });

  test("swapped answers belong to −k·(P + G): the one mix-up that no test on x-coordinates can find", () => {
    const key = softwareKey();
    const point = softwareKey().publicKey;
    const asked = derivationPoints(point);
    const [p = GENERATOR, pg = GENERATOR] = asked;
    const swapped = recoverProduct(p, key.publicKey, [key.ecdh(pg), key.ecdh(p)]);
    expect(codeOf(() => addPoints(swapped, key.multiply(pg)))).toBe("point-invalid");
    expect(swapped.subarray(1, 33)).toEqual(key.ecdh(pg));
  });

  test("any flipped bit of an answer is refused", () => {
    const key = softwareKey();
    const point = softwareKey().publicKey;
    const right = derivationPoints(point).map(key.ecdh);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 255 }), (which, bit) => {
        const xs = right.map((x) => Uint8Array.from(x));
        const x = xs[which] ?? new Uint8Array(0);
        x[bit >> 3] = (x[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(codeOf(() => recoverProduct(point, key.publicKey, xs))).toBe("token-failed");
      }),
      { numRuns: 300 },
    );
  });

  test("an x that is right but for a multiple of p is refused", () => {
    // Y = k·P with an x so small that x + p fits 32 bytes; any K will do, for k is not asked.
    const small = Array.from({ length: 40 }, (_, i) => BigInt(i)).filter(
      (x) => codeOf(() => decompressPoint(concat(Uint8Array.of(2), bytesOf(x)))) === "no error",
    );
    const point = softwareKey().publicKey;
    for (const x of small) {
      const y = decompressPoint(concat(Uint8Array.of(2), bytesOf(x)));
      const { publicKey } = softwareKey();
      const x2 = addPoints(y, publicKey).subarray(1, 33);
      expect(recoverProduct(point, publicKey, [bytesOf(x), x2])).toEqual(y);
      expect(codeOf(() => recoverProduct(point, publicKey, [bytesOf(x + FIELD_PRIME), x2]))).toBe(
        "token-failed",
      );
      // The same for the other coordinate: Y = (small point) − K.
      const minusK = Point.fromBytes(publicKey).negate().toBytes(false);
      const other = addPoints(y, minusK);
      expect(recoverProduct(point, publicKey, [other.subarray(1, 33), bytesOf(x)])).toEqual(other);
      const shifted = [other.subarray(1, 33), bytesOf(x + FIELD_PRIME)];
      expect(codeOf(() => recoverProduct(point, publicKey, shifted))).toBe("token-failed");
    }
  });

  test("a bad P or K is refused", () => {
    const key = softwareKey();
    const point = softwareKey().publicKey;
    const xs = derivationPoints(point).map(key.ecdh);
    const off = Uint8Array.from(key.publicKey);
    off[40] = (off[40] ?? 0) ^ 4;
    expect(codeOf(() => recoverProduct(point, off, xs))).toBe("point-invalid");
    expect(codeOf(() => recoverProduct(point, compressPoint(key.publicKey), xs))).toBe("point-invalid");
    const offG = concat(GENERATOR.subarray(0, 33), new Uint8Array(32));
    expect(codeOf(() => recoverProduct(offG, key.publicKey, []))).toBe("point-invalid");
  });
});

test("the products of an ephemeral key agree with noble, for several points at once", () => {
  const ephemeral = fc.oneof(
    fc.bigInt({ min: 2n, max: ORDER - 3n }),
    fc.constantFrom(2n, 3n, ORDER - 3n, 255n, 65535n),
  );
  fc.assert(
    fc.property(ephemeral, fc.array(anyScalar, { maxLength: 3 }), (e, ps) => {
      const { publicKey, products } = agree(bytesOf(e), ps.map(times));
      expect(publicKey).toEqual(compressPoint(times(e)));
      expect(products).toEqual(ps.map((p) => compressPoint(times((e * p) % ORDER))));
    }),
    runs,
  );
});

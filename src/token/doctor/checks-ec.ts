/** Elliptic-curve operations against OpenSSL: key generation, ECDH as the OPRF needs it, ECDSA. */
import { createHash, randomBytes } from "node:crypto";
import { equal } from "../../base/bytes.ts";
import { isStrongroomError } from "../../base/errors.ts";
import { checkPoint } from "../../crypto/node/p256.ts";
import { derivationPoints, recoverProduct } from "../../crypto/node/point-recovery.ts";
import { verifySignature } from "../../crypto/node/receipts.ts";
import { showAttribute } from "../attributes.ts";
import { type Check, fail, mustRefuse, pass } from "./check.ts";
import { hostKey, hostKeyWithLeadingZero, offCurvePoint } from "./software.ts";

const RUNS = 20;

export const EC_CHECKS: readonly Check[] = [
  {
    id: "ec.keygen",
    title: "P-256 session key pair, point readable and on the curve",
    level: "required",
    run(bench) {
      const { raw, point } = bench.ecPair();
      checkPoint(point);
      const encoding = raw.length === point.length ? "raw" : "der";
      const expected = bench.profile.points.read.value;
      if (expected !== "unknown" && expected !== encoding)
        return fail(`CKA_EC_POINT is ${encoding}, the profile says ${expected}`);
      return pass(`CKA_EC_POINT is ${encoding}, ${raw.length} bytes`);
    },
  },
  {
    id: "ec.attributes",
    title: "a new private key is sensitive, not extractable and local",
    level: "required",
    run(bench) {
      const { privateKey } = bench.ecPair();
      const { sensitive, extractable } = bench.session.secrecy(privateKey);
      const local = bench.session.attribute(privateKey, "LOCAL");
      const seen = `SENSITIVE=${sensitive} EXTRACTABLE=${extractable} LOCAL=${showAttribute("LOCAL", local)}`;
      return sensitive && !extractable && local === true ? pass(seen) : fail(seen);
    },
  },
  {
    id: "ecdh.value",
    title: "ECDH with CKD_NULL gives a readable x, equal to software",
    level: "required",
    run(bench) {
      const pair = bench.ecPair();
      for (let i = 0; i < RUNS; i++) {
        const host = hostKey();
        const x = bench.derive(pair.privateKey, host.point);
        if (!equal(x, host.multiplyX(pair.point))) return fail("x differs from software");
      }
      return pass(`${RUNS} of ${RUNS} equal`);
    },
  },
  {
    id: "ecdh.leading-zero",
    title: "an x with a leading zero byte comes out right",
    level: "required",
    run(bench) {
      const pair = bench.ecPair();
      const { key, x } = hostKeyWithLeadingZero(pair.point);
      return equal(bench.derive(pair.privateKey, key.point), x)
        ? pass("32 bytes, first one 00")
        : fail("x differs from software");
    },
  },
  {
    id: "ecdh.full-point",
    title: "two derivations give the whole point",
    level: "required",
    run(bench) {
      const pair = bench.ecPair();
      for (let i = 0; i < RUNS; i++) {
        const host = hostKey();
        const xs = derivationPoints(host.point).map((point) => bench.derive(pair.privateKey, point));
        const product = recoverProduct(host.point, pair.point, xs);
        // x must be software's; that y belongs to it, and to K, is what recoverProduct has proved.
        if (!equal(product.subarray(1, 33), host.multiplyX(pair.point)))
          return fail("x differs from software");
        checkPoint(product);
      }
      return pass(`${RUNS} of ${RUNS} recovered`);
    },
  },
  {
    id: "ecdh.off-curve",
    title: "a point off the curve is refused",
    // The host checks every point before it reaches the token.
    level: "recommended",
    run(bench) {
      const pair = bench.ecPair();
      const point = offCurvePoint();
      try {
        return mustRefuse("accepted; the host must keep checking points", () =>
          bench.derive(pair.privateKey, point),
        );
      } catch (error) {
        if (isStrongroomError(error, "token-failed")) return pass(`refused: ${error.message}`);
        throw error;
      }
    },
  },
  {
    id: "ecdsa",
    title: "ECDSA P-256 verifies in software",
    level: "required",
    run(bench) {
      const pair = bench.ecPair({ SIGN: true }, { VERIFY: true });
      for (let i = 0; i < RUNS; i++) {
        const message = Uint8Array.from(randomBytes(64));
        const digest = Uint8Array.from(createHash("sha256").update(message).digest());
        const signature = bench.session.sign(bench.session.traits.mechanisms.ecdsa, pair.privateKey, digest);
        if (signature.length !== 64) return fail(`${signature.length} bytes instead of raw r ‖ s, 64`);
        if (!verifySignature(pair.point, message, signature)) return fail("the signature does not verify");
      }
      return pass(`${RUNS} of ${RUNS} verify`);
    },
  },
];

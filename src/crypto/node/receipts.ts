/** ECDSA P-256 with SHA-256 on the host: recovery receipts, acknowledgments. Verification uses public values only. */
import { createPublicKey, verify } from "node:crypto";
import { toBase64Url } from "../../base/bytes.ts";
import { POINT_BYTES, SIGNATURE_BYTES } from "../../wire/limits.ts";
import { checkPoint, decompressPoint } from "./p256.ts";

/**
 * False, never an error, for anything malformed: a bad key and a bad signature are the same answer to whoever
 * sent them.
 *
 * @param publicKey 33 or 65 bytes
 * @param signature r ‖ s, 64 bytes; high and low s are both accepted
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    const compressed = publicKey.length === POINT_BYTES;
    const point = compressed ? decompressPoint(publicKey) : publicKey;
    if (!compressed) checkPoint(point);
    const jwk = {
      kty: "EC",
      crv: "P-256",
      x: toBase64Url(point.subarray(1, 33)),
      y: toBase64Url(point.subarray(33)),
    };
    const key = createPublicKey({ key: jwk, format: "jwk" });
    return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

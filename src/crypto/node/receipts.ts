/** ECDSA P-256 with SHA-256 on the host: recovery receipts, acknowledgments. Verification uses public values only. */
import { createPublicKey, verify } from "node:crypto";
import { concat, fromHex } from "../../base/bytes.ts";
import { POINT_BYTES, SIGNATURE_BYTES, UNCOMPRESSED_POINT_BYTES } from "../../wire/limits.ts";

/** SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480 §2), by the point's size. */
const SPKI_HEADS: ReadonlyMap<number, Uint8Array> = new Map([
  [POINT_BYTES, fromHex("3039301306072a8648ce3d020106082a8648ce3d030107032200")],
  [UNCOMPRESSED_POINT_BYTES, fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200")],
]);

/**
 * False, never an error, for anything malformed: a bad key and a bad signature are the same answer to whoever
 * sent them.
 *
 * @param publicKey 33 or 65 bytes
 * @param signature r ‖ s, 64 bytes; high and low s are both accepted
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const head = SPKI_HEADS.get(publicKey.length);
  // OpenSSL checks that the point is on the curve; it also takes a third, hybrid form, which nobody else does.
  const hybrid = publicKey[0] === 0x06 || publicKey[0] === 0x07;
  if (!head || hybrid || signature.length !== SIGNATURE_BYTES) return false;
  try {
    const spki = Buffer.from(concat(head, publicKey));
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

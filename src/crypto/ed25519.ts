/**
 * Ed25519 (RFC 8032), verified strictly: what comes from auditors, logs and witnesses is accepted or refused alike by
 * everybody who looks at it, so nothing is left to an implementation's choice. Signing is not here: the private keys
 * live in tokens. Runs in browsers.
 */
import { ed25519 } from "@noble/curves/ed25519.js";

/**
 * Refuses, beyond what does not verify: encodings of points and of S that are not canonical, keys or R of small order,
 * under which one signature fits many messages, and points with a part of small order, of which verification with and
 * without the cofactor say different things (RFC 8032 §5.1.7 allows both). False, never an error, for malformed input.
 *
 * @param publicKey 32 bytes
 * @param signature R ‖ S, 64 bytes
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    // Without ZIP 215 a coordinate ≥ p is refused, and −0 too.
    const points = [publicKey, signature.subarray(0, 32)].map((bytes) => ed25519.Point.fromBytes(bytes));
    if (points.some((point) => point.isSmallOrder() || !point.isTorsionFree())) return false;
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  } catch {
    return false;
  }
}

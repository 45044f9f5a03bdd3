/**
 * Ed25519 by OpenSSL, for what a token has just signed: before a signature leaves, another implementation than the one
 * that clients use has accepted it. What comes from elsewhere is verified strictly, by src/crypto/ed25519.ts.
 */
import { createPublicKey, verify } from "node:crypto";
import { toBase64Url } from "../../base/bytes.ts";

/** @param publicKey 32 bytes @returns false, never an error, for anything malformed */
export function verifyOwnEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const jwk = { kty: "OKP", crv: "Ed25519", x: toBase64Url(publicKey) };
    return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
  } catch {
    return false;
  }
}

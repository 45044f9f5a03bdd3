/** How a public key is named in envelopes and manifests. Runs in browsers. */
import { sha256 } from "@noble/hashes/sha2.js";
import { KEY_ID_BYTES } from "../wire/limits.ts";

/** SHA-256 of the uncompressed point (65 bytes), first 8 bytes. It names a key; it does not authenticate one. */
export function keyId(publicKey: Uint8Array): Uint8Array {
  return sha256(publicKey).slice(0, KEY_ID_BYTES);
}

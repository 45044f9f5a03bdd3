/** AES-256-GCM boxes: nonce (12 bytes, random) ‖ ciphertext ‖ tag (16 bytes). Records and cookies travel in them. */
import { concat } from "../../base/bytes.ts";
import { AEAD_NONCE_BYTES } from "../envelope.ts";
import { decrypt, encrypt } from "./aes-gcm.ts";
import { randomBytes } from "./random.ts";

/**
 * Random nonces are safe up to 2³² boxes per key (NIST SP 800-38D §8.3); callers derive a key per record or
 * per purpose and stay far below.
 *
 * @param key 32 bytes
 */
export function seal(key: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = randomBytes(AEAD_NONCE_BYTES);
  return concat(nonce, encrypt(key, nonce, plaintext, aad));
}

/** @throws decrypt-failed for a wrong key, other associated data, or any changed, missing or extra byte */
export function open(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  return decrypt(key, sealed.subarray(0, AEAD_NONCE_BYTES), sealed.subarray(AEAD_NONCE_BYTES), aad);
}

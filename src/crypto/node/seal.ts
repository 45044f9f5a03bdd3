/** AES-256-GCM boxes: nonce (12 bytes, random) ‖ ciphertext ‖ tag (16 bytes). Records and cookies travel in them. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { concat } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Random nonces are safe up to 2³² boxes per key (NIST SP 800-38D §8.3); callers derive a key per record or
 * per purpose and stay far below.
 *
 * @param key 32 bytes
 */
export function seal(key: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  return concat(nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** @throws decrypt-failed for a wrong key, other associated data, or any changed, missing or extra byte */
export function open(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  if (sealed.length < NONCE_BYTES + TAG_BYTES)
    throw new StrongroomError("decrypt-failed", "the sealed box is too short");
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const plaintext = decipher.update(sealed.subarray(NONCE_BYTES, end));
  try {
    // GCM is a stream mode: `final` only checks the tag and adds nothing.
    decipher.final();
  } catch (cause) {
    plaintext.fill(0);
    throw new StrongroomError("decrypt-failed", "the sealed box does not open", { cause });
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}

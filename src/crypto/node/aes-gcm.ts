/** AES-256-GCM over node:crypto: ciphertext ‖ tag (16 bytes), nonces of 12 bytes. Synchronous, as the host wants it. */
import { type CipherKey, createCipheriv, createDecipheriv } from "node:crypto";
import { concat } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";

const ALGORITHM = "aes-256-gcm";
const OPTIONS = { authTagLength: 16 };

/** The caller answers for the nonce being used once per key. */
export function encrypt(
  key: CipherKey,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS);
  cipher.setAAD(aad);
  return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** @throws decrypt-failed for a wrong key or nonce, other associated data, or any changed, missing or extra byte */
export function decrypt(
  key: CipherKey,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  aad: Uint8Array,
): Uint8Array {
  const end = ciphertext.length - OPTIONS.authTagLength;
  if (end < 0) throw new StrongroomError("decrypt-failed", "the ciphertext is shorter than its tag");
  const decipher = createDecipheriv(ALGORITHM, key, nonce, OPTIONS);
  decipher.setAAD(aad);
  decipher.setAuthTag(ciphertext.subarray(end));
  const plaintext = decipher.update(ciphertext.subarray(0, end));
  try {
    // GCM is a stream mode: `final` only checks the tag and adds nothing.
    decipher.final();
  } catch (cause) {
    plaintext.fill(0);
    throw new StrongroomError("decrypt-failed", "the ciphertext does not open", { cause });
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}

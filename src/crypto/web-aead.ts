/** AES-256-GCM by WebCrypto, for the code that also runs in browsers. */
import { StrongroomError } from "../base/errors.ts";

// WebCrypto's types want views of a plain ArrayBuffer; `Uint8Array.from` makes one (and copies secrets once more,
// for the length of one call).
async function gcm(key: Uint8Array, use: "encrypt" | "decrypt"): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", Uint8Array.from(key), "AES-GCM", false, [use]);
}

/** ciphertext ‖ tag (16 bytes). The caller answers for the nonce (12 bytes) being used once per key. */
export async function encrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  const algorithm = { name: "AES-GCM", iv: Uint8Array.from(nonce), additionalData: Uint8Array.from(aad) };
  return new Uint8Array(
    await crypto.subtle.encrypt(algorithm, await gcm(key, "encrypt"), Uint8Array.from(plaintext)),
  );
}

/** @throws decrypt-failed */
export async function decrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "AES-GCM", iv: Uint8Array.from(nonce), additionalData: Uint8Array.from(aad) };
  try {
    return new Uint8Array(
      await crypto.subtle.decrypt(algorithm, await gcm(key, "decrypt"), Uint8Array.from(ciphertext)),
    );
  } catch (cause) {
    throw new StrongroomError("decrypt-failed", "the ciphertext does not open", { cause });
  }
}

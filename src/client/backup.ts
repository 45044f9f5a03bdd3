/**
 * Backup files: standard age files (age-encryption.org/v1) under the recovered key, so that any age tool opens
 * them with the identity. Streams of any size; runs in browsers.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bech32 } from "@scure/base";
import { Decrypter, Encrypter, identityToRecipient } from "age-encryption";
import { utf8, wipe } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";

const LABEL = utf8("strongroom/client/age-identity/v1");
const IDENTITY_PREFIX = "age-secret-key-";

/**
 * The age identity of a backup key: `AGE-SECRET-KEY-1…`, an X25519 key derived by HKDF-SHA-256. A secret.
 *
 * @param backupKey 32 bytes
 */
export function ageIdentity(backupKey: Uint8Array): string {
  const scalar = hkdf(sha256, backupKey, undefined, LABEL, 32);
  try {
    return bech32.encodeFromBytes(IDENTITY_PREFIX, scalar).toUpperCase();
  } finally {
    wipe(scalar);
  }
}

/** The public recipient (`age1…`) of an identity: whoever has it can add backups and read none. */
export async function ageRecipient(identity: string): Promise<string> {
  return identityToRecipient(identity);
}

type Bytes = ReadableStream<Uint8Array>;

/** Passes bytes on and says how many there were so far. */
function counting(progress: ((bytes: number) => void) | undefined): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  return new TransformStream({
    transform: (chunk, controller) => {
      bytes += chunk.length;
      progress?.(bytes);
      controller.enqueue(chunk);
    },
  });
}

/**
 * Encrypts a stream to the identity's recipient.
 *
 * @param progress called with the number of plaintext bytes so far
 */
export async function encryptBackup(
  identity: string,
  plaintext: Bytes,
  progress?: (bytes: number) => void,
): Promise<Bytes> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  return encrypter.encrypt(plaintext.pipeThrough(counting(progress)));
}

function invalidBackup(cause: unknown): StrongroomError {
  return new StrongroomError("backup-invalid", "the backup is damaged, cut short, or under another key", {
    cause,
    hint: "every part is authenticated: what was restored so far must not be used",
  });
}

/**
 * Decrypts an age file. The stream fails with backup-invalid at the first damaged part, at the latest at its end
 * where it was cut short; nothing may be believed before it has ended.
 *
 * @param progress called with the number of ciphertext bytes so far
 * @throws backup-invalid for a header that is not age's or under another key
 */
export async function decryptBackup(
  identity: string,
  ciphertext: Bytes,
  progress?: (bytes: number) => void,
): Promise<Bytes> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  let plaintext: Bytes;
  try {
    plaintext = await decrypter.decrypt(ciphertext.pipeThrough(counting(progress)));
  } catch (cause) {
    throw invalidBackup(cause);
  }
  const reader = plaintext.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (cause) {
        controller.error(isStrongroomError(cause) ? cause : invalidBackup(cause));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

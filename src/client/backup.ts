/**
 * Backup files: standard age files (age-encryption.org/v1) under the recovered key, so that any age tool opens
 * them with the identity. Streams of any size; runs in browsers.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bech32 } from "@scure/base";
import { Decrypter, Encrypter, identityToRecipient } from "age-encryption";
import { concat, equal, utf8, wipe } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

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

/**
 * The recipient (`age1…`) of an identity: whoever has it can make backups and read none. Keep it as close as the
 * identity: as long as nobody else has it, a backup that opens is one that its owner made.
 */
export async function ageRecipient(identity: string): Promise<string> {
  return identityToRecipient(identity);
}

type Bytes = ReadableStream<Uint8Array>;
/** Called with the number of bytes so far. */
export type Progress = (bytes: number) => void;

/** Encrypts a stream to the identity's recipient. `progress` counts plaintext. */
export async function encryptBackup(identity: string, plaintext: Bytes, progress?: Progress): Promise<Bytes> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  return encrypter.encrypt(observed(plaintext, { progress }));
}

/**
 * Decrypts an age file. The stream fails with backup-invalid at the first damaged part, and at its end where the
 * file was cut short: nothing of it may be believed before it has ended. `progress` counts ciphertext.
 *
 * @throws backup-invalid for a header that is not age's, is damaged, or is for another key
 */
export async function decryptBackup(
  identity: string,
  ciphertext: Bytes,
  progress?: Progress,
): Promise<Bytes> {
  let sourceError: unknown;
  const source = observed(ciphertext, {
    progress,
    failed: (error) => {
      sourceError = error;
    },
  });
  const reader = source.getReader();
  const header = await readHeader(reader);
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  let plaintext: Bytes;
  try {
    plaintext = await decrypter.decrypt(resume(reader, header));
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError;
    // The library's only words for a header without a stanza for this identity.
    const otherKey = cause instanceof Error && cause.message.startsWith("no identity matched");
    throw otherKey
      ? invalid("this backup was made for another key", "recover the key of the account that made it", cause)
      : damaged(cause);
  }
  return translated(plaintext, (cause) => sourceError ?? damaged(cause));
}

const MAGIC = utf8("age-encryption.org/v1\n");
const ARMOR = utf8("-----BEGIN AGE");
/** The line that ends a header starts like this. */
const HEADER_END = utf8("\n---");
const MAX_HEADER_BYTES = 65_536;

/**
 * Reads until the header's last line has begun. The library would look for that line through the whole of a file of
 * many gigabytes that has none, keeping it all.
 */
async function readHeader(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array> {
  let read: Uint8Array = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (value) read = concat(read, value);
    if (startsWith(read, ARMOR))
      throw invalid("this is an age file in text form", "age --decrypt -i KEY-FILE opens it");
    const start = Math.min(read.length, MAGIC.length);
    if (!equal(read.subarray(0, start), MAGIC.subarray(0, start)) || (done && start < MAGIC.length))
      throw invalid("this is not an age file", "strongroom client backup makes them, and so does age");
    if (indexOf(read, HEADER_END) >= 0) return read;
    if (done || read.length > MAX_HEADER_BYTES) throw damaged();
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return equal(bytes.subarray(0, prefix.length), prefix);
}
function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = 0; at + part.length <= bytes.length; at++)
    if (startsWith(bytes.subarray(at), part)) return at;
  return -1;
}

function invalid(message: string, hint: string, cause?: unknown): StrongroomError {
  return new StrongroomError("backup-invalid", message, { hint, cause });
}
function damaged(cause?: unknown): StrongroomError {
  const hint = "take another copy of it; nothing that came out of this one may be used";
  return invalid("the backup is damaged or cut short", hint, cause);
}

/** Passes a stream on, says how much there was so far, and remembers whether it was the source that failed. */
function observed(
  source: Bytes,
  watch: { readonly progress?: Progress | undefined; readonly failed?: (error: unknown) => void },
): Bytes {
  let bytes = 0;
  return translated(
    source,
    (error) => {
      watch.failed?.(error);
      return error;
    },
    (chunk) => {
      bytes += chunk.length;
      watch.progress?.(bytes);
    },
  );
}

/** A stream whose errors are put into other words; it reads ahead by nothing. */
function translated(
  source: Bytes,
  error: (cause: unknown) => unknown,
  seen?: (chunk: Uint8Array) => void,
): Bytes {
  const reader = source.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          seen?.(value);
          controller.enqueue(value);
        } catch (cause) {
          controller.error(error(cause));
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** What was read already, then the rest. */
function resume(reader: ReadableStreamDefaultReader<Uint8Array>, read: Uint8Array): Bytes {
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(read),
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

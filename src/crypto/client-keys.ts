/**
 * What the client makes of OPAQUE's export key (RFC 9807 §3): one AES key for each secret that the vault keeps
 * for it, by HKDF under distinct labels, and the receipt key that proves a recovery. Runs in browsers.
 */
import { p256 } from "@noble/curves/nist.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, utf8, wipe } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { SEALED_KEY_BYTES } from "../wire/limits.ts";
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES } from "./envelope.ts";
import { decrypt, encrypt } from "./web-aead.ts";

const LABELS = {
  backup: utf8("strongroom/client/backup-key/v1"),
  receipt: utf8("strongroom/client/receipt-key/v1"),
} as const;
type Purpose = keyof typeof LABELS;

/** OPAQUE's export key is uniformly random, hence no salt. @throws internal for a short one */
function wrappingKey(exportKey: Uint8Array, purpose: Purpose): Uint8Array {
  if (exportKey.length < AEAD_KEY_BYTES) throw new StrongroomError("internal", "the export key is too short");
  return hkdf(sha256, exportKey, undefined, LABELS[purpose], AEAD_KEY_BYTES);
}

async function sealKey(
  purpose: Purpose,
  exportKey: Uint8Array,
  secret: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  if (secret.length !== 32) throw new StrongroomError("internal", "a key of 32 bytes is sealed here");
  const key = wrappingKey(exportKey, purpose);
  const nonce = crypto.getRandomValues(new Uint8Array(AEAD_NONCE_BYTES));
  try {
    return concat(nonce, await encrypt(key, nonce, secret, aad));
  } finally {
    wipe(key);
  }
}

async function openKey(
  purpose: Purpose,
  exportKey: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  if (sealed.length !== SEALED_KEY_BYTES)
    throw new StrongroomError("decrypt-failed", `a sealed key is ${SEALED_KEY_BYTES} bytes`);
  const key = wrappingKey(exportKey, purpose);
  try {
    return await decrypt(key, sealed.subarray(0, AEAD_NONCE_BYTES), sealed.subarray(AEAD_NONCE_BYTES), aad);
  } finally {
    wipe(key);
  }
}

/**
 * @param exportKey OPAQUE's export_key, at least 32 bytes
 * @param backupKey 32 bytes
 * @param aad       what the box is bound to (account and fleet); the same on opening
 * @returns nonce 12 ‖ ciphertext 32 ‖ tag 16
 */
export async function sealBackupKey(
  exportKey: Uint8Array,
  backupKey: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  return sealKey("backup", exportKey, backupKey, aad);
}

/** @throws decrypt-failed */
export async function openBackupKey(
  exportKey: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  return openKey("backup", exportKey, sealed, aad);
}

/** As `sealBackupKey`, for the receipt key's private half. */
export async function sealReceiptKey(
  exportKey: Uint8Array,
  privateKey: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  return sealKey("receipt", exportKey, privateKey, aad);
}

/** @throws decrypt-failed */
export async function openReceiptKey(
  exportKey: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  return openKey("receipt", exportKey, sealed, aad);
}

export interface ReceiptKeyPair {
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  /** Compressed point, 33 bytes. */
  readonly publicKey: Uint8Array;
}

export function generateReceiptKeyPair(): ReceiptKeyPair {
  const { secretKey, publicKey } = p256.keygen();
  return { privateKey: secretKey, publicKey };
}

/** ECDSA P-256 with SHA-256, deterministic (RFC 6979), low s: r ‖ s, 64 bytes. */
export function signReceipt(privateKey: Uint8Array, message: Uint8Array): Uint8Array {
  return p256.sign(message, privateKey, { prehash: true, lowS: true, format: "compact" });
}

/**
 * Verifies what a site's identity key signed (acknowledgments). False, never an error, for malformed input.
 *
 * @param publicKey 33 or 65 bytes
 * @param signature r ‖ s; high s too, which is what tokens give
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return p256.verify(signature, message, publicKey, { prehash: true, lowS: false, format: "compact" });
  } catch {
    return false;
  }
}

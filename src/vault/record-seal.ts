/**
 * Sealed records: format version (1) ‖ salt (16) ‖ AES-256-GCM box of the encoded record, with the record's id
 * as associated data, so that no record can be put in another's place.
 *
 * The key is HMAC(record, "seal" ‖ id ‖ salt), made in the token for each box: the host holds it only while one
 * record is open, and a fresh salt with every write means that no key ever seals twice.
 */
import { concat, framed } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { open, seal } from "../crypto/node/seal.ts";
import type { HmacStep } from "../token/token.ts";
import type { Account } from "../wire/transcripts.ts";
import type { VaultRecord } from "./record.ts";
import { decodeRecord, encodedRecordBytes, encodeRecord } from "./record-codec.ts";

export const SALT_BYTES = 16;
const VERSION = 1;
/** Nonce and tag of the box. */
const BOX_BYTES = 28;

const hmac = (data: Uint8Array): HmacStep => ({ op: "hmac", key: "record", data });

/** The step whose result is the account's record id. */
export function recordIdStep(account: Account): HmacStep {
  return hmac(framed("id", account.tenant, account.subject));
}

/** The step whose result is the key that seals `id` under `salt`. */
export function recordKeyStep(id: Uint8Array, salt: Uint8Array): HmacStep {
  return hmac(framed("seal", id, salt));
}

/** The size of every sealed record in a fleet with `shareCount` shares: what a store keeps. */
export function sealedRecordBytes(shareCount: number): number {
  return 1 + SALT_BYTES + BOX_BYTES + encodedRecordBytes(shareCount);
}

/** @throws record-corrupt for another format or size */
export function saltOf(sealed: Uint8Array, shareCount: number): Uint8Array {
  if (sealed[0] !== VERSION || sealed.length !== sealedRecordBytes(shareCount))
    throw new StrongroomError("record-corrupt", "a stored record has an unknown format");
  return sealed.slice(1, 1 + SALT_BYTES);
}

export interface SealContext {
  /** 32 bytes, from `recordKeyStep`. */
  readonly key: Uint8Array;
  readonly id: Uint8Array;
  readonly shareCount: number;
}

export function sealRecord(record: VaultRecord, salt: Uint8Array, context: SealContext): Uint8Array {
  const plaintext = encodeRecord(record, context.shareCount);
  try {
    return concat(Uint8Array.of(VERSION), salt, seal(context.key, plaintext, context.id));
  } finally {
    plaintext.fill(0);
  }
}

/** @throws record-corrupt */
export function openRecord(sealed: Uint8Array, context: SealContext): VaultRecord {
  saltOf(sealed, context.shareCount);
  let plaintext: Uint8Array;
  try {
    plaintext = open(context.key, sealed.subarray(1 + SALT_BYTES), context.id);
  } catch (cause) {
    throw new StrongroomError("record-corrupt", "a stored record does not open", { cause });
  }
  return decodeRecord(plaintext, context.shareCount);
}

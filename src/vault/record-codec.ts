/**
 * Records as bytes: length (4, big endian) ‖ deterministic CBOR ‖ zeros, always the same size in one fleet, so
 * that whoever sees the store cannot tell an active record from a vacant, destroyed or deleted one.
 */
import { z } from "zod";
import { uintBE } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";
import {
  HASH_BYTES,
  MAX_WRAPPED_BYTES,
  POINT_BYTES,
  REGISTRATION_RECORD_BYTES,
  SEALED_KEY_BYTES,
  SIGNATURE_BYTES,
  UNCOMPRESSED_POINT_BYTES,
  WRITE_ID_BYTES,
} from "../wire/limits.ts";
import {
  EARLIER_ATTEMPT_BYTES,
  MAX_EARLIER_ATTEMPTS,
  type Registration,
  type VaultRecord,
} from "./record.ts";
import { counter, shareList, sized, sizedOrEmpty } from "./share-schema.ts";

/** How many write ids a record remembers. */
export const MAX_WRITE_IDS = 16;

const LENGTH_BYTES = 4;
/** Everything but the shares, at its longest (a test holds it to that). */
const FIXED_BYTES = 1024;
/** A share at its longest: wrapped key, point, tag, and the names and heads around them. */
const SHARE_BYTES = MAX_WRAPPED_BYTES + UNCOMPRESSED_POINT_BYTES + HASH_BYTES + 55;

const earlier = z
  .instanceof(Uint8Array)
  .refine(
    ({ length }) =>
      length > 0 &&
      length % EARLIER_ATTEMPT_BYTES === 0 &&
      length <= MAX_EARLIER_ATTEMPTS * EARLIER_ATTEMPT_BYTES,
    "earlier attempts",
  );

const registration: z.ZodType<Registration> = z
  .strictObject({
    shares: shareList,
    registrationRecord: sized(REGISTRATION_RECORD_BYTES),
    sealedBackupKey: sized(SEALED_KEY_BYTES),
    sealedReceiptKey: sized(SEALED_KEY_BYTES),
    receiptPublicKey: sized(POINT_BYTES),
    maxAttempts: z.number().int().positive().max(0xffff_ffff),
    seq: counter,
    base: counter,
    lastReceipt: sizedOrEmpty(SIGNATURE_BYTES),
    lastAttempt: sizedOrEmpty(HASH_BYTES),
    earlier: earlier.optional(),
    lastAttemptAt: counter,
    registeredAt: counter,
  })
  .refine((r) => r.base <= r.seq && r.seq - r.base <= r.maxAttempts, "counters out of range")
  .refine((r) => r.lastReceipt.length > 0 === r.base > 0, "receipt without success, or the reverse")
  .refine((r) => r.lastAttempt.length > 0 === r.seq > 0, "attempt without hash, or the reverse");

const vaultRecord: z.ZodType<VaultRecord> = z
  .strictObject({
    version: z.literal(1),
    state: z.enum(["vacant", "active", "destroyed", "deleted"]),
    generation: counter,
    registration: registration.optional(),
    budgetAt: counter,
    writeIds: z.array(sized(WRITE_ID_BYTES)).max(MAX_WRITE_IDS),
    updatedAt: counter,
  })
  .refine((r) => (r.registration !== undefined) === (r.state === "active"), "state and registration disagree")
  .refine((r) => (r.generation === 0) === (r.state === "vacant"), "state and generation disagree");

/** The size of every encoded record in a fleet with `shareCount` shares: one share 1.5 KiB, else whole KiB. */
export function encodedRecordBytes(shareCount: number): number {
  const longest = LENGTH_BYTES + FIXED_BYTES + shareCount * SHARE_BYTES;
  const step = shareCount === 1 ? 1536 : 1024;
  return Math.ceil(longest / step) * step;
}

/** @throws internal for a record that breaks its own rules, so that none is ever written */
export function encodeRecord(record: VaultRecord, shareCount: number): Uint8Array {
  const { registration: active, ...common } = record;
  const cbor = encodeCbor(active === undefined ? common : { ...common, registration: active });
  const out = new Uint8Array(encodedRecordBytes(shareCount));
  if (LENGTH_BYTES + cbor.length > out.length || !vaultRecord.safeParse(record).success)
    throw new StrongroomError("internal", "a record to be written is invalid");
  out.set(uintBE(cbor.length, LENGTH_BYTES));
  out.set(cbor, LENGTH_BYTES);
  return out;
}

/** @throws record-corrupt */
export function decodeRecord(bytes: Uint8Array, shareCount: number): VaultRecord {
  if (bytes.length !== encodedRecordBytes(shareCount)) throw corrupt("size");
  const end = LENGTH_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (end > bytes.length || bytes.subarray(end).some((byte) => byte !== 0)) throw corrupt("padding");
  let value: unknown;
  try {
    value = decodeCbor(bytes.subarray(LENGTH_BYTES, end));
  } catch (cause) {
    throw corrupt("encoding", cause);
  }
  const parsed = vaultRecord.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw corrupt(`${issue?.path.join(".") || "record"}: ${issue?.message}`);
}

function corrupt(what: string, cause?: unknown): StrongroomError {
  return new StrongroomError("record-corrupt", `a stored record is malformed: ${what}`, { cause });
}

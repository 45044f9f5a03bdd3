/**
 * Guard entries as a site keeps them: version (1) ‖ deterministic CBOR ‖ checksum (16), the checksum over the
 * record's id as well. It stands against disks, not against attackers, who would own the site: an entry that was
 * damaged, or is another record's, must not open anything, so it is refused and the record with it.
 */
import { z } from "zod";
import { concat, equal, framed } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { counter, sized } from "../vault/share-schema.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";
import { HASH_BYTES } from "../wire/limits.ts";
import { type GuardEntry, MAX_ATTEMPTS, MAX_SPENT_TOKENS } from "./guard-rules.ts";

const VERSION = 1;
const CHECKSUM_BYTES = 16;

const hash = sized(HASH_BYTES);
const positive = counter.refine((value) => value > 0, "must be positive");

const guardEntry: z.ZodType<GuardEntry> = z
  .strictObject({
    generation: positive,
    policy: hash,
    base: counter,
    floor: counter,
    used: z.array(z.strictObject({ seq: positive, element: hash })).max(MAX_ATTEMPTS),
    spent: z.array(z.strictObject({ token: hash, seq: counter, until: counter })).max(MAX_SPENT_TOKENS),
  })
  .refine(
    ({ base, used }) => used.every(({ seq }, i) => seq > (used[i - 1]?.seq ?? base)),
    "used attempts out of order, or proven",
  )
  .refine(({ base, used }) => (used.at(-1)?.seq ?? base) <= base + MAX_ATTEMPTS, "attempts out of range");

function checksum(id: Uint8Array, cbor: Uint8Array): Uint8Array {
  const digest = sha256Of(framed("strongroom/guard/v1", id, cbor));
  return Uint8Array.from(digest.subarray(0, CHECKSUM_BYTES));
}

/** @throws internal for an entry that breaks its own rules, so that none is ever written */
export function encodeGuardEntry(id: Uint8Array, entry: GuardEntry): Uint8Array {
  if (!guardEntry.safeParse(entry).success)
    throw new StrongroomError("internal", "a guard entry to be written is invalid");
  const cbor = encodeCbor(entry);
  return concat(Uint8Array.of(VERSION), cbor, checksum(id, cbor));
}

/** @throws record-corrupt */
export function decodeGuardEntry(id: Uint8Array, bytes: Uint8Array): GuardEntry {
  const cbor = bytes.subarray(1, -CHECKSUM_BYTES);
  if (bytes[0] !== VERSION || !equal(checksum(id, cbor), bytes.subarray(-CHECKSUM_BYTES)))
    throw corrupt("its checksum or version is wrong");
  let value: unknown;
  try {
    value = decodeCbor(cbor);
  } catch (cause) {
    throw corrupt("its encoding", cause);
  }
  const parsed = guardEntry.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw corrupt(`${issue?.path.join(".") || "entry"}: ${issue?.message}`);
}

function corrupt(what: string, cause?: unknown): StrongroomError {
  return new StrongroomError("record-corrupt", `an entry of the guard is malformed: ${what}`, {
    cause,
    hint: "the site refuses this record; other sites serve it",
  });
}

/** Shares as records and cookies carry them; both decode what came from outside and trust no size. */
import { z } from "zod";
import { HASH_BYTES, MAX_SHARES, MAX_WRAPPED_BYTES, UNCOMPRESSED_POINT_BYTES } from "../wire/limits.ts";
import type { Share } from "./record.ts";

export function sized(length: number): z.ZodType<Uint8Array> {
  return z.instanceof(Uint8Array).refine((value) => value.length === length, `must be ${length} bytes`);
}

/** Bytes that are `length` long or absent, an absent value being empty. */
export function sizedOrEmpty(length: number): z.ZodType<Uint8Array> {
  return z
    .instanceof(Uint8Array)
    .refine((value) => value.length === length || value.length === 0, `must be ${length} bytes or empty`);
}

/** Counters and times: exact integers. */
export const counter: z.ZodType<number> = z.number().int().nonnegative().safe();

const share: z.ZodType<Share> = z.strictObject({
  share: z
    .number()
    .int()
    .nonnegative()
    .max(MAX_SHARES - 1),
  mechanism: z.number().int().nonnegative().max(0xffff_ffff),
  wrapped: z
    .instanceof(Uint8Array)
    .refine((value) => value.length > 0 && value.length <= MAX_WRAPPED_BYTES, "wrapped share size"),
  publicKey: sized(UNCOMPRESSED_POINT_BYTES),
  tag: sized(HASH_BYTES),
});

/** At least one share, each number once, in order: one list, one encoding. */
export const shareList: z.ZodType<readonly Share[]> = z
  .array(share)
  .min(1)
  .max(MAX_SHARES)
  .refine(
    (list) => list.every((one, i) => i === 0 || (list[i - 1]?.share ?? 0) < one.share),
    "shares must be in order",
  );

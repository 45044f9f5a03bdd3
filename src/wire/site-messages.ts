/**
 * What one site asks another inside a channel, and what it is told (design §7); the shapes of src/fleet's
 * SiteService. A peer may be compromised, so everything decoded here is hostile until its schema has passed.
 */
import { z } from "zod";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import {
  CHANNEL_ID_BYTES,
  HASH_BYTES,
  MAX_ACCOUNT_TOKEN_BYTES,
  MAX_SHARES,
  MAX_WRAPPED_BYTES,
  POINT_BYTES,
  RECORD_ID_BYTES,
  SIGNATURE_BYTES,
  UNCOMPRESSED_POINT_BYTES,
} from "./limits.ts";
import { checked, decodeAnswerOr, decodeMessage, encodeMessage } from "./message-codec.ts";

/** A share as records hold it. */
interface SiteShare {
  readonly share: number;
  /** A CKM number. */
  readonly mechanism: number;
  readonly wrapped: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly tag: Uint8Array;
}

interface Policy {
  readonly recordId: Uint8Array;
  readonly generation: number;
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
}

interface SiteRequests {
  create: Policy & {
    readonly accountToken: string;
    readonly blindedElement: Uint8Array;
    readonly numbers: readonly number[];
  };
  evaluate: Policy & {
    readonly accountToken: string;
    readonly blindedElement: Uint8Array;
    readonly shares: readonly SiteShare[];
    readonly seq: number;
    readonly base: number;
    /** 64 bytes; empty where base is 0. */
    readonly lastReceipt: Uint8Array;
  };
  announce: Policy & { readonly shares: readonly SiteShare[] };
  status: object;
}

export type SiteOperation = keyof SiteRequests;
export type SiteRequest = { [O in SiteOperation]: { readonly op: O } & SiteRequests[O] }[SiteOperation];

export interface SiteAnswers {
  create: { readonly shares: readonly SiteShare[]; readonly partial: Uint8Array };
  evaluate: { readonly partial: Uint8Array };
  announce: Readonly<Record<string, never>>;
  status: {
    readonly site: string;
    readonly token: { readonly ok: boolean; readonly detail: string };
    readonly store: { readonly ok: boolean; readonly detail: string };
    readonly inFlight: number;
    readonly manifest: string;
    readonly now: number;
  };
}

/** What a site may learn of another's trouble. */
export const SITE_CODES = [
  "unauthorized",
  "invalid-request",
  "guard-refused",
  "record-corrupt",
  "rate-limited",
  "unavailable",
] as const;
export type SiteCode = (typeof SITE_CODES)[number];

export interface SiteError {
  readonly error: SiteCode;
  readonly details?:
    | { readonly reason?: string | undefined; readonly retryAfter?: number | undefined }
    | undefined;
}

/** What the initiator of a channel says of it, sealed to the responder. */
export interface Opening {
  readonly fleet: string;
  readonly from: string;
  readonly to: string;
  readonly channel: Uint8Array;
  /** Milliseconds since the Unix epoch, by the initiator's clock. */
  readonly issuedAt: number;
  /** The initiator's, uncompressed and not yet checked. */
  readonly ephemeral: Uint8Array;
  /** The initiator's identity key over `channelMessage`, r ‖ s. */
  readonly signature: Uint8Array;
}

const bytes = (min: number, max: number = min): z.ZodType<Uint8Array> =>
  z.instanceof(Uint8Array).refine((value) => value.length >= min && value.length <= max, "wrong size");
const counter = z.number().int().nonnegative().safe();
const ascending = (list: readonly number[]): boolean =>
  list.every((n, i) => i === 0 || (list[i - 1] ?? n) < n);
const number = z
  .number()
  .int()
  .min(0)
  .max(MAX_SHARES - 1);
const point = bytes(UNCOMPRESSED_POINT_BYTES);

/** Each number once and in order: one list, one encoding. */
const shares: z.ZodType<readonly SiteShare[]> = z
  .array(
    z.strictObject({
      share: number,
      mechanism: counter.max(0xffff_ffff),
      wrapped: bytes(1, MAX_WRAPPED_BYTES),
      publicKey: point,
      tag: bytes(HASH_BYTES),
    }),
  )
  .min(1)
  .max(MAX_SHARES)
  .refine((list) => ascending(list.map(({ share }) => share)), "shares must be in order");

const policy = {
  recordId: bytes(RECORD_ID_BYTES),
  generation: counter.min(1),
  receiptPublicKey: bytes(POINT_BYTES),
  maxAttempts: z.number().int().min(1).max(100),
};
const asked = {
  ...policy,
  accountToken: z.string().min(1).max(MAX_ACCOUNT_TOKEN_BYTES),
  blindedElement: point,
};

const request: z.ZodType<SiteRequest> = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("create"),
    ...asked,
    numbers: z.array(number).min(1).max(MAX_SHARES).refine(ascending, "numbers must be in order"),
  }),
  z.strictObject({
    op: z.literal("evaluate"),
    ...asked,
    shares,
    seq: counter.min(1),
    base: counter,
    lastReceipt: bytes(0, SIGNATURE_BYTES).refine(
      ({ length }) => length === 0 || length === SIGNATURE_BYTES,
      "a receipt or nothing",
    ),
  }),
  z.strictObject({ op: z.literal("announce"), ...policy, shares }),
  z.strictObject({ op: z.literal("status") }),
]);

/** A site's words about itself are shown to people. */
const MAX_DETAIL = 300;
const part = z.strictObject({ ok: z.boolean(), detail: z.string().max(MAX_DETAIL) });

const answers: { [O in SiteOperation]: z.ZodType<SiteAnswers[O]> } = {
  create: z.strictObject({ shares, partial: point }),
  evaluate: z.strictObject({ partial: point }),
  announce: z.strictObject({}),
  status: z.strictObject({
    site: z.string().max(64),
    token: part,
    store: part,
    inFlight: counter,
    manifest: z.string().regex(/^[0-9a-f]{64}$/),
    now: counter,
  }),
};

const siteError: z.ZodType<SiteError> = z.strictObject({
  error: z.enum(SITE_CODES),
  details: z
    .strictObject({
      reason: z
        .string()
        .regex(/^[a-z0-9-]{1,40}$/)
        .optional(),
      retryAfter: counter.optional(),
    })
    .optional(),
});

const opening: z.ZodType<Opening> = z.strictObject({
  fleet: z.string().max(64),
  from: z.string().max(64),
  to: z.string().max(64),
  channel: bytes(CHANNEL_ID_BYTES),
  issuedAt: counter,
  ephemeral: point,
  signature: bytes(SIGNATURE_BYTES),
});

export function encodeOpening(message: Opening): Uint8Array {
  return encodeCbor(message);
}

/** @throws decode-failed */
export function decodeOpening(plaintext: Uint8Array): Opening {
  return checked(opening, decodeCbor(plaintext), "opening");
}

export function encodeSiteRequest(message: SiteRequest): Uint8Array {
  return encodeMessage(message);
}

/** @throws decode-failed */
export function decodeSiteRequest(padded: Uint8Array): SiteRequest {
  return decodeMessage(request, padded, "site request");
}

export function encodeSiteAnswer(answer: SiteAnswers[SiteOperation] | SiteError): Uint8Array {
  return encodeMessage(answer);
}

/** @throws decode-failed */
export function decodeSiteAnswer<O extends SiteOperation>(
  operation: O,
  padded: Uint8Array,
): SiteAnswers[O] | SiteError {
  const answer: z.ZodType<SiteAnswers[O]> = answers[operation];
  return decodeAnswerOr({ answer, error: siteError }, padded);
}

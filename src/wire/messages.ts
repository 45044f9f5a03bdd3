/**
 * The messages inside the sealed envelope (design §6): what a client may ask and what it may be told.
 * Everything decoded here is hostile until its schema has passed: exact sizes, no unknown fields.
 */
import * as z from "zod";
import { concat } from "../base/bytes.ts";
import type { WireCode } from "../base/errors.ts";
import {
  KE1_BYTES,
  KE2_BYTES,
  KE3_BYTES,
  MAX_ACCOUNT_TOKEN_BYTES,
  MAX_COOKIE_BYTES,
  POINT_BYTES,
  RECORD_ID_BYTES,
  REGISTRATION_RECORD_BYTES,
  SEALED_KEY_BYTES,
  SIGNATURE_BYTES,
} from "./limits.ts";
import { decodeAnswerOr, decodeMessage, encodeMessage } from "./message-codec.ts";

/** Creates the account's OPRF key and evaluates it on the blinded element (RFC 9807 §5.2.2). */
export interface RegisterStart {
  readonly op: "register-start";
  readonly accountToken: string;
  /** RegistrationRequest: compressed point, 33 bytes. */
  readonly blindedElement: Uint8Array;
  /** Compressed P-256 point, 33 bytes; verifies the receipts of later recoveries. */
  readonly receiptPublicKey: Uint8Array;
}

export interface RegisterFinish {
  readonly op: "register-finish";
  readonly accountToken: string;
  readonly cookie: Uint8Array;
  /** RFC 9807 RegistrationRecord, 129 bytes. */
  readonly registrationRecord: Uint8Array;
  readonly sealedBackupKey: Uint8Array;
  readonly sealedReceiptKey: Uint8Array;
}

export interface RecoverStart {
  readonly op: "recover-start";
  readonly accountToken: string;
  readonly ke1: Uint8Array;
}

export interface RecoverFinish {
  readonly op: "recover-finish";
  readonly accountToken: string;
  readonly cookie: Uint8Array;
  readonly ke3: Uint8Array;
  /** ECDSA P-256 over `receiptMessage`, r ‖ s. */
  readonly receipt: Uint8Array;
}

export interface Status {
  readonly op: "status";
  readonly accountToken: string;
}

export interface Delete {
  readonly op: "delete";
  readonly accountToken: string;
  /** What is to be deleted, as `status` tells it: a request that arrives late must not meet a newer registration. */
  readonly generation: number;
}

export type VaultRequest = RegisterStart | RegisterFinish | RecoverStart | RecoverFinish | Status | Delete;
export type Operation = VaultRequest["op"];
export const OPERATIONS: readonly Operation[] = [
  "register-start",
  "register-finish",
  "recover-start",
  "recover-finish",
  "status",
  "delete",
];

export interface RegisterStarted {
  /** RegistrationResponse = evaluatedElement ‖ serverPublicKey (RFC 9807 §5.1), 33 bytes each. */
  readonly evaluatedElement: Uint8Array;
  readonly serverPublicKey: Uint8Array;
  readonly cookie: Uint8Array;
}

export interface RegisterFinished {
  readonly recordId: Uint8Array;
  readonly generation: number;
  readonly site: string;
  /** Site identity key, ECDSA P-256 over `acknowledgmentMessage`, r ‖ s. */
  readonly acknowledgment: Uint8Array;
}

export interface RecoverStarted {
  readonly ke2: Uint8Array;
  readonly sealedReceiptKey: Uint8Array;
  readonly recordId: Uint8Array;
  readonly generation: number;
  /** The number of this attempt in its generation; part of the receipt. */
  readonly seq: number;
  /** Attempts left should this one fail. */
  readonly attemptsLeft: number;
  readonly cookie: Uint8Array;
}

export interface RecoverFinished {
  readonly sealedBackupKey: Uint8Array;
  /** Attempts left after the success has reset the counter. */
  readonly attemptsLeft: number;
}

export interface StatusAnswer {
  readonly state: "active" | "destroyed";
  readonly generation: number;
  readonly attemptsLeft: number;
  readonly maxAttempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly registeredAt: number;
}

export interface Deleted {
  readonly generation: number;
}

/** The answer to each operation. */
export interface Answers {
  "register-start": RegisterStarted;
  "register-finish": RegisterFinished;
  "recover-start": RecoverStarted;
  "recover-finish": RecoverFinished;
  status: StatusAnswer;
  delete: Deleted;
}

/** Every sealed answer may tell the newest epoch that its site knows of, so that clients hear of new fleets (design §10). */
export interface Heralding {
  readonly epoch?: number | undefined;
}

export interface WireError {
  readonly error: WireCode;
  /** Whole seconds; with `rate-limited` and `unavailable`. */
  readonly retryAfter?: number | undefined;
}

const bytes = (length: number): z.ZodType<Uint8Array> =>
  z.instanceof(Uint8Array).refine((value) => value.length === length, `must be ${length} bytes`);
const cookie = z
  .instanceof(Uint8Array)
  .refine((value) => value.length > 0 && value.length <= MAX_COOKIE_BYTES, "cookie size");
const accountToken = z.string().min(1).max(MAX_ACCOUNT_TOKEN_BYTES);
const counter = z.number().int().nonnegative().safe();
const epoch = z.number().int().min(1).safe().optional();

const request: z.ZodType<VaultRequest> = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("register-start"),
    accountToken,
    blindedElement: bytes(POINT_BYTES),
    receiptPublicKey: bytes(POINT_BYTES),
  }),
  z.strictObject({
    op: z.literal("register-finish"),
    accountToken,
    cookie,
    registrationRecord: bytes(REGISTRATION_RECORD_BYTES),
    sealedBackupKey: bytes(SEALED_KEY_BYTES),
    sealedReceiptKey: bytes(SEALED_KEY_BYTES),
  }),
  z.strictObject({ op: z.literal("recover-start"), accountToken, ke1: bytes(KE1_BYTES) }),
  z.strictObject({
    op: z.literal("recover-finish"),
    accountToken,
    cookie,
    ke3: bytes(KE3_BYTES),
    receipt: bytes(SIGNATURE_BYTES),
  }),
  z.strictObject({ op: z.literal("status"), accountToken }),
  z.strictObject({ op: z.literal("delete"), accountToken, generation: counter }),
]);

const answers: { [O in Operation]: z.ZodType<Answers[O] & Heralding> } = {
  "register-start": z.strictObject({
    evaluatedElement: bytes(POINT_BYTES),
    serverPublicKey: bytes(POINT_BYTES),
    cookie,
    epoch,
  }),
  "register-finish": z.strictObject({
    recordId: bytes(RECORD_ID_BYTES),
    generation: counter,
    site: z.string().max(64),
    acknowledgment: bytes(SIGNATURE_BYTES),
    epoch,
  }),
  "recover-start": z.strictObject({
    ke2: bytes(KE2_BYTES),
    sealedReceiptKey: bytes(SEALED_KEY_BYTES),
    recordId: bytes(RECORD_ID_BYTES),
    generation: counter,
    seq: counter,
    attemptsLeft: counter,
    cookie,
    epoch,
  }),
  "recover-finish": z.strictObject({
    sealedBackupKey: bytes(SEALED_KEY_BYTES),
    attemptsLeft: counter,
    epoch,
  }),
  status: z.strictObject({
    state: z.enum(["active", "destroyed"]),
    generation: counter,
    attemptsLeft: counter,
    maxAttempts: counter,
    registeredAt: counter,
    epoch,
  }),
  delete: z.strictObject({ generation: counter, epoch }),
};

const wireError: z.ZodType<WireError & Heralding> = z.strictObject({
  error: z.enum([
    "unauthorized",
    "not-registered",
    "destroyed",
    "expired",
    "conflict",
    "rate-limited",
    "invalid-request",
    "unknown-key",
    "unavailable",
  ]),
  retryAfter: counter.optional(),
  epoch,
});

export function encodeRequest(message: VaultRequest): Uint8Array {
  return encodeMessage(message);
}

/** @throws decode-failed */
export function decodeRequest(padded: Uint8Array): VaultRequest {
  return decodeMessage(request, padded, "request");
}

export function encodeAnswer(answer: (Answers[Operation] | WireError) & Heralding): Uint8Array {
  return encodeMessage(answer);
}

/** @throws decode-failed */
export function decodeAnswer<O extends Operation>(
  operation: O,
  padded: Uint8Array,
): (Answers[O] | WireError) & Heralding {
  const answer: z.ZodType<Answers[O] & Heralding> = answers[operation];
  return decodeAnswerOr({ answer, error: wireError }, padded);
}

/** What travels in HTTP bodies: `version ‖ kid ‖ enc ‖ ciphertext` and `version ‖ nonce ‖ ciphertext`. */
export const ENVELOPE_VERSION = 1;
export const ENVELOPE_CONTENT_TYPE = "application/vnd.strongroom.sealed";
export function envelopeHeader(kid: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(ENVELOPE_VERSION), kid);
}

/**
 * Cookies: what a site would have to remember between the two halves of register and recover, handed to the
 * client instead, so that any site can finish what another one started.
 *
 * format version (1) ‖ salt (16) ‖ AES-256-GCM box of deterministic CBOR. The key is HMAC(record, "cookie" ‖
 * purpose ‖ salt): a cookie of one purpose is noise to the other. The record id is the associated data: a cookie
 * is of no use to another account.
 */
import { z } from "zod";
import { concat, framed } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { open, seal } from "../crypto/node/seal.ts";
import type { HmacStep } from "../token/token.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";
import { HASH_BYTES, POINT_BYTES } from "../wire/limits.ts";
import type { Share } from "./record.ts";
import { SALT_BYTES } from "./record-seal.ts";
import { counter, shareList, sized } from "./share-schema.ts";

const VERSION = 1;

export interface RegisterCookie {
  /** The generation that the registration will have. */
  readonly generation: number;
  readonly shares: readonly Share[];
  /** Compressed, 33 bytes. */
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

export interface RecoverCookie {
  readonly generation: number;
  readonly seq: number;
  /** What KE3 must be, 32 bytes. */
  readonly expectedClientMac: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

interface Cookies {
  readonly register: RegisterCookie;
  readonly recover: RecoverCookie;
}
export type CookiePurpose = keyof Cookies;

const contents: { [P in CookiePurpose]: z.ZodType<Cookies[P]> } = {
  register: z.strictObject({
    generation: counter,
    shares: shareList,
    receiptPublicKey: sized(POINT_BYTES),
    maxAttempts: z.number().int().positive().max(0xffff_ffff),
    expiresAt: counter,
  }),
  recover: z.strictObject({
    generation: counter,
    seq: counter,
    expectedClientMac: sized(HASH_BYTES),
    expiresAt: counter,
  }),
};

/** The step whose result is the key of a cookie. */
export function cookieKeyStep(purpose: CookiePurpose, salt: Uint8Array): HmacStep {
  return { op: "hmac", key: "record", data: framed("cookie", purpose, salt) };
}

/** @throws invalid-request unless it begins like a cookie */
export function cookieSalt(cookie: Uint8Array): Uint8Array {
  if (cookie[0] !== VERSION || cookie.length <= 1 + SALT_BYTES) throw invalid();
  return cookie.slice(1, 1 + SALT_BYTES);
}

/** @param key 32 bytes, from `cookieKeyStep` for its purpose and this salt */
export function sealCookie(
  cookie: Cookies[CookiePurpose],
  salt: Uint8Array,
  key: Uint8Array,
  recordId: Uint8Array,
): Uint8Array {
  const plaintext = encodeCbor(cookie);
  try {
    return concat(Uint8Array.of(VERSION), salt, seal(key, plaintext, recordId));
  } finally {
    plaintext.fill(0);
  }
}

/**
 * Says nothing of expiry: the caller may have to act on an expired cookie.
 * @throws invalid-request for anything but a cookie of this purpose, account and fleet
 */
export function openCookie<P extends CookiePurpose>(
  purpose: P,
  cookie: Uint8Array,
  key: Uint8Array,
  recordId: Uint8Array,
): Cookies[P] {
  cookieSalt(cookie);
  try {
    const value = decodeCbor(open(key, cookie.subarray(1 + SALT_BYTES), recordId));
    const schema: z.ZodType<Cookies[P]> = contents[purpose];
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
  } catch (cause) {
    throw invalid(cause);
  }
  throw invalid();
}

function invalid(cause?: unknown): StrongroomError {
  return new StrongroomError("invalid-request", "not a cookie for this operation and account", { cause });
}

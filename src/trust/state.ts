/**
 * What somebody who checks epochs remembers (design §10): the newest one, the keys for the next, and proof of every lie
 * that was told. Without this memory an older epoch, or another one of the same number, would look as genuine as any.
 * No I/O: apps and monitors store the JSON.
 */
import * as z from "zod";
import { toHex, utf8 } from "../base/bytes.ts";
import type { StrongroomError } from "../base/errors.ts";
import {
  type AnnouncedKeys,
  type Announcement,
  announcedKeysSchema,
  decodeAnnouncement,
  NAMESPACE_PATTERN,
  sha256Hex,
} from "../wire/announcement.ts";
import { type Bundle, bundleSchema, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { encodeJson, parseJson } from "../wire/json.ts";
import type { Pins } from "./pins.ts";
import { type Refusal, refusalOf, refused } from "./refusal.ts";
import type { VerifiedEpoch } from "./verify-bundle.ts";

/** Two genuine bundles that cannot both be honest. Anybody can verify them: never thrown away. */
export interface Misbehaviour {
  readonly reason: "equivocation" | "broken-chain" | "forked-log";
  /** What had been believed. */
  readonly first: Bundle;
  /** What was shown afterwards. */
  readonly second: Bundle;
}

export interface TrustState {
  readonly type: "strongroom/trust-state/v1";
  readonly namespace: string;
  /** The newest epoch that was found genuine. */
  readonly epoch: number;
  /** SHA-256 of its announcement, hex. */
  readonly digest: string;
  /** Under which keys it was found so. */
  readonly verifiedUnder: AnnouncedKeys;
  /** The keys for the epochs after it: those that it announces. */
  readonly keys: AnnouncedKeys;
  /** The largest checkpoint seen; the root in hex. */
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: string };
  readonly bundle: Bundle;
  readonly proofs: readonly Misbehaviour[];
}

/** Store `state` in any case, then throw `refusal` if there is one: a refusal may be the most important to remember. */
export interface Advance {
  readonly state: TrustState | undefined;
  readonly refusal?: StrongroomError;
}

/** How far a clock may be behind that of whoever made an announcement. */
const CLOCK_SKEW_MS = 5 * 60_000;
/** The first ones say it all; whoever lies without end must not fill a disk. */
export const MAX_PROOFS = 8;
const MAX_STATE_BYTES = (2 * MAX_PROOFS + 1) * 2 * MAX_BUNDLE_BYTES;

/** Keys that a bundle of that epoch is to be verified under. */
export function keysFor(state: TrustState | undefined, pins: Pins, epoch: number): AnnouncedKeys {
  // An update of the app that raises the minimum brings the keys of that time.
  if (state === undefined || state.epoch < pins.minimumEpoch) return pins.keys;
  return epoch > state.epoch ? state.keys : state.verifiedUnder;
}

export function announcementOf(state: TrustState): Announcement {
  return decodeAnnouncement(utf8(state.bundle.announcement));
}

/** Why an announcement does not hold at `now` (milliseconds since the Unix epoch): expired, not-yet-valid. */
export function untimely(
  { createdAt, validUntil }: Pick<Announcement, "createdAt" | "validUntil">,
  now: number,
): StrongroomError | undefined {
  if (createdAt > now + CLOCK_SKEW_MS) return refused("not-yet-valid", `made at ${timeText(createdAt)}`);
  return validUntil > now ? undefined : refused("expired", `valid until ${timeText(validUntil)}`);
}

/** Times of announcements are as far from now as whoever signs likes. */
export function timeText(milliseconds: number): string {
  const time = new Date(milliseconds);
  return Number.isNaN(time.getTime()) ? `${milliseconds} ms` : time.toISOString();
}

function lie(
  state: TrustState,
  { checkpoint, ...verified }: VerifiedEpoch,
): Misbehaviour["reason"] | undefined {
  const seen = state.checkpoint;
  if (verified.epoch === state.epoch && verified.digest !== state.digest) return "equivocation";
  if (verified.epoch === state.epoch + 1 && verified.announcement.previous !== state.digest)
    return "broken-chain";
  const sameTree = seen.origin === checkpoint.origin && seen.size === checkpoint.size;
  return sameTree && seen.root !== toHex(checkpoint.root) ? "forked-log" : undefined;
}

function withProof(state: TrustState, reason: Misbehaviour["reason"], second: Bundle): TrustState {
  const known = state.proofs.some(
    (proof) => proof.reason === reason && proof.second.audit.digest === second.audit.digest,
  );
  if (known || state.proofs.length >= MAX_PROOFS) return state;
  return { ...state, proofs: [...state.proofs, { reason, first: state.bundle, second }] };
}

/** As `advance`, whatever time it is: for the epochs between, which have expired long since. */
export function follow(state: TrustState | undefined, pins: Pins, verified: VerifiedEpoch): Advance {
  const refuse = (reason: Refusal, detail: string, now = state): Advance => ({
    state: now,
    refusal: refused(reason, detail),
  });
  const { epoch, digest, bundle, checkpoint, announcement } = verified;
  for (const namespace of [announcement.namespace, state?.namespace ?? pins.namespace])
    if (namespace !== pins.namespace) return refuse("wrong-namespace", namespace);
  if (epoch < pins.minimumEpoch) return refuse("below-minimum", `${epoch} < ${pins.minimumEpoch}`);
  if (state !== undefined) {
    const lied = lie(state, verified);
    if (lied !== undefined)
      return refuse(lied, `epoch ${epoch}, after ${state.epoch}`, withProof(state, lied, bundle));
    if (epoch < state.epoch) return refuse("older-epoch", `${epoch} < ${state.epoch}`);
  }
  const seen = state?.checkpoint;
  const larger = seen?.origin !== checkpoint.origin || checkpoint.size > seen.size;
  if (state !== undefined && epoch === state.epoch && !larger) return { state };
  return {
    state: {
      type: "strongroom/trust-state/v1",
      namespace: pins.namespace,
      epoch,
      digest,
      verifiedUnder: verified.keys,
      keys: announcement.keys,
      checkpoint: larger ? { ...checkpoint, root: toHex(checkpoint.root) } : seen,
      bundle,
      proofs: state?.proofs ?? [],
    },
  };
}

/**
 * Judges a genuine epoch by what was seen before and by the clock. One that has expired is remembered all the same: no
 * older one may come after it.
 * @param now milliseconds since the Unix epoch
 * @returns refusals: wrong-namespace, below-minimum, older-epoch, equivocation, broken-chain, forked-log, expired,
 *   not-yet-valid
 */
export function advance(
  state: TrustState | undefined,
  pins: Pins,
  verified: VerifiedEpoch,
  now: number,
): Advance {
  const next = follow(state, pins, verified);
  if (next.refusal) return next;
  const refusal = untimely(verified.announcement, now);
  if (!refusal) return next;
  // A clock may be wrong, and this is what tells: nothing is remembered by such a clock.
  return { state: refusalOf(refusal) === "expired" ? next.state : state, refusal };
}

const schema: z.ZodType<TrustState> = z
  .strictObject({
    type: z.literal("strongroom/trust-state/v1"),
    namespace: z.string().regex(NAMESPACE_PATTERN),
    epoch: z.number().int().min(1).safe(),
    digest: sha256Hex,
    verifiedUnder: announcedKeysSchema,
    keys: announcedKeysSchema,
    checkpoint: z.strictObject({
      origin: z.string().min(1).max(256),
      size: z.number().int().min(1).safe(),
      root: sha256Hex,
    }),
    bundle: bundleSchema,
    proofs: z
      .array(
        z.strictObject({
          reason: z.enum(["equivocation", "broken-chain", "forked-log"]),
          first: bundleSchema,
          second: bundleSchema,
        }),
      )
      .max(MAX_PROOFS),
  })
  .refine(({ epoch, digest, bundle }) => bundle.audit.epoch === epoch && bundle.audit.digest === digest, {
    path: ["bundle"],
    message: "is of another epoch",
  });

export function encodeTrustState(state: TrustState): Uint8Array {
  return encodeJson(state);
}

/** Only from where nobody else writes: what is in it is believed. @throws decode-failed */
export function decodeTrustState(bytes: Uint8Array): TrustState {
  return parseJson(bytes, {
    what: "trust state",
    schema,
    code: "decode-failed",
    maxBytes: MAX_STATE_BYTES,
    hint: "keep the file for its proofs, then begin again without it: the pins are enough",
  });
}

/**
 * What a site's guard allows (design §7): pure rules over what the site remembers of one record.
 *
 * A site believes no coordinator. What bounds the evaluations that it takes part in is its own memory: of each
 * generation one policy, of each attempt number one blinded element, of each account token one attempt, and no number
 * beyond `maxAttempts` after the last success that was proved to it by a receipt. So whatever is replayed, rolled back
 * or forged, between two proven successes this site evaluates at most `maxAttempts` elements of a generation.
 *
 * The policy is part of the memory because a tag alone proves little: any site can have shares made for a generation
 * under a receipt key of its own, and would raise `base` with receipts of its own. And whoever holds a share can tag
 * it for any generation, so a generation is new to a site only with the tags of all shares that it holds: no minority
 * can make all of them.
 */
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { ACCOUNT_TOKEN_MEMORY_MS } from "../wire/limits.ts";

/** The largest maxAttempts of the configuration's schema. */
export const MAX_ATTEMPTS = 100;
/** Account tokens remembered for one record; a legitimate account does not come near it in their lifetime. */
export const MAX_SPENT_TOKENS = 256;

export interface UsedAttempt {
  readonly seq: number;
  /** SHA-256 of the blinded element, 32 bytes. */
  readonly element: Uint8Array;
}

export interface SpentToken {
  /** SHA-256 of what the issuer signed, 32 bytes. */
  readonly token: Uint8Array;
  /** The attempt that it authorised; 0 for one of an older generation. */
  readonly seq: number;
  /** Until when it must be remembered, milliseconds since the Unix epoch. */
  readonly until: number;
}

export interface GuardEntry {
  /** From 1; lower ones are refused. */
  readonly generation: number;
  /** SHA-256 of the generation's policy, 32 bytes. */
  readonly policy: Uint8Array;
  /** The highest attempt number of a success that was proved to this site. */
  readonly base: number;
  /** Numbers up to this count as used, those in `used` apart: what happened before this site's memory begins. */
  readonly floor: number;
  /** Attempts above `base` that this site evaluated, ascending by number. */
  readonly used: readonly UsedAttempt[];
  /** Oldest first. */
  readonly spent: readonly SpentToken[];
}

/** A request for an evaluation, as far as the guard is concerned. */
export interface Attempt {
  readonly generation: number;
  readonly policy: Uint8Array;
  readonly maxAttempts: number;
  readonly seq: number;
  readonly base: number;
  readonly element: Uint8Array;
  readonly token: Uint8Array;
  /** Whether the request's receipt proves its `base` under the receipt key of its policy. */
  receiptVerifies(): boolean;
}

/** What the store says of an active record: where a site's memory begins that has none. */
export interface StoredState {
  readonly generation: number;
  readonly policy: Uint8Array;
  /** Attempts made, the one that is being asked for included. */
  readonly seq: number;
}

export function refused(reason: string): StrongroomError {
  return new StrongroomError("guard-refused", `the guard refused: ${reason}`, { details: { reason } });
}

/** An entry as it is when a generation begins. Tokens stay spent, whatever they were spent on. */
function begun(entry: GuardEntry | undefined, generation: number, policy: Uint8Array): GuardEntry {
  const spent = (entry?.spent ?? []).map((one) => ({ ...one, seq: 0 }));
  return { generation, policy, base: 0, floor: 0, used: [], spent };
}

/** Whether a site has no memory of the request's generation: it then takes none of it on the request's word. */
export function isNew(entry: GuardEntry | undefined, request: { readonly generation: number }): boolean {
  return entry === undefined || request.generation > entry.generation;
}

/**
 * The memory of a site that has none of the attempt's generation. The number asked for has just been made durable by
 * whoever asks, so the store must have it; all others may have been evaluated when this site had another memory.
 *
 * @param stored an active record, whose shares have verified by the time that anything is evaluated
 * @throws guard-refused
 */
export function firstSight(entry: GuardEntry | undefined, stored: StoredState, attempt: Attempt): GuardEntry {
  if (stored.generation !== attempt.generation) throw refused("generation");
  if (!equal(stored.policy, attempt.policy)) throw refused("policy");
  const { seq, element } = attempt;
  if (seq > stored.seq) throw refused("skipped");
  return { ...begun(entry, stored.generation, stored.policy), floor: stored.seq, used: [{ seq, element }] };
}

/** `base` as far as it is proved; attempts up to it are of no more use to anybody. */
function raiseBase(entry: GuardEntry, attempt: Attempt): GuardEntry {
  if (attempt.base <= entry.base) return entry;
  if (!attempt.receiptVerifies()) throw refused("receipt");
  return { ...entry, base: attempt.base, used: entry.used.filter(({ seq }) => seq > attempt.base) };
}

/** The very same list where the token was spent on this attempt already. @throws unauthorized, rate-limited */
function spend(entry: GuardEntry, attempt: Attempt, now: number): readonly SpentToken[] {
  const earlier = entry.spent.find(({ token, until }) => until > now && equal(token, attempt.token));
  if (earlier?.seq === attempt.seq) return entry.spent;
  if (earlier) throw new StrongroomError("unauthorized", "the account token has authorised another attempt");
  const spent = entry.spent.filter(({ until }) => until > now);
  const [oldest] = spent;
  if (oldest && spent.length >= MAX_SPENT_TOKENS) {
    const retryAfter = Math.max(1, Math.ceil((oldest.until - now) / 1000));
    throw new StrongroomError("rate-limited", "too many account tokens at once", { details: { retryAfter } });
  }
  return [...spent, { token: attempt.token, seq: attempt.seq, until: now + ACCOUNT_TOKEN_MEMORY_MS }];
}

/**
 * The entry once the attempt may be evaluated; it must be durable before that. The very same entry comes back
 * where nothing changes: the OPRF is deterministic, so the same element again tells nobody anything new.
 *
 * @param entry what is remembered of the generation, or its `firstSight`
 * @param now   milliseconds since the Unix epoch
 * @throws guard-refused with details.reason; unauthorized; rate-limited (details.retryAfter, seconds)
 */
export function admit(entry: GuardEntry, attempt: Attempt, now: number): GuardEntry {
  if (attempt.generation !== entry.generation) throw refused("generation");
  if (!equal(entry.policy, attempt.policy)) throw refused("policy");
  if (attempt.seq <= attempt.base) throw refused("range");

  const raised = raiseBase(entry, attempt);
  const { seq, element } = attempt;
  if (seq <= raised.base) throw refused("proven");
  if (seq > raised.base + attempt.maxAttempts) throw refused("beyond");
  const earlier = raised.used.find((one) => one.seq === seq);
  if (earlier ? !equal(earlier.element, element) : seq <= raised.floor) throw refused("used");
  const spent = spend(raised, attempt, now);
  if (earlier) return spent === raised.spent ? raised : { ...raised, spent };
  const used = [...raised.used, { seq, element }].sort((a, b) => a.seq - b.seq);
  return { ...raised, used, spent };
}

/** The entry once a generation whose tags have verified is known; the very same one where it is not newer. */
export function announced(
  entry: GuardEntry | undefined,
  registered: { readonly generation: number; readonly policy: Uint8Array },
): GuardEntry {
  const { generation, policy } = registered;
  return entry && generation <= entry.generation ? entry : begun(entry, generation, policy);
}

/**
 * Recovery: an attempt is counted before the OPRF is evaluated, and given back only by a proof of success.
 *
 * Repeating an attempt costs nothing: the OPRF is deterministic, so the same blinded element tells its sender only
 * what the dropped answer would have told. It is known by its hash, for the latest attempt alone. A repetition of an
 * earlier one is refused: whoever holds requests back could else deliver those of two attempts in turn, and all would count.
 */
import { concat, equal } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { COOKIE_LIFETIME_MS } from "../../wire/limits.ts";
import type { RecoverCookie } from "../cookie.ts";
import { EARLIER_ATTEMPT_BYTES, MAX_EARLIER_ATTEMPTS, type Registration } from "../record.ts";
import {
  attemptsLeft,
  charge,
  destruction,
  isOverdue,
  lastAttemptOpen,
  notRegistered,
  registrationOf,
} from "./attempts.ts";
import type { Rule, VaultPolicy } from "./decision.ts";

export interface Attempt {
  readonly generation: number;
  /** As written: `seq` is this attempt. */
  readonly registration: Registration;
  /** Should this attempt fail. */
  readonly attemptsLeft: number;
  /** When its cookie ends, milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

const beginningOf = (hash: Uint8Array): Uint8Array => hash.subarray(0, EARLIER_ATTEMPT_BYTES);

function isEarlier({ earlier }: Registration, attemptHash: Uint8Array): boolean {
  const beginning = beginningOf(attemptHash);
  for (let at = 0; at < (earlier?.length ?? 0); at += EARLIER_ATTEMPT_BYTES)
    if (earlier && equal(earlier.subarray(at, at + EARLIER_ATTEMPT_BYTES), beginning)) return true;
  return false;
}

/** The registration with one more attempt. */
function counted(registration: Registration, attemptHash: Uint8Array, now: number): Registration {
  const { seq, lastAttempt, earlier } = registration;
  const next = { ...registration, seq: seq + 1, lastAttempt: attemptHash, lastAttemptAt: now };
  if (seq === 0) return next;
  const all = earlier ? concat(beginningOf(lastAttempt), earlier) : beginningOf(lastAttempt);
  return { ...next, earlier: all.slice(0, MAX_EARLIER_ATTEMPTS * EARLIER_ATTEMPT_BYTES) };
}

/**
 * Counts the attempt, or recognises it, or destroys the record if none is left.
 *
 * @param attemptHash SHA-256 of the blinded element
 * @throws not-registered, destroyed; conflict for a repetition of another attempt than the latest
 */
export function beginRecovery(attemptHash: Uint8Array, policy: VaultPolicy): Rule<Attempt> {
  return (found, now) => {
    const { record, registration } = registrationOf(found);
    const repeated = registration.seq > 0 && equal(registration.lastAttempt, attemptHash);
    const exhausted = attemptsLeft(registration) <= 0;
    if (!repeated && isEarlier(registration, attemptHash) && !isOverdue(record, now))
      throw new StrongroomError("conflict", "another attempt was made since this one");
    if (exhausted && !(repeated && lastAttemptOpen(registration, now))) return destruction(record);

    const charged = charge(record, now, policy);
    if ("refusal" in charged) return charged.refusal;
    const next = repeated ? registration : counted(registration, attemptHash, now);
    return {
      write: { ...record, budgetAt: charged.budgetAt, registration: next },
      outcome: {
        ok: {
          generation: record.generation,
          registration: next,
          attemptsLeft: attemptsLeft(next),
          // The record of a last attempt is destroyed once that attempt's time is over; repeating gains no time.
          expiresAt: (exhausted ? registration.lastAttemptAt : now) + COOKIE_LIFETIME_MS,
        },
      },
      event: repeated ? "attempt-repeated" : "attempt",
    };
  };
}

/** What shows that the client had the right code. */
export interface SuccessProof {
  readonly cookie: RecoverCookie;
  /** KE3 is what the cookie expects. */
  readonly ke3Matches: boolean;
  /** r ‖ s. */
  readonly receipt: Uint8Array;
  /** Whether the receipt verifies under this registration's receipt key. */
  receiptVerifies(receiptPublicKey: Uint8Array): boolean;
}

export interface Recovered {
  readonly sealedBackupKey: Uint8Array;
  readonly attemptsLeft: number;
}

/**
 * Gives the attempts up to this one back.
 * @throws destroyed, not-registered, expired, conflict (registered anew since), unauthorized
 */
export function finishRecovery(proof: SuccessProof): Rule<Recovered> {
  return (found, now) => {
    const { cookie } = proof;
    const { record, registration } = registrationOf(found);
    if (isOverdue(record, now)) return destruction(record);
    if (now > cookie.expiresAt) throw new StrongroomError("expired", "the recovery took too long");
    if (record.generation !== cookie.generation)
      throw new StrongroomError("conflict", "registered anew since this recovery began");
    if (cookie.seq > registration.seq)
      throw new StrongroomError("conflict", "the record knows nothing of this attempt");
    if (!proof.ke3Matches) throw new StrongroomError("unauthorized", "KE3 does not match");
    if (!proof.receiptVerifies(registration.receiptPublicKey))
      throw new StrongroomError("unauthorized", "the receipt does not verify");

    const { sealedBackupKey } = registration;
    if (cookie.seq <= registration.base)
      return { outcome: { ok: { sealedBackupKey, attemptsLeft: attemptsLeft(registration) } } };
    const next: Registration = { ...registration, base: cookie.seq, lastReceipt: proof.receipt };
    return {
      write: { ...record, registration: next },
      outcome: { ok: { sealedBackupKey, attemptsLeft: attemptsLeft(next) } },
      event: "recovered",
    };
  };
}

/** Destroys a record whose last attempt can no longer be finished; the outcome says whether it did. */
export const settleExhausted: Rule<boolean> = (record, now) => {
  if (!record) throw notRegistered();
  if (!isOverdue(record, now)) return { outcome: { ok: false } };
  return { ...destruction(record), outcome: { ok: true } };
};

/** Counting attempts: the arithmetic that every operation shares, and the one way a record is destroyed. */
import { StrongroomError } from "../../base/errors.ts";
import { COOKIE_LIFETIME_MS } from "../../wire/limits.ts";
import type { Registration, VaultRecord } from "../record.ts";
import { chargeEvaluation } from "./budget.ts";
import type { Decision, VaultPolicy } from "./decision.ts";

export function attemptsLeft(registration: Registration): number {
  return registration.maxAttempts - (registration.seq - registration.base);
}

/** Whether the latest attempt can still be finished. A clock that was set back by more closes it as well. */
export function lastAttemptOpen(registration: Registration, now: number): boolean {
  return Math.abs(now - registration.lastAttemptAt) <= COOKIE_LIFETIME_MS;
}

/** No attempt is left, and the last one can no longer turn out to have been right. */
export function isOverdue(record: VaultRecord, now: number): boolean {
  const { registration } = record;
  return registration !== undefined && attemptsLeft(registration) <= 0 && !lastAttemptOpen(registration, now);
}

/** Shares and all other secrets go; generation and budget stay. */
export function destroyed(record: VaultRecord): VaultRecord {
  return { ...record, state: "destroyed", registration: undefined };
}

export function destruction(record: VaultRecord): Decision<never> {
  return { write: destroyed(record), outcome: { refused: destroyedError() }, event: "destroyed" };
}

function destroyedError(): StrongroomError {
  return new StrongroomError("destroyed", "the record was destroyed: no attempt was left");
}

export function notRegistered(): StrongroomError {
  return new StrongroomError("not-registered", "nothing is registered for this account");
}

/** The registration of an active record. @throws not-registered, destroyed */
export function registrationOf(record: VaultRecord | undefined): {
  readonly record: VaultRecord;
  readonly registration: Registration;
} {
  if (record?.state === "destroyed") throw destroyedError();
  if (!record?.registration) throw notRegistered();
  return { record, registration: record.registration };
}

/** Charges one evaluation: the new instant, or the refusal. */
export function charge(
  record: VaultRecord,
  now: number,
  policy: VaultPolicy,
): { readonly budgetAt: number } | { readonly refusal: Decision<never> } {
  const result = chargeEvaluation(record.budgetAt, now, policy);
  if (result.allowed) return { budgetAt: result.budgetAt };
  const refused = new StrongroomError("rate-limited", "too many evaluations for this account", {
    details: { retryAfter: result.retryAfter },
  });
  const write = result.correctedTo === undefined ? undefined : { ...record, budgetAt: result.correctedTo };
  return { refusal: { write, outcome: { refused }, event: "rate-limited" } };
}

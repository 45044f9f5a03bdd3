/**
 * What a rule decides: (record, facts, now, policy) → the record to write, and what then to say. Rules read no
 * clock, draw no randomness and touch no token or store; the executor does, and it may call a rule again with a
 * newer record when another write was faster.
 */
import type { StrongroomError } from "../../base/errors.ts";
import type { VaultRecord } from "../record.ts";

/** What happened, for metrics and the log. */
export type VaultEvent =
  | "registered"
  | "attempt"
  | "attempt-repeated"
  | "recovered"
  | "destroyed"
  | "deleted"
  | "rate-limited"
  | "store-conflict"
  | "store-ambiguous"
  | "announcement-lost";

export interface Decision<T> {
  /** To be durable before the outcome is told; undefined where nothing changes. */
  readonly write?: VaultRecord | undefined;
  /** A refusal may need a write too: destruction, for one. */
  readonly outcome: { readonly ok: T } | { readonly refused: StrongroomError };
  readonly event?: VaultEvent | undefined;
}

export interface VaultPolicy {
  /** Attempts a registration gets; bound into its shares, so that a later change concerns new registrations only. */
  readonly maxAttempts: number;
  /** Evaluations an account may use at once … */
  readonly evaluationBurst: number;
  /** … and what it gets back over a day. */
  readonly evaluationsPerDay: number;
}

/** Decides on the record as it is now. @throws StrongroomError for a refusal that changes nothing */
export type Rule<T> = (record: VaultRecord | undefined, now: number) => Decision<T>;

/**
 * The evaluation budget: how often an account's OPRF keys, of any generation, may be evaluated over time, so that
 * registering again and again is no oracle.
 *
 * GCRA (the leaky bucket as one instant): each evaluation moves `budgetAt` one interval ahead, starting at now if
 * it lies in the past, and may not move it further ahead of now than the burst. So any time span w sees at most
 * burst + w/interval evaluations.
 */
import type { VaultPolicy } from "./decision.ts";

const DAY_MS = 86_400_000;

export type Charge =
  | { readonly allowed: true; readonly budgetAt: number }
  | {
      readonly allowed: false;
      /** Whole seconds until an evaluation will be allowed again. */
      readonly retryAfter: number;
      /** Present where the stored instant is impossible and must be replaced, or the account would stay locked. */
      readonly correctedTo?: number;
    };

/** @param budgetAt, now milliseconds since the Unix epoch */
export function chargeEvaluation(budgetAt: number, now: number, policy: VaultPolicy): Charge {
  const interval = Math.ceil(DAY_MS / policy.evaluationsPerDay);
  const latest = now + policy.evaluationBurst * interval;
  const next = Math.max(now, budgetAt) + interval;
  if (next <= latest) return { allowed: true, budgetAt: next };
  const retryAfter = (at: number): number => Math.ceil((at + interval - latest) / 1000);
  // Only a clock that was set back leaves an instant later than `latest`. Trusted, it would lock the account for as
  // long as the clock was wrong; forgotten, it would hand out a whole burst. As of now the budget is used up, which
  // is stored at once: otherwise every refusal would look at the same impossible instant again.
  return budgetAt > latest
    ? { allowed: false, retryAfter: retryAfter(latest), correctedTo: latest }
    : { allowed: false, retryAfter: retryAfter(budgetAt) };
}

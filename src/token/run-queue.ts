/** Calls of `run` between their caller and a worker. */
import { StrongroomError } from "../base/errors.ts";
import type { StepResult } from "./steps.ts";
import type { TokenStep } from "./token.ts";

/** A call of `run` on its way. */
export interface PendingRun {
  readonly id: number;
  readonly steps: readonly TokenStep[];
  /** `performance.now()` after which its caller no longer waits. */
  readonly deadline: number;
  /** Workers that died under it. */
  deaths: number;
  /** Its caller has been answered already. */
  settled: boolean;
  readonly resolve: (results: StepResult[]) => void;
  readonly reject: (error: StrongroomError) => void;
}

/** A run is given to a second worker when its first one died, not to a third. */
const MAX_DEATHS = 2;

export function resolveRun(run: PendingRun, results: StepResult[]): void {
  if (run.settled) return;
  run.settled = true;
  run.resolve(results);
}

export function rejectRun(run: PendingRun, error: StrongroomError): void {
  if (run.settled) return;
  run.settled = true;
  run.reject(error);
}

/** Answers the caller if the time is up; the run may still be under way. */
export function expireRun(run: PendingRun, now: number): void {
  if (now >= run.deadline)
    rejectRun(run, new StrongroomError("token-timeout", "the token did not answer in time"));
}

/** A new error for each caller: stacks and identity are not shared. */
export function sameError(error: StrongroomError): StrongroomError {
  return new StrongroomError(error.code, error.message, {
    details: error.details,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

/** The runs that no worker has yet, first come first served. */
export class RunQueue {
  #runs: PendingRun[] = [];

  get length(): number {
    return this.#runs.length;
  }
  push(run: PendingRun): void {
    this.#runs.push(run);
  }
  shift(): PendingRun | undefined {
    return this.#runs.shift();
  }

  /** Runs that a worker left unanswered, in their order; only the first can have been what ended it. */
  putBack(unanswered: readonly PendingRun[]): void {
    const again: PendingRun[] = [];
    unanswered.forEach((run, i) => {
      if (run.settled) return;
      if (i === 0) run.deaths++;
      if (run.deaths < MAX_DEATHS) again.push(run);
      else
        rejectRun(run, new StrongroomError("token-failed", "two token workers ended during this operation"));
    });
    this.#runs = [...again, ...this.#runs];
  }

  expire(now: number): void {
    for (const run of this.#runs) expireRun(run, now);
    if (this.#runs.some(({ settled }) => settled)) this.#runs = this.#runs.filter((run) => !run.settled);
  }

  fail(error: StrongroomError): void {
    const runs = this.#runs;
    this.#runs = [];
    for (const run of runs) rejectRun(run, sameError(error));
  }
}

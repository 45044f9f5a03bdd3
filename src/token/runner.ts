/**
 * Runs in a worker: steps one after the other, and what ckr.ts says to do when one fails. Steps change
 * nothing that lasts, so a run may start again from its first step.
 */
import { StrongroomError } from "../base/errors.ts";
import { actionFor } from "./ckr.ts";
import type { Verdict } from "./run-codec.ts";
import type { TokenSession } from "./session.ts";
import { type StepResult, StepRunner } from "./steps.ts";
import type { TokenStep } from "./token.ts";

/** Device errors in a row before the device is asked whether it still works. */
const MAX_DEVICE_ERRORS = 3;
const PROBE_DATA = new TextEncoder().encode("strongroom/probe/v1");
/** Roles whose keys can make a MAC. */
const MAC_ROLES: readonly string[] = ["record", "share-mac"];

export class Runner {
  readonly #session: TokenSession;
  readonly #steps: StepRunner;
  readonly #probe: readonly TokenStep[];
  #deviceErrors = 0;
  /** What the pool must be told with the next answer. */
  verdict: Verdict = "none";
  /** Microseconds of each step of the current run. */
  readonly micros: number[] = [];

  /** @throws key-missing, key-drift, token-unsuitable, token-absent */
  constructor(session: TokenSession) {
    this.#session = session;
    this.#steps = new StepRunner(session);
    this.#steps.prepare();
    const mac = session.keys.find(({ role }) => MAC_ROLES.includes(role));
    this.#probe = mac ? [{ op: "hmac", key: mac.name, data: PROBE_DATA }] : [];
  }

  /** @throws what the failing step threw; look at `verdict` then */
  run(steps: readonly TokenStep[]): StepResult[] {
    try {
      const results = this.#once(steps);
      this.#deviceErrors = 0;
      return results;
    } catch (error) {
      if (!this.#recover(error)) throw error;
    }
    try {
      return this.#once(steps);
    } catch (error) {
      // The remedy did not help: what is left is a new process.
      if (this.#decide(error) !== "fail") this.#judge("recycle");
      throw error;
    }
  }

  /** Is the token there, and does a key still work? @throws token-absent, token-failed, … */
  probe(): void {
    try {
      this.#session.requirePresent();
    } catch (error) {
      this.#judge("recycle");
      throw error;
    }
    this.run(this.#probe);
  }

  #once(steps: readonly TokenStep[]): StepResult[] {
    this.micros.length = 0;
    const results: StepResult[] = [];
    try {
      for (const step of steps) {
        const start = performance.now();
        try {
          results.push(this.#steps.run(step));
        } finally {
          this.micros.push(Math.round((performance.now() - start) * 1000));
        }
      }
      return results;
    } finally {
      this.#sweep();
    }
  }

  #sweep(): void {
    try {
      this.#session.sweep();
    } catch (error) {
      this.#judge(actionFor(error) === "stop" ? "stop" : "recycle");
    }
  }

  /** Applies the remedy for an error. @returns whether the run may start again */
  #recover(error: unknown): boolean {
    const action = this.#decide(error);
    try {
      switch (action) {
        case "reopen":
          this.#session.reopen();
          return true;
        case "relogin":
          this.#session.login();
          return true;
        case "resolve":
          this.#session.forgetKeys();
          return true;
        case "retry":
          this.#suspect();
          return false;
        case "fail":
        case "recycle":
        case "stop":
          return false;
      }
    } catch (failed) {
      this.#judge(actionFor(failed) === "stop" ? "stop" : "recycle");
      throw failed;
    }
  }

  #decide(error: unknown): ReturnType<typeof actionFor> {
    const action = actionFor(error);
    if (action === "stop" || action === "recycle") this.#judge(action);
    return action;
  }

  /**
   * Modules also say "general error" for a corrupt blob. So after a few in a row the device is asked itself,
   * and nobody can make workers restart by feeding them corrupt records.
   */
  #suspect(): void {
    this.#deviceErrors++;
    if (this.#deviceErrors < MAX_DEVICE_ERRORS) return;
    this.#deviceErrors = 0;
    this.#session.requirePresent();
    try {
      for (const step of this.#probe) this.#steps.run(step);
    } catch (cause) {
      throw new StrongroomError("token-failed", "the token keeps failing", { cause });
    }
  }

  #judge(verdict: Verdict): void {
    if (this.verdict !== "stop") this.verdict = verdict;
  }
}

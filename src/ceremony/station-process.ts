/**
 * A station whose token is reached from this machine: a child process that takes its steps, one after another.
 *
 * It is a process because a PKCS#11 module reads its environment and is initialised once per process, while every
 * station has a token, and maybe a module, of its own. What people say goes to the child as answers to its questions;
 * PINs pass through these messages and nothing else, and are wiped on both sides.
 */
import { errorTold, type ToldError, toldError } from "../base/told-error.ts";
import { childProgram, forkTokenChild, leaveChild, type TokenChild } from "../token/child-process.ts";
import type { StationHands } from "./hands.ts";
import type { StepOrder, StepResult } from "./station-run.ts";

/** To the child. */
export type ToStation =
  | { readonly kind: "open"; readonly dir: string }
  | { readonly kind: "step"; readonly order: StepOrder }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "no-answer"; readonly id: number; readonly error: ToldError };

/** From the child. */
export type FromStation =
  | {
      readonly kind: "ask";
      readonly id: number;
      readonly method: keyof StationHands;
      readonly question: unknown;
    }
  | { readonly kind: "taken"; readonly result: StepResult }
  | { readonly kind: "failed"; readonly error: ToldError };

export class StationProcess {
  readonly #started: TokenChild;
  readonly #hands: StationHands;

  /**
   * @param dir the ceremony's directory
   * @param env what the PKCS#11 module needs in its environment besides that of this process
   */
  constructor(dir: string, hands: StationHands, env: Readonly<Record<string, string>> = {}) {
    this.#hands = hands;
    this.#started = forkTokenChild(childProgram(import.meta.url, "station-child"), env, {
      hint: "`strongroom ceremony resume` looks at what was done and goes on",
    });
    this.#send({ kind: "open", dir });
  }

  /** One step at a time. @throws what the step throws; token-failed where the process ends */
  async take(order: StepOrder): Promise<StepResult> {
    const { child, ended } = this.#started;
    const result = new Promise<StepResult>((resolve, reject) => {
      child.removeAllListeners("message");
      child.on("message", (message: FromStation) => {
        if (message.kind === "taken") resolve(message.result);
        else if (message.kind === "failed") reject(errorTold(message.error));
        else this.#answer(message).catch(reject);
      });
    });
    this.#send({ kind: "step", order });
    return await Promise.race([result, ended]);
  }

  close(): Promise<void> {
    return leaveChild(this.#started);
  }

  async #answer({ id, method, question }: Extract<FromStation, { kind: "ask" }>): Promise<void> {
    let value: unknown;
    try {
      // The child asks by the same interface, so its question is the method's.
      value = await (this.#hands[method] as (asked: unknown) => Promise<unknown>).call(this.#hands, question);
    } catch (error) {
      this.#send({ kind: "no-answer", id, error: toldError(error) });
      return;
    }
    this.#send({ kind: "answer", id, value });
    if (value instanceof Uint8Array) value.fill(0);
  }

  #send(message: ToStation): void {
    // A child that has ended shows by `ended`.
    this.#started.child.send(message, () => undefined);
  }
}

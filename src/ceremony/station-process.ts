/**
 * A station whose token is reached from this machine: a child process that takes its steps, one after another.
 *
 * It is a process because a PKCS#11 module reads its environment and is initialised once per process, while every
 * station has a token, and maybe a module, of its own. What people say goes to the child as answers to its questions;
 * PINs pass through these messages and nothing else, and are wiped on both sides.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type ErrorCode, type ErrorOptions, isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { StationHands } from "./hands.ts";
import type { StepOrder, StepResult } from "./station-run.ts";

export type ToldError = { readonly code: ErrorCode; readonly message: string } & ErrorOptions;

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

/** An error as it crosses between the processes: without a cause, which may not be cloned. */
export function toldError(error: unknown): ToldError {
  if (!isStrongroomError(error))
    return { code: "internal", message: error instanceof Error ? error.message : String(error) };
  const { code, message, hint, details } = error;
  return { code, message, details, ...(hint === undefined ? {} : { hint }) };
}

export function errorTold({ code, message, ...options }: ToldError): StrongroomError {
  return new StrongroomError(code, message, options);
}

export class StationProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;
  readonly #hands: StationHands;

  /**
   * @param dir the ceremony's directory
   * @param env what the PKCS#11 module needs in its environment besides that of this process
   */
  constructor(dir: string, hands: StationHands, env: Readonly<Record<string, string>> = {}) {
    this.#hands = hands;
    // The same extension as this file: .ts from source, .js from the build.
    const source = import.meta.url.endsWith(".ts");
    const loader = source
      ? ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href]
      : [];
    const path = fileURLToPath(new URL(`./station-child.${source ? "ts" : "js"}`, import.meta.url));
    this.#child = fork(path, [], {
      execArgv: loader,
      serialization: "advanced",
      // Whatever a vendor library prints goes to the log, not among the data on stdout.
      stdio: ["ignore", 2, 2, "ipc"],
      env: { ...process.env, ...env },
    });
    this.#ended = new Promise((_, reject) => {
      const end = (how: string): void =>
        reject(
          new StrongroomError("token-failed", `the process with the token ended (${how})`, {
            hint: "`strongroom ceremony resume` looks at what was done and goes on",
          }),
        );
      this.#child.once("error", (error) => end(error.message));
      this.#child.once("exit", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
    });
    // Nobody may be waiting when it ends.
    this.#ended.catch(() => undefined);
    this.#send({ kind: "open", dir });
  }

  /** One step at a time. @throws what the step throws; token-failed where the process ends */
  async take(order: StepOrder): Promise<StepResult> {
    const result = new Promise<StepResult>((resolve, reject) => {
      this.#child.removeAllListeners("message");
      this.#child.on("message", (message: FromStation) => {
        if (message.kind === "taken") resolve(message.result);
        else if (message.kind === "failed") reject(errorTold(message.error));
        else this.#answer(message).catch(reject);
      });
    });
    this.#send({ kind: "step", order });
    return await Promise.race([result, this.#ended]);
  }

  /** The child ends when it is told that nobody is there any more. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended.catch(() => undefined);
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
    // A child that has ended shows by `#ended`.
    this.#child.send(message, () => undefined);
  }
}

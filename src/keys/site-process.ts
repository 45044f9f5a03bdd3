/**
 * A site of a fleet whose token is reached from this machine: a child process that takes the site's steps.
 *
 * It is a process because a PKCS#11 module reads its environment (SOFTHSM2_CONF, …) and is initialised once per
 * process, while every site has a token, and maybe a module, of its own. PINs are read from their files in the child;
 * what passes between the processes could pass between sites as files.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type ErrorCode, type ErrorOptions, StrongroomError } from "../base/errors.ts";
import type { FleetShape } from "./fleet-keys.ts";
import type { SiteSteps, StepName } from "./site-steps.ts";

/** Where a site's token is; the first message to the child. */
export interface SiteToken {
  /** pkcs11: URI with module-path and pin-source. */
  readonly uri: string;
  /** `file:` URI or path of the security officer's PIN; needed where keys are distributed. */
  readonly soPinSource?: string | undefined;
  /** Name or path of the token's profile. */
  readonly profile: string;
}

export interface SiteSetUp {
  readonly token: SiteToken;
  readonly shape: FleetShape;
  readonly site: number;
}

export interface StepOrder {
  readonly name: StepName;
  readonly input: unknown;
}

export type StepAnswer =
  | { readonly output: unknown }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } & ErrorOptions };

/** A module may block in a call to a device that is gone. */
const STEP_DEADLINE_MS = 300_000;

/** One step at a time. */
export class SiteProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;

  /** @param env what the PKCS#11 module needs in its environment besides that of this process */
  constructor(setUp: SiteSetUp, env: Readonly<Record<string, string>> = {}) {
    // The same extension as this file: .ts from source, .js from the build.
    const source = import.meta.url.endsWith(".ts");
    const loader = source
      ? ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href]
      : [];
    const path = fileURLToPath(new URL(`./site-child.${source ? "ts" : "js"}`, import.meta.url));
    this.#child = fork(path, [], {
      execArgv: loader,
      serialization: "advanced",
      // Whatever a vendor library prints goes to the log, not among the data on stdout.
      stdio: ["ignore", 2, 2, "ipc"],
      env: { ...process.env, ...env },
    });
    this.#ended = new Promise((_, reject) => {
      const end = (how: string): void =>
        reject(new StrongroomError("token-failed", `the process with the token ended (${how})`));
      this.#child.once("error", (error) => end(error.message));
      this.#child.once("exit", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
    });
    // Nobody may be waiting when it ends.
    this.#ended.catch(() => undefined);
    this.#child.send(setUp);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws what the step throws; token-timeout; token-failed where the process ends */
  async take<N extends StepName>(name: N, input: SiteSteps[N]["input"]): Promise<SiteSteps[N]["output"]> {
    const order: StepOrder = { name, input };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new StrongroomError("token-timeout", `the token does not finish ${name}`));
      }, STEP_DEADLINE_MS);
    });
    const answered = new Promise<StepAnswer>((resolve) => {
      this.#child.once("message", (answer: StepAnswer) => resolve(answer));
    });
    try {
      this.#child.send(order, () => undefined);
      const answer = await Promise.race([answered, this.#ended, late]);
      // The child runs the same table of steps, so its answer is the step's.
      if ("output" in answer) return answer.output as SiteSteps[N]["output"];
      const { code, message, ...options } = answer.error;
      throw new StrongroomError(code, message, options);
    } finally {
      clearTimeout(timer);
      this.#child.removeAllListeners("message");
    }
  }

  /** The child ends when it is told that nobody is there any more. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended.catch(() => undefined);
  }
}

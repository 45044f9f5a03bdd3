/**
 * A site of a fleet whose token is reached from this machine: a child process that takes the site's steps.
 *
 * It is a process because a PKCS#11 module reads its environment (SOFTHSM2_CONF, …) and is initialised once per
 * process, while every site has a token, and maybe a module, of its own. PINs are read from their files in the child;
 * what passes between the processes could pass between sites as files.
 */
import { StrongroomError } from "../base/errors.ts";
import { errorTold, type ToldError } from "../base/told-error.ts";
import { childProgram, forkTokenChild, leaveChild, type TokenChild } from "../token/child-process.ts";
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

export type StepAnswer = { readonly output: unknown } | { readonly error: ToldError };

/** A module may block in a call to a device that is gone. */
const STEP_DEADLINE_MS = 300_000;

/** One step at a time. */
export class SiteProcess {
  readonly #started: TokenChild;

  /** @param env what the PKCS#11 module needs in its environment besides that of this process */
  constructor(setUp: SiteSetUp, env: Readonly<Record<string, string>> = {}) {
    this.#started = forkTokenChild(childProgram(import.meta.url, "site-child"), env);
    this.#started.child.send(setUp);
  }

  get pid(): number | undefined {
    return this.#started.child.pid;
  }

  /** @throws what the step throws; token-timeout; token-failed where the process ends */
  async take<N extends StepName>(name: N, input: SiteSteps[N]["input"]): Promise<SiteSteps[N]["output"]> {
    const { child, ended } = this.#started;
    const order: StepOrder = { name, input };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new StrongroomError("token-timeout", `the token does not finish ${name}`));
      }, STEP_DEADLINE_MS);
    });
    const answered = new Promise<StepAnswer>((resolve) => {
      child.once("message", (answer: StepAnswer) => resolve(answer));
    });
    try {
      child.send(order, () => undefined);
      const answer = await Promise.race([answered, ended, late]);
      // The child runs the same table of steps, so its answer is the step's.
      if ("output" in answer) return answer.output as SiteSteps[N]["output"];
      throw errorTold(answer.error);
    } finally {
      clearTimeout(timer);
      child.removeAllListeners("message");
    }
  }

  close(): Promise<void> {
    return leaveChild(this.#started);
  }
}

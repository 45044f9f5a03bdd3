/** What a check of the doctor is, and what it says. */
import { isStrongroomError } from "../../base/errors.ts";
import type { Workbench } from "./workbench.ts";

/**
 * required: without it the vault cannot run. recommended: the vault runs, with less to rely on. auditor: no vault needs
 * it, an auditor and a witness do.
 */
export type Level = "required" | "recommended" | "auditor";
export type Result = "pass" | "fail" | "not supported";

export interface Outcome {
  readonly result: Result;
  /** One line: what was seen, with the return code where there was one. */
  readonly detail: string;
}

export interface Check {
  /** Stable, for machines: `ecdh.leading-zero`. */
  readonly id: string;
  /** What is proved, for people. */
  readonly title: string;
  readonly level: Level;
  run(bench: Workbench): Outcome | Promise<Outcome>;
}

export const pass = (detail: string): Outcome => ({ result: "pass", detail });
export const fail = (detail: string): Outcome => ({ result: "fail", detail });
export const unsupported = (detail: string): Outcome => ({ result: "not supported", detail });

/** `CKR_KEY_UNEXTRACTABLE` for a refused call, else the error's own words. */
export function refusalOf(error: unknown): string {
  if (isStrongroomError(error) && typeof error.details.ckr === "string") return error.details.ckr;
  return error instanceof Error ? error.message : String(error);
}

/** The outcome of an operation that the token must refuse: any return code other than CKR_OK will do. */
export function mustRefuse(what: string, attempt: () => unknown): Outcome {
  try {
    attempt();
  } catch (error) {
    if (isStrongroomError(error) && typeof error.details.ckr === "string")
      return pass(`refused: ${error.details.ckr}`);
    throw error;
  }
  return fail(what);
}

/** The outcome of a check that broke off. */
export function outcomeOf(error: unknown): Outcome {
  // The key wrap has checks of its own; what only needed it to try something else says no more than this.
  if (isStrongroomError(error, "token-unsuitable"))
    return unsupported("cannot be tried: no key wrap of the profile works");
  return fail(error instanceof Error ? error.message : String(error));
}

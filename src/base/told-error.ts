/** Errors on their way between processes: without a cause, which may not be cloned. */
import { type ErrorCode, type ErrorOptions, isStrongroomError, StrongroomError } from "./errors.ts";

export interface ToldError extends Omit<ErrorOptions, "cause"> {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What is no error of ours is told as `internal`. */
export function toldError(error: unknown): ToldError {
  if (!isStrongroomError(error))
    return { code: "internal", message: error instanceof Error ? error.message : String(error) };
  const { code, message, hint, details } = error;
  return { code, message, details, ...(hint === undefined ? {} : { hint }) };
}

export function errorTold({ code, message, ...options }: ToldError): StrongroomError {
  return new StrongroomError(code, message, options);
}

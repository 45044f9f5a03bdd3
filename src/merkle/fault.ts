/** What can be wrong with a transparency log's parts: one closed set for every reader of them. */
import { StrongroomError } from "../base/errors.ts";

export const LOG_FAULTS = {
  "not-canonical": "it is not written in the one form that is accepted",
  "too-large": "it is larger than is accepted",
  "wrong-origin": "it is of another log",
  "wrong-size": "its size is not the one that was expected",
  "wrong-root": "its root is not the one that was expected",
  "wrong-key": "it is signed by nobody who is trusted",
  "bad-signature": "a signature under a trusted key does not verify",
  "bad-proof": "the proof does not lead to the root",
  "wrong-entry": "an entry is not the one that the tree holds",
  missing: "a part of it is not there",
} as const;

export type LogFault = keyof typeof LOG_FAULTS;

/** `details.reason` is the fault. @param detail which rule broke, for people */
export function logInvalid(reason: LogFault, detail: string, cause?: unknown): StrongroomError {
  return new StrongroomError("log-invalid", `${LOG_FAULTS[reason]}: ${detail}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { reason },
  });
}

/** The fault of a `log-invalid` error. */
export function logFaultOf(error: unknown): LogFault | undefined {
  if (!(error instanceof StrongroomError) || error.code !== "log-invalid") return undefined;
  const { reason } = error.details;
  return typeof reason === "string" && reason in LOG_FAULTS ? (reason as LogFault) : undefined;
}

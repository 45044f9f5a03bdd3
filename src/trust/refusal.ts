/** Why a bundle, an epoch or a log is not believed: one closed set for client, monitor and page. */
import { StrongroomError } from "../base/errors.ts";

export const REFUSALS = {
  malformed: "it is not what it claims to be",
  "wrong-namespace": "it belongs to another namespace than the pinned one",
  "wrong-auditor-key": "it is audited under a key that is not trusted",
  "bad-auditor-signature": "the auditor's signature does not verify",
  "wrong-operator-key": "it is countersigned under a key that is not trusted",
  "bad-countersignature": "the operator's countersignature does not verify",
  "manifest-changed": "the announcement is not the one that was signed",
  "wrong-log-key": "its checkpoint is signed by no log that is trusted",
  unlogged: "it is not proved to be in the log",
  "too-few-witnesses": "too few witnesses have seen its checkpoint",
  "below-minimum": "its epoch is below the minimum that the app asks for",
  "older-epoch": "a newer epoch has been seen already",
  equivocation: "the same epoch was announced with other contents",
  "broken-chain": "it does not follow from the epoch before",
  expired: "it has expired",
  "not-yet-valid": "it is from the future",
  "evidence-mismatch": "the evidence is not that of the announced fleet",
  "forked-log": "the log has shown two histories",
} as const;

export type Refusal = keyof typeof REFUSALS;

/** `details.reason` is the `Refusal`. @param detail what exactly, for people */
export function refused(reason: Refusal, detail?: string, cause?: unknown): StrongroomError {
  const text = detail === undefined ? REFUSALS[reason] : `${REFUSALS[reason]}: ${detail}`;
  return new StrongroomError("bundle-refused", `the bundle is refused: ${text}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { reason },
  });
}

/** The reason of a `bundle-refused` error. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof StrongroomError) || error.code !== "bundle-refused") return undefined;
  const { reason } = error.details;
  return typeof reason === "string" && reason in REFUSALS ? (reason as Refusal) : undefined;
}

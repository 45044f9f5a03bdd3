/**
 * One error class, one closed set of codes, one table that says what each code means to whom.
 *
 * A code is for machines and tests; the message is for the log; `hint` is what the person at the terminal
 * should do next. Neither message nor hint ever carries a secret.
 */

/** What a client of the vault may learn (design §6). Everything else stays in the log. */
export type WireCode =
  | "unauthorized"
  | "not-registered"
  | "destroyed"
  | "expired"
  | "conflict"
  | "rate-limited"
  | "invalid-request"
  | "unknown-key"
  | "unavailable";

interface ErrorTraits {
  /** May the same request succeed if it is simply sent again? */
  readonly retryable: boolean;
  /** HTTP status where the code is the outcome of an HTTP request. */
  readonly status: number;
  /** What a client of the vault is told. */
  readonly wire: WireCode;
}

/** Every code of the project. */
const TRAITS = {
  // The closed set of the wire.
  unauthorized: { retryable: false, status: 401, wire: "unauthorized" },
  "not-registered": { retryable: false, status: 404, wire: "not-registered" },
  destroyed: { retryable: false, status: 410, wire: "destroyed" },
  expired: { retryable: false, status: 410, wire: "expired" },
  conflict: { retryable: false, status: 409, wire: "conflict" },
  "rate-limited": { retryable: true, status: 429, wire: "rate-limited" },
  "invalid-request": { retryable: false, status: 400, wire: "invalid-request" },
  "unknown-key": { retryable: false, status: 421, wire: "unknown-key" },
  unavailable: { retryable: true, status: 503, wire: "unavailable" },

  // Bytes that are not what they claim to be.
  "decode-failed": { retryable: false, status: 400, wire: "invalid-request" },
  "point-invalid": { retryable: false, status: 400, wire: "invalid-request" },
  "decrypt-failed": { retryable: false, status: 400, wire: "invalid-request" },
  "record-corrupt": { retryable: false, status: 503, wire: "unavailable" },

  // The token.
  "uri-invalid": { retryable: false, status: 500, wire: "unavailable" },
  "profile-invalid": { retryable: false, status: 500, wire: "unavailable" },
  "pin-incorrect": { retryable: false, status: 503, wire: "unavailable" },
  "pin-locked": { retryable: false, status: 503, wire: "unavailable" },
  "pin-unavailable": { retryable: false, status: 503, wire: "unavailable" },
  "module-failed": { retryable: false, status: 503, wire: "unavailable" },
  "token-absent": { retryable: true, status: 503, wire: "unavailable" },
  "token-busy": { retryable: true, status: 503, wire: "unavailable" },
  "token-timeout": { retryable: true, status: 503, wire: "unavailable" },
  "token-failed": { retryable: true, status: 503, wire: "unavailable" },
  "token-refused": { retryable: false, status: 503, wire: "unavailable" },
  "token-unsuitable": { retryable: false, status: 503, wire: "unavailable" },
  "key-missing": { retryable: false, status: 503, wire: "unavailable" },
  "key-drift": { retryable: false, status: 503, wire: "unavailable" },

  // The store.
  "store-unavailable": { retryable: true, status: 503, wire: "unavailable" },
  "store-full": { retryable: true, status: 503, wire: "unavailable" },
  /** The write may or may not have happened; look for its write id before deciding anything. */
  "store-ambiguous": { retryable: true, status: 503, wire: "unavailable" },

  // Other sites of the fleet.
  /** A site's guard will not evaluate this: the attempt was used, is out of range, or is of an older generation. */
  "guard-refused": { retryable: false, status: 503, wire: "unavailable" },
  /** Fewer sites answer than an evaluation needs. */
  "peer-unavailable": { retryable: true, status: 503, wire: "unavailable" },
  /** A message of a channel that this site does not have any more; its sender opens a new one. */
  "unknown-channel": { retryable: true, status: 410, wire: "unknown-key" },

  // People and their files.
  usage: { retryable: false, status: 400, wire: "invalid-request" },
  "config-invalid": { retryable: false, status: 500, wire: "unavailable" },
  "manifest-invalid": { retryable: false, status: 500, wire: "unavailable" },
  "wrong-recovery-code": { retryable: false, status: 403, wire: "unauthorized" },
  "recovery-code-invalid": { retryable: false, status: 400, wire: "invalid-request" },
  "backup-invalid": { retryable: false, status: 400, wire: "invalid-request" },
  /** A ceremony's plan that cannot work, or is not the one that was approved. */
  "plan-invalid": { retryable: false, status: 500, wire: "unavailable" },
  /** A ceremony goes no further until a person has done something; the hint says what. */
  "ceremony-stopped": { retryable: false, status: 500, wire: "unavailable" },
  "evidence-invalid": { retryable: false, status: 500, wire: "unavailable" },
  /** A validation bundle, an epoch or a log that is not believed; `details.reason` is a `Refusal` of src/trust. */
  "bundle-refused": { retryable: false, status: 403, wire: "unavailable" },
  /** A tree, tile, note, checkpoint or proof that breaks its rules; `details.reason` is a `LogFault` of src/merkle. */
  "log-invalid": { retryable: false, status: 400, wire: "invalid-request" },
  /** The auditor's rules forbid it: another epoch, a digest twice, a claim that is not proved. */
  "auditor-refused": { retryable: false, status: 400, wire: "invalid-request" },
  "file-failed": { retryable: false, status: 500, wire: "unavailable" },
  /** A bug: reached only when a promise of the code itself was broken. */
  internal: { retryable: false, status: 500, wire: "unavailable" },
} as const;

export type ErrorCode = keyof typeof TRAITS;

/** The same table, checked to give every code all its traits. */
export const ERROR_TRAITS: Readonly<Record<ErrorCode, ErrorTraits>> = TRAITS;

export interface ErrorOptions {
  /** What the person should do next; one line, lower case. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable facts (never secrets), e.g. `{ ckr: "CKR_PIN_LOCKED" }` or `{ attemptsLeft: 3 }`. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** The only error class of the project; tests assert `code`, never the message. */
export class StrongroomError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StrongroomError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return ERROR_TRAITS[this.code].retryable;
  }
  get status(): number {
    return ERROR_TRAITS[this.code].status;
  }
  get wire(): WireCode {
    return ERROR_TRAITS[this.code].wire;
  }
}

/**
 * True for a StrongroomError, and for one with the given code if one is given; also for one that comes from another copy
 * of this code, as two bundles of one page have them.
 */
export function isStrongroomError(error: unknown, code?: ErrorCode): error is StrongroomError {
  const known =
    error instanceof StrongroomError ||
    (error instanceof Error && error.name === "StrongroomError" && "code" in error);
  return known && (code === undefined || error.code === code);
}

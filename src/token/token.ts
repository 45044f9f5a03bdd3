/**
 * The token as the rest of Strongroom sees it: a list of steps goes in as one message, runs without
 * interruption on one session of one worker, and its results come out. Everything else about PKCS#11
 * (sessions, handles, vendors, recovery) stays behind this interface.
 */

/** A key of the hierarchy by its name in src/keys/roles.ts, e.g. `session`, `ake`, `share-kek.0`. */
export type KeyName = string;

/** CKM_ECDH1_DERIVE with CKD_NULL for each point (uncompressed, 65 bytes, on the curve): x-coordinates, 32 bytes. */
export interface EcdhStep {
  readonly op: "ecdh";
  readonly key: KeyName;
  readonly points: readonly Uint8Array[];
}

/** CKM_SHA256_HMAC: 32 bytes. */
export interface HmacStep {
  readonly op: "hmac";
  readonly key: KeyName;
  readonly data: Uint8Array;
}

/** CKM_ECDSA over a SHA-256 digest: r ‖ s, 64 bytes. */
export interface SignStep {
  readonly op: "sign";
  readonly key: KeyName;
  readonly digest: Uint8Array;
}

/** CKM_EDDSA (Ed25519, RFC 8032 §5.1) over the message itself: 64 bytes. */
export interface SignMessageStep {
  readonly op: "sign-message";
  readonly key: KeyName;
  readonly message: Uint8Array;
}

/** The values of all data objects (CKO_DATA) with that label. */
export interface ReadDataStep {
  readonly op: "read-data";
  readonly label: string;
}

/**
 * Leaves one data object with that label, which has that value. The new one is there before any old one goes: after an
 * accident there are two, never none. It is the one step that lasts; doing it again changes nothing. Of two that replace
 * the same values at the same time, one at most succeeds; the other fails the run with conflict.
 */
export interface WriteDataStep {
  readonly op: "write-data";
  readonly label: string;
  readonly value: Uint8Array;
  /** The values that it replaces: all that `read-data` gave. */
  readonly expected: readonly Uint8Array[];
}

/**
 * What binds a share to its policy: HMAC under `key` over before ‖ the share's public key (uncompressed) ‖ after.
 * It is made and checked inside the run that uses the share, so that neither costs a message of its own.
 */
export interface ShareTag {
  readonly key: KeyName;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/**
 * Generates an EC P-256 session key, derives with it for each point, wraps it under `kek` and destroys it.
 * Points may name the new public key's own multiples only through their x-coordinates, as in `ecdh`.
 */
export interface CreateShareStep {
  readonly op: "create-share";
  readonly kek: KeyName;
  readonly points: readonly Uint8Array[];
  readonly tag?: ShareTag | undefined;
}

export interface WrappedShare {
  /** The mechanism that wrapped it (a CKM number); needed to unwrap it on any later version of the profile. */
  readonly mechanism: number;
  readonly wrapped: Uint8Array;
}

export interface CreatedShare extends WrappedShare {
  /** Uncompressed public key, 65 bytes. */
  readonly publicKey: Uint8Array;
  readonly xs: readonly Uint8Array[];
  /** 32 bytes; empty where none was asked for. */
  readonly tag: Uint8Array;
}

/** The tag that a stored share must have. */
export interface ExpectedTag extends ShareTag {
  /** Of the share: uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Unwraps a share as a non-extractable session object, derives for each point, destroys it: x-coordinates. A share
 * whose tag is not the expected one fails the run with record-corrupt and is not even unwrapped.
 */
export interface EvaluateShareStep {
  readonly op: "evaluate-share";
  readonly kek: KeyName;
  readonly share: WrappedShare;
  readonly points: readonly Uint8Array[];
  readonly tag?: ExpectedTag | undefined;
}

/** C_GenerateRandom. */
export interface RandomStep {
  readonly op: "random";
  readonly length: number;
}

export type TokenStep =
  | EcdhStep
  | HmacStep
  | SignStep
  | SignMessageStep
  | CreateShareStep
  | EvaluateShareStep
  | RandomStep
  | ReadDataStep
  | WriteDataStep;

interface StepResults {
  ecdh: readonly Uint8Array[];
  hmac: Uint8Array;
  sign: Uint8Array;
  "sign-message": Uint8Array;
  "create-share": CreatedShare;
  "evaluate-share": readonly Uint8Array[];
  random: Uint8Array;
  "read-data": readonly Uint8Array[];
  /** Nothing: empty. */
  "write-data": readonly Uint8Array[];
}

export type ResultOf<S extends TokenStep> = StepResults[S["op"]];
export type ResultsOf<S extends readonly TokenStep[]> = { -readonly [I in keyof S]: ResultOf<S[I]> };

/** The one interface through which the vault uses its secrets. */
export interface Token {
  /**
   * Runs the steps in order. Either all results come back or the call throws; session objects made on the
   * way are destroyed in both cases.
   *
   * @throws token-absent, token-busy, token-timeout, token-failed (retryable); pin-incorrect, pin-locked,
   *   token-refused, key-missing, record-corrupt (not retryable)
   */
  run<const S extends readonly TokenStep[]>(steps: S): Promise<ResultsOf<S>>;
}

/** What `/readyz` and `/metrics` want to know of it. */
export interface TokenHealth {
  readonly ready: boolean;
  /** Why not, in one line, where it is not ready. */
  readonly reason?: string | undefined;
  readonly workers: number;
  readonly workersReady: number;
  readonly queued: number;
}

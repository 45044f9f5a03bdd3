/** What the vault keeps for an account (design §5). Its codec and seal are in record-codec.ts. */
import type { WrappedShare } from "../token/token.ts";

/** One summand of the account's OPRF key (design §4). */
export interface Share extends WrappedShare {
  /** The share's number: which holder set has the keys that open it. */
  readonly share: number;
  /** Uncompressed P-256 point, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** HMAC(share-mac, record id ‖ generation ‖ public key ‖ receipt public key ‖ max attempts), 32 bytes. */
  readonly tag: Uint8Array;
}

/** Whose hash begins like an earlier one's is refused, no more; so few bytes do, and fit into records of every size. */
export const EARLIER_ATTEMPT_BYTES = 6;
/** With the latest one as many as attempts are allowed by default. */
export const MAX_EARLIER_ATTEMPTS = 9;

/** The OPAQUE registration and all that a recovery needs; gone once the record is destroyed. */
export interface Registration {
  readonly shares: readonly Share[];
  /** RFC 9807 RegistrationRecord, 129 bytes. */
  readonly registrationRecord: Uint8Array;
  readonly sealedBackupKey: Uint8Array;
  readonly sealedReceiptKey: Uint8Array;
  /** Compressed P-256 point, 33 bytes. */
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
  /** Attempts ever made in this generation. */
  readonly seq: number;
  /** seq at the last proven success. Attempts left = maxAttempts − (seq − base). */
  readonly base: number;
  /** The receipt that proved `base`, 64 bytes; empty where base is 0. */
  readonly lastReceipt: Uint8Array;
  /** SHA-256 of the blinded element of attempt `seq`, so that repeating a lost request is no new attempt; empty at seq 0. */
  readonly lastAttempt: Uint8Array;
  /**
   * The beginnings of such hashes of the attempts before that, newest first, `EARLIER_ATTEMPT_BYTES` of each, so that a
   * repetition which was held back until now does not count again; absent where there was none.
   */
  readonly earlier?: Uint8Array | undefined;
  /** When attempt `seq` was made, milliseconds since the Unix epoch; 0 at seq 0. */
  readonly lastAttemptAt: number;
  /** Milliseconds since the Unix epoch. */
  readonly registeredAt: number;
}

/**
 * vacant: nothing was ever registered, only evaluations are being counted; destroyed: attempts exhausted;
 * deleted: the account asked. The last two keep the generation, so that an old cookie cannot revive it.
 */
type RecordState = "vacant" | "active" | "destroyed" | "deleted";

export interface VaultRecord {
  readonly version: 1;
  readonly state: RecordState;
  /** Grows with every registration; 0 before the first. */
  readonly generation: number;
  /** Present exactly while active. */
  readonly registration?: Registration | undefined;
  /**
   * The evaluation budget as one instant (GCRA): every evaluation of any generation moves it forward, and one
   * that would move it too far ahead of the clock is refused. Milliseconds since the Unix epoch.
   */
  readonly budgetAt: number;
  /** The last 16 write ids, newest first, 16 bytes each: they resolve a write whose answer was lost. */
  readonly writeIds: readonly Uint8Array[];
  /** Milliseconds since the Unix epoch. */
  readonly updatedAt: number;
}

/**
 * Where sealed records live. Two operations are all the vault needs; LMDB serves them on one disk, etcd on a
 * majority of sites. A store sees ids and ciphertext only.
 */

/** Opaque to callers: they hand back the revision that they were given. */
export type Revision = bigint;

/** A record id as the store sees it, 32 bytes. */
export type RecordId = Uint8Array;

export interface Versioned {
  readonly value: Uint8Array;
  readonly revision: Revision;
}

export type SwapResult =
  | { readonly swapped: true; readonly revision: Revision }
  /** The value that stood in the way; undefined where none was stored. */
  | { readonly swapped: false; readonly current: Versioned | undefined };

export interface RecordStore {
  /**
   * A linearizable and durable read: what it returns cannot be undone by a crash.
   * @throws store-unavailable
   */
  get(id: RecordId): Promise<Versioned | undefined>;

  /**
   * Writes `value` if the stored revision still is `expected` (undefined: if nothing is stored). Resolves
   * only when the write is durable.
   * @throws store-unavailable, store-full: certainly not written; store-ambiguous: perhaps written
   */
  compareAndSwap(id: RecordId, expected: Revision | undefined, value: Uint8Array): Promise<SwapResult>;

  /** Proves that writes would be taken now. @throws store-unavailable, store-full */
  check(): Promise<void>;

  close(): Promise<void>;
}

/**
 * Records in an etcd cluster that spans the sites: a write is acknowledged by a majority of disks, a read is
 * linearizable, and every operation is one transaction on one key.
 *
 * A write whose answer was lost is sent again, the same bytes with the same expected revision, to another member.
 * At most one of the two can ever be applied, because each needs the revision that the other one ends. So:
 *
 * - The repetition is applied: done; the first one can no longer be.
 * - It finds the very bytes that it would write: the first one was applied. A record is sealed with a fresh salt
 *   each time (design §5), so nobody else writes these bytes.
 * - It finds other bytes under another revision: either the first one lost, or it was applied and then replaced.
 *   Both are "not swapped" with what is stored now, for in the second case that value carries our write id in
 *   its list of write ids, where the executor (src/vault) looks for it.
 * - No answer to any repetition: store-ambiguous. An unchanged revision would prove nothing, since the first one
 *   may still be under way.
 */
import { equal } from "../../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../../base/errors.ts";
import type { RecordId, RecordStore, Revision, SwapResult, Versioned } from "../record-store.ts";
import type { Failure } from "./answer.ts";
import type { Cluster } from "./cluster.ts";
import type { Keyspace } from "./keyspace.ts";
import { decodeTxn, encodeTxn, type RangeResponse, TXN, type TxnResponse } from "./messages.ts";

/** etcd refuses requests of 1.5 MiB; a record has a few kilobytes. */
const MAX_VALUE_BYTES = 2 ** 20;

export interface EtcdStoreOptions {
  readonly cluster: Cluster;
  readonly keys: Keyspace;
  /** What `check` writes to: the own site's health key. */
  readonly site: string;
  /** What `check` writes there, e.g. the version of the site's shard map. */
  readonly sign: () => Uint8Array;
}

function toVersioned(range: RangeResponse | undefined): Versioned | undefined {
  const kv = range?.kvs[0];
  return kv && { value: Uint8Array.from(kv.value), revision: kv.modRevision };
}

export class EtcdRecordStore implements RecordStore {
  readonly #cluster: Cluster;
  readonly #keys: Keyspace;
  readonly #site: string;
  readonly #sign: () => Uint8Array;
  readonly #running: Set<Promise<unknown>> = new Set();
  /** The cluster's revision after the last check. */
  #revision = 0n;
  /** The cluster was found at a lower revision than before. */
  #setBack: StrongroomError | undefined;
  #closed = false;

  constructor({ cluster, keys, site, sign }: EtcdStoreOptions) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#site = site;
    this.#sign = sign;
  }

  async get(id: RecordId): Promise<Versioned | undefined> {
    return this.#run(() => this.#read(id));
  }

  async compareAndSwap(id: RecordId, expected: Revision | undefined, value: Uint8Array): Promise<SwapResult> {
    if (value.length > MAX_VALUE_BYTES)
      throw new StrongroomError("internal", `a record of ${value.length} bytes is too large to store`);
    return this.#run(() => this.#swap(id, expected, value));
  }

  /**
   * A durable write: it needs a majority, space and permission, as a record's does. Every write raises the cluster's
   * revision; where it has not, an older state of the cluster was restored, and no check succeeds until the site is
   * started again by somebody who knows.
   */
  async check(): Promise<void> {
    const before = this.#revision;
    const put = { key: this.#keys.health(this.#site), value: this.#sign() };
    const request = encodeTxn({ compare: [], success: [{ put }], failure: [] });
    const { revision } = await this.#run(() => this.#cluster.request(TXN, request, decodeTxn));
    if (revision <= before)
      this.#setBack ??= new StrongroomError(
        "store-unavailable",
        `etcd cluster ${this.#cluster.name} was set back: it had revision ${before}, and has ${revision} now`,
        {
          hint: "a snapshot or a copy of its disks was restored: see hsm-config/etcd, then start the site again",
        },
      );
    else if (revision > this.#revision) this.#revision = revision;
    if (this.#setBack) throw this.#setBack;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
    await this.#cluster.close();
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StrongroomError("store-unavailable", "the store is closed");
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #read(id: RecordId): Promise<Versioned | undefined> {
    const fence = this.#keys.fence(id[0] ?? 0);
    const request = encodeTxn({
      compare: [{ key: fence, modRevision: 0n }],
      success: [{ range: { key: this.#keys.record(id) } }],
      failure: [{ range: { key: fence } }],
    });
    const txn = await this.#cluster.request(TXN, request, decodeTxn);
    if (!txn.succeeded) throw this.#fenced();
    return toVersioned(txn.ranges[0]);
  }

  async #swap(id: RecordId, expected: Revision | undefined, value: Uint8Array): Promise<SwapResult> {
    const key = this.#keys.record(id);
    const fence = this.#keys.fence(id[0] ?? 0);
    const request = encodeTxn({
      compare: [
        { key, modRevision: expected ?? 0n },
        { key: fence, modRevision: 0n },
      ],
      success: [{ put: { key, value } }],
      failure: [{ range: { key } }, { range: { key: fence } }],
    });
    /** Whether an earlier try may have been applied, or may still be. */
    let doubtful = false;
    let refusal: Failure | undefined;
    for await (const attempt of this.#cluster.attempts()) {
      const answer = await attempt.call(TXN, request);
      if (answer.ok) return this.#outcome(answer.message, expected, value, doubtful);
      const { failure } = answer;
      if (failure.fate === "unknown") doubtful = true;
      else if (failure.fate === "no-space") return this.#afterNoSpace(id, expected, value, doubtful, failure);
      else if (failure.fate === "refused") {
        refusal = failure;
        break;
      }
    }
    const error = this.#cluster.unavailable(refusal);
    throw doubtful ? this.#ambiguous(error) : error;
  }

  #outcome(
    message: Uint8Array,
    expected: Revision | undefined,
    value: Uint8Array,
    doubtful: boolean,
  ): SwapResult {
    let txn: TxnResponse;
    try {
      txn = this.#cluster.decoded(message, decodeTxn);
    } catch (cause) {
      throw this.#ambiguous(cause);
    }
    if (txn.succeeded) return { swapped: true, revision: txn.revision };
    const [record, fence] = txn.ranges;
    const current = toVersioned(record);
    if (doubtful && current && equal(current.value, value))
      return { swapped: true, revision: current.revision };
    if ((fence?.kvs.length ?? 0) > 0) throw doubtful ? this.#ambiguous(this.#fenced()) : this.#fenced();
    if (current?.revision === expected)
      throw this.#ambiguous(new StrongroomError("internal", "etcd refused a swap that it should have made"));
    return { swapped: false, current };
  }

  /**
   * "Space exceeded" comes from a member that refused the write, or from one that has just applied it (see
   * answer.ts). Either way its fate is settled by now, and a linearizable read shows it.
   */
  async #afterNoSpace(
    id: RecordId,
    expected: Revision | undefined,
    value: Uint8Array,
    doubtful: boolean,
    failure: Failure,
  ): Promise<SwapResult> {
    let current: Versioned | undefined;
    try {
      current = await this.#read(id);
    } catch (cause) {
      throw this.#ambiguous(cause);
    }
    // With the old revision still there, what is stored is not ours, even if the bytes should be the same. But an
    // earlier try without an answer may be applied yet, should space be made before it is.
    if (current?.revision === expected)
      throw doubtful ? this.#ambiguous(this.#cluster.full(failure)) : this.#cluster.full(failure);
    return current && equal(current.value, value)
      ? { swapped: true, revision: current.revision }
      : { swapped: false, current };
  }

  #fenced(): StrongroomError {
    return new StrongroomError(
      "store-unavailable",
      `etcd cluster ${this.#cluster.name}: the shard is closed here`,
      { hint: "it is being moved, or was moved to another cluster and this site's shard map is old" },
    );
  }

  #ambiguous(cause: unknown): StrongroomError {
    return new StrongroomError(
      "store-ambiguous",
      `etcd cluster ${this.#cluster.name}: a write got no answer${isStrongroomError(cause) ? ` (${cause.message})` : ""}`,
      { cause },
    );
  }
}

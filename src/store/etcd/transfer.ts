/** Reading all records of some shards as they stood at one moment, and putting them into another cluster. */
import { equal } from "../../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../../base/errors.ts";
import { contentDigest, type RecordFile, type RecordFileSummary, type StoredRecord } from "../record-file.ts";
import { formatShardRange, type ShardRange } from "../shard-map.ts";
import type { Cluster } from "./cluster.ts";
import { fence, fencesOf, liftFence } from "./fence.ts";
import type { Keyspace } from "./keyspace.ts";
import { decodeRange, decodeTxn, encodeRange, encodeTxn, type KeyValue, RANGE, TXN } from "./messages.ts";

const PAGE = 256;
/** One transaction's share of an import, below etcd's 1.5 MiB and 128 operations: each record may have its own shard. */
const BATCH_RECORDS = 60;
const BATCH_BYTES = 2 ** 19;
const BATCHES_AT_ONCE = 4;

export interface Snapshot {
  /** The cluster's revision that all records are of. */
  readonly revision: bigint;
  /** To be read once. */
  readonly records: AsyncGenerator<StoredRecord>;
}

/**
 * The records of some shards at one revision, page by page, in ascending order of ids. History is kept for some
 * minutes only (--auto-compaction-retention); a snapshot that takes longer ends with an error.
 * @throws store-unavailable
 */
export async function snapshot(cluster: Cluster, keys: Keyspace, range: ShardRange): Promise<Snapshot> {
  const { key, end } = keys.records(range);
  const { revision } = await cluster.request(RANGE, encodeRange({ key, end, countOnly: true }), decodeRange);
  return { revision, records: pages(cluster, keys, range, revision) };
}

async function* pages(
  cluster: Cluster,
  keys: Keyspace,
  range: ShardRange,
  revision: bigint,
): AsyncGenerator<StoredRecord> {
  const { key, end } = keys.records(range);
  let from = key;
  for (;;) {
    const request = encodeRange({ key: from, end, revision, limit: PAGE });
    const page = await cluster.request(RANGE, request, decodeRange);
    let last: KeyValue | undefined;
    for (const kv of page.kvs) {
      yield { id: keys.recordId(kv.key), value: Uint8Array.from(kv.value), revision: kv.modRevision };
      last = kv;
    }
    if (!page.more || last === undefined) return;
    // The next key after one is that key with a zero byte appended.
    from = new Uint8Array(last.key.length + 1);
    from.set(last.key);
  }
}

/** How many records some shards have. @throws store-unavailable */
export async function countRecords(cluster: Cluster, keys: Keyspace, range: ShardRange): Promise<number> {
  const request = encodeRange({ ...keys.records(range), countOnly: true });
  return Number((await cluster.request(RANGE, request, decodeRange)).count);
}

/** Digest and number of the records that some shards have now. @throws store-unavailable */
async function digestOf(cluster: Cluster, keys: Keyspace, range: ShardRange): Promise<RecordFileSummary> {
  const digest = contentDigest();
  for await (const record of (await snapshot(cluster, keys, range)).records) digest.add(record);
  return digest.summary();
}

export interface ImportOptions {
  /** Checks everything that can be checked without writing. */
  readonly dryRun: boolean;
  readonly progress?: (records: number) => void;
}

/**
 * Puts a file's records into shards that have none. The shards are closed before anything is written and opened
 * when what is stored has been read back and is what the file has. An import that was interrupted leaves them
 * closed, and goes on when it is started again with the same file.
 * @throws conflict if the shards are not empty; store-unavailable, store-full; record-corrupt
 */
export async function importRecords(
  cluster: Cluster,
  keys: Keyspace,
  file: RecordFile,
  options: ImportOptions,
): Promise<RecordFileSummary> {
  const { shards } = file.header;
  const mark = `import ${file.summary.content}`;
  const fences = await fencesOf(cluster, keys, shards);
  // All shards, or nothing has been written yet: fences are set in several steps where there are many, and a shard that
  // was not reached may have been used since.
  const reasons = Array.from({ length: shards.last - shards.first + 1 }, (_, i) =>
    fences.get(shards.first + i),
  );
  const goesOn = reasons.every((reason) => reason === mark);
  if (!goesOn) await assertEmpty(cluster, keys, shards);
  if (options.dryRun) return file.summary;
  await fence(cluster, keys, shards, mark);
  if (!goesOn) {
    // A site may have written between the look and the fence.
    try {
      await assertEmpty(cluster, keys, shards);
    } catch (error) {
      if (isStrongroomError(error, "conflict") && fences.size === 0) await liftFence(cluster, keys, shards);
      throw error;
    }
  }
  await writeAll(cluster, keys, file, options);
  const stored = await digestOf(cluster, keys, shards);
  if (stored.records !== file.summary.records || stored.content !== file.summary.content)
    throw new StrongroomError("record-corrupt", "what was stored is not what the file has", {
      hint: "the shards stay closed; delete their records and import again",
    });
  await liftFence(cluster, keys, shards);
  return stored;
}

async function assertEmpty(cluster: Cluster, keys: Keyspace, shards: ShardRange): Promise<void> {
  const records = await countRecords(cluster, keys, shards);
  if (records > 0)
    throw new StrongroomError(
      "conflict",
      `shards ${formatShardRange(shards)} of cluster ${cluster.name} have ${records} records already`,
      { hint: "records are imported into empty shards only" },
    );
}

async function writeAll(
  cluster: Cluster,
  keys: Keyspace,
  file: RecordFile,
  options: ImportOptions,
): Promise<void> {
  const batches = batchesOf(file.records());
  let written = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const next = await batches.next();
      if (next.done) return;
      await writeBatch(cluster, keys, next.value);
      written += next.value.length;
      options.progress?.(written);
    }
  };
  // All end before this does, even if one fails: nothing is written after an import has returned.
  const results = await Promise.allSettled(Array.from({ length: BATCHES_AT_ONCE }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

async function* batchesOf(records: AsyncIterable<StoredRecord>): AsyncGenerator<StoredRecord[]> {
  let batch: StoredRecord[] = [];
  let bytes = 0;
  for await (const record of records) {
    if (batch.length === BATCH_RECORDS || (batch.length > 0 && bytes + record.value.length > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(record);
    bytes += record.value.length;
  }
  if (batch.length > 0) yield batch;
}

/**
 * Writes each record of a batch or none. Repeating it is harmless: then it finds its own records, or writes those
 * that an interrupted import had not reached.
 */
async function writeBatch(cluster: Cluster, keys: Keyspace, batch: readonly StoredRecord[]): Promise<void> {
  const fences = [...new Set(batch.map(({ id }) => id[0] ?? 0))].map((shard) => keys.fence(shard));
  const request = encodeTxn({
    compare: [
      ...batch.map(({ id }) => ({ key: keys.record(id), modRevision: 0n })),
      // Only behind a fence: no site may be using these shards.
      ...fences.map((key) => ({ key, modRevision: 0n, result: "greater" as const })),
    ],
    success: batch.map(({ id, value }) => ({ put: { key: keys.record(id), value } })),
    failure: [
      ...batch.map(({ id }) => ({ range: { key: keys.record(id) } })),
      ...fences.map((key) => ({ range: { key } })),
    ],
  });
  const txn = await cluster.request(TXN, request, decodeTxn);
  if (txn.succeeded) return;
  const stored = batch.map((_, i) => txn.ranges[i]?.kvs[0]);
  const missing = batch.filter((_, i) => stored[i] === undefined);
  const closed = fences.every((_, i) => txn.ranges[batch.length + i]?.kvs.length === 1);
  const same = batch.every(({ value }, i) => equal(stored[i]?.value ?? value, value));
  if (!closed || !same || missing.length === batch.length)
    throw new StrongroomError("conflict", "the shards were opened or written to during the import", {
      hint: "no site may use these shards before the import is done; fence them, delete their records, start again",
    });
  if (missing.length > 0) await writeBatch(cluster, keys, missing);
}

/** Closing shards in a cluster, and opening them (keyspace.ts says what a fence does). */
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { formatShardRange, type ShardRange } from "../shard-map.ts";
import type { Cluster } from "./cluster.ts";
import type { Keyspace } from "./keyspace.ts";
import { decodeRange, decodeTxn, encodeRange, encodeTxn, RANGE, TXN } from "./messages.ts";

/** etcd takes at most 128 operations in a transaction. */
const PUTS_PER_TXN = 100;

/** Why each fenced shard of the range is fenced, by its number. @throws store-unavailable */
export async function fencesOf(
  cluster: Cluster,
  keys: Keyspace,
  range: ShardRange,
): Promise<ReadonlyMap<number, string>> {
  const { kvs } = await cluster.request(RANGE, encodeRange(keys.fences(range)), decodeRange);
  return new Map(
    kvs.map(({ key, value }) => [Number.parseInt(fromUtf8(key.subarray(-2)), 16), fromUtf8(value)]),
  );
}

/** Whether no shard of the range is served here. @throws store-unavailable */
export async function allFenced(cluster: Cluster, keys: Keyspace, range: ShardRange): Promise<boolean> {
  return (await fencesOf(cluster, keys, range)).size === range.last - range.first + 1;
}

/**
 * Closes the shards for every site. When it returns, no read or write of theirs is under way here or will be done.
 * @param reason kept with the fence
 * @throws store-unavailable, store-full
 */
export async function fence(
  cluster: Cluster,
  keys: Keyspace,
  range: ShardRange,
  reason: string,
): Promise<void> {
  const value = utf8(reason);
  for (let first = range.first; first <= range.last; first += PUTS_PER_TXN) {
    const shards = Array.from(
      { length: Math.min(PUTS_PER_TXN, range.last - first + 1) },
      (_, i) => first + i,
    );
    const success = shards.map((shard) => ({ put: { key: keys.fence(shard), value } }));
    await cluster.request(TXN, encodeTxn({ compare: [], success, failure: [] }), decodeTxn);
  }
}

/** Opens the shards. @throws store-unavailable */
export async function liftFence(cluster: Cluster, keys: Keyspace, range: ShardRange): Promise<void> {
  const request = encodeTxn({ compare: [], success: [{ remove: keys.fences(range) }], failure: [] });
  await cluster.request(TXN, request, decodeTxn);
  if ((await fencesOf(cluster, keys, range)).size > 0)
    throw new StrongroomError(
      "store-unavailable",
      `shards ${formatShardRange(range)} were closed again at the same time`,
    );
}

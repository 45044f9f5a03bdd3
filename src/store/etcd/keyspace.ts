/**
 * Where things are in a cluster, all below the one prefix that the vault's role may touch:
 *
 *     <prefix>records/<shard, two hex digits>/<record id, 32 raw bytes>     a sealed record
 *     <prefix>fences/<shard>                                               present: the shard is not served here
 *     <prefix>health/<site>                                                what a site wrote when it last checked
 *
 * A fence closes a shard in one cluster for every site at once, whatever shard map a site has: each read and each
 * write is one transaction that looks for the fence as well. That is what makes moving a shard safe.
 */
import { concat, toHex, utf8 } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import type { RecordId } from "../record-store.ts";
import type { ShardRange } from "../shard-map.ts";

const ID_BYTES = 32;

const hexByte = (shard: number): string => shard.toString(16).padStart(2, "0");

export interface Keyspace {
  record(id: RecordId): Uint8Array;
  /** The id in a record's key. @throws record-corrupt for a key that is no record's */
  recordId(key: Uint8Array): RecordId;
  /** From the first key of the shards' records to the first one behind them. */
  records(range: ShardRange): { readonly key: Uint8Array; readonly end: Uint8Array };
  fence(shard: number): Uint8Array;
  fences(range: ShardRange): { readonly key: Uint8Array; readonly end: Uint8Array };
  health(site: string): Uint8Array;
  healths(): { readonly key: Uint8Array; readonly end: Uint8Array };
}

/** @param prefix ends with `/` */
export function keyspace(prefix: string): Keyspace {
  const below = (path: string): Uint8Array => utf8(`${prefix}${path}`);
  // "0" is the character behind "/", so `x0` is the first key behind everything below `x/`.
  const shardEnd = (folder: string, shard: number): Uint8Array =>
    shard < 255 ? below(`${folder}/${hexByte(shard + 1)}`) : below(`${folder}0`);
  const record = (id: RecordId): Uint8Array => {
    if (id.length !== ID_BYTES)
      throw new StrongroomError("internal", `a record id has ${ID_BYTES} bytes, not ${id.length}`);
    return concat(below(`records/${toHex(id.subarray(0, 1))}/`), id);
  };
  return {
    record,
    recordId(key) {
      const id = key.slice(-ID_BYTES);
      if (id.length !== ID_BYTES || toHex(record(id)) !== toHex(key))
        throw new StrongroomError("record-corrupt", "a key among the records is no record's");
      return id;
    },
    records: ({ first, last }) => ({
      key: below(`records/${hexByte(first)}/`),
      end: shardEnd("records", last),
    }),
    fence: (shard) => below(`fences/${hexByte(shard)}`),
    fences: ({ first, last }) => ({ key: below(`fences/${hexByte(first)}`), end: shardEnd("fences", last) }),
    health: (site) => below(`health/${site}`),
    healths: () => ({ key: below("health/"), end: below("health0") }),
  };
}

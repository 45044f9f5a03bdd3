/**
 * Which cluster keeps which records. An id's first byte is its shard, one of 256; ids are HMAC values, so shards
 * are of equal size. The map gives every shard to one cluster.
 *
 * Adding a cluster (count on 4 million records for each):
 *
 *  1. Start it, with the vault's user and role (hsm-config/etcd/README.md), and name it under `clusters` in every
 *     site's configuration. It has no shards yet. Restart the sites one after another.
 *  2. Move shards, a few at a time. They are unavailable from the first command until the map is switched:
 *
 *         strongroom store export --config site.yaml --shards 80-8f --fence --out move.jsonl
 *         strongroom store import --config site.yaml --cluster new --in move.jsonl
 *
 *     `--fence` closes the shards in the old cluster for good, for every site at once and whatever map it has, so
 *     that no write is lost between the export and the switch. The import goes into empty shards only, keeps them
 *     closed until what it wrote has been read back and compared, then opens them.
 *  3. Switch the map: give the shards to the new cluster, raise `version`, restart the sites in any order. A site
 *     with the old map finds the shards closed and answers `unavailable`; it cannot serve what was moved away.
 *     `strongroom store status` shows the version that each site runs with.
 *  4. When all sites have the new map, the records left in the old cluster may be deleted:
 *     `etcdctl del --prefix <prefix>records/80/` and so on. The fences stay.
 *
 * To give up before step 3: `strongroom store fence --lift --shards 80-8f` on the old cluster, and `fence` on the
 * new one. Never lift a fence in the old cluster after the switch: its records are old, and old attempt counters
 * are what an attacker would want back.
 */
import { StrongroomError } from "../base/errors.ts";

export const SHARDS = 256;

/** Shards `first` to `last`, both included. */
export interface ShardRange {
  readonly first: number;
  readonly last: number;
}

export const ALL_SHARDS: ShardRange = { first: 0, last: SHARDS - 1 };

export interface ShardMap {
  /** Grows with each change; 1 for the first. */
  readonly version: number;
  readonly ranges: readonly (ShardRange & { readonly cluster: string })[];
}

/** `80-8f`, or `80` for one. @throws usage */
export function parseShardRange(text: string): ShardRange {
  const [, a = "", b = a] = /^([0-9a-f]{2})(?:-([0-9a-f]{2}))?$/.exec(text) ?? [];
  const range = { first: Number.parseInt(a, 16), last: Number.parseInt(b, 16) };
  if (a === "" || range.first > range.last)
    throw new StrongroomError("usage", `${JSON.stringify(text)} is no range of shards`, {
      hint: "write two hex digits, or two pairs with the smaller one first: 80-8f",
    });
  return range;
}

export function formatShardRange({ first, last }: ShardRange): string {
  const hex = (shard: number): string => shard.toString(16).padStart(2, "0");
  return first === last ? hex(first) : `${hex(first)}-${hex(last)}`;
}

/**
 * The cluster of each shard, by its number.
 * @throws config-invalid unless every shard has exactly one, of those that exist
 */
export function clustersOfShards(map: ShardMap, clusters: Iterable<string>): readonly string[] {
  const known = new Set(clusters);
  const table: (string | undefined)[] = new Array<string | undefined>(SHARDS).fill(undefined);
  for (const { first, last, cluster } of map.ranges) {
    if (!known.has(cluster)) throw invalid(`cluster ${JSON.stringify(cluster)} is not configured`);
    for (let shard = first; shard <= last; shard++) {
      if (table[shard] !== undefined)
        throw invalid(`shard ${formatShardRange({ first: shard, last: shard })} is given twice`);
      table[shard] = cluster;
    }
  }
  return table.map((cluster, shard) => {
    if (cluster === undefined)
      throw invalid(`shard ${formatShardRange({ first: shard, last: shard })} has no cluster`);
    return cluster;
  });
}

function invalid(problem: string): StrongroomError {
  return new StrongroomError("config-invalid", `shard map: ${problem}`, {
    hint: "give every shard from 00 to ff to one cluster",
  });
}

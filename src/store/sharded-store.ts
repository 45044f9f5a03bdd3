/**
 * Several stores as one. An operation concerns one id and so one shard and one store; nothing ever spans two.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { RecordId, RecordStore } from "./record-store.ts";
import { clustersOfShards, type ShardMap } from "./shard-map.ts";

/**
 * @param stores every cluster by name; the sharded store closes them
 * @throws config-invalid if the map does not give every shard to one of them
 */
export function shardedStore(map: ShardMap, stores: ReadonlyMap<string, RecordStore>): RecordStore {
  const table = clustersOfShards(map, stores.keys()).map((cluster) => {
    const store = stores.get(cluster);
    if (store === undefined) throw new StrongroomError("internal", `no store for cluster ${cluster}`);
    return store;
  });
  const storeOf = (id: RecordId): RecordStore => {
    const store = table[id[0] ?? -1];
    if (store === undefined) throw new StrongroomError("internal", "an empty record id");
    return store;
  };
  return {
    get: async (id) => storeOf(id).get(id),
    compareAndSwap: async (id, expected, value) => storeOf(id).compareAndSwap(id, expected, value),
    async check() {
      // All are asked even if one fails: the others' checks double as their signs of life.
      const results = await Promise.allSettled([...new Set(table)].map((store) => store.check()));
      const failures: unknown[] = results.flatMap((r) => (r.status === "rejected" ? [r.reason] : []));
      const worst = failures.find((error) => isStrongroomError(error, "store-unavailable")) ?? failures[0];
      if (worst !== undefined) throw worst;
    },
    async close() {
      await Promise.all([...stores.values()].map((store) => store.close()));
    },
  };
}

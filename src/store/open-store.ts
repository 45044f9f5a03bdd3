/** How a configuration becomes a store. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { openLmdbStore } from "./lmdb-store.ts";
import type { RecordStore } from "./record-store.ts";
import type { StoreConfig } from "./store-config.ts";

/** Whether opening will begin an empty store: as it should once, and never again, as where a disk was not mounted. */
export function willBeNew(config: StoreConfig): boolean {
  return (
    config.etcd === undefined &&
    !statSync(join(config.lmdb.path, "data.mdb"), { throwIfNoEntry: false })?.size
  );
}

/**
 * Opens the store that a configuration names. With etcd nothing is awaited: a store without its cluster starts,
 * answers store-unavailable, and works as soon as the cluster does.
 *
 * @param site the own site's name: its members are asked first, and `check` writes under it
 * @throws config-invalid; store-unavailable, store-full (LMDB)
 */
export async function openStore(config: StoreConfig, site: string): Promise<RecordStore> {
  if (config.etcd === undefined) return openLmdbStore(config.lmdb);
  // A site of its own has no use for gRPC, in start-up time and in memory.
  const { openEtcdStore } = await import("./open-etcd.ts");
  return openEtcdStore(config.etcd, site);
}

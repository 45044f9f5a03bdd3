/** How a configuration becomes a store. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { openLmdbStore } from "./lmdb-store.ts";
import type { RecordStore } from "./record-store.ts";
import type { StoreConfig } from "./store-config.ts";

/** Whether opening will begin an empty store: as it should once, and never again, as where a disk was not mounted. */
export function willBeNew({ lmdb }: StoreConfig): boolean {
  if (lmdb === undefined) return false;
  const file = join(lmdb.path, "data.mdb");
  return !existsSync(file) || statSync(file).size === 0;
}

/** That opening could begin a store in the directory `path`; makes nothing. @throws store-unavailable */
export function assertCanBegin(path: string): void {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  if (!statSync(place).isDirectory())
    throw new StrongroomError("store-unavailable", `${place} is no directory`, {
      hint: "name a directory that is not there yet, or is empty",
    });
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new StrongroomError("store-unavailable", `${place} is not writable`, {
      cause,
      hint: "a store begins in a directory that the service may write to",
    });
  }
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

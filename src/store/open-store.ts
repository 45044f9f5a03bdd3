/** How a configuration becomes a store. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { Cluster } from "./etcd/cluster.ts";
import { EtcdRecordStore } from "./etcd/etcd-store.ts";
import { type Keyspace, keyspace } from "./etcd/keyspace.ts";
import { openLmdbStore } from "./lmdb-store.ts";
import type { RecordStore } from "./record-store.ts";
import { shardedStore } from "./sharded-store.ts";
import type { EtcdConfig, StoreConfig } from "./store-config.ts";

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${file} cannot be read`, {
      cause,
      hint: "name the certificates under store.etcd.tls",
    });
  }
}

/** The client of one cluster, not yet connected. @throws config-invalid */
export function openCluster(config: EtcdConfig, clusterName: string, site: string): Cluster {
  const cluster = config.clusters[clusterName];
  if (cluster === undefined)
    throw new StrongroomError("config-invalid", `there is no cluster ${JSON.stringify(clusterName)}`, {
      hint: `clusters: ${Object.keys(config.clusters).join(", ")}`,
    });
  const own = cluster.endpoints[site];
  const others = Object.entries(cluster.endpoints).flatMap(([key, url]) => (key === site ? [] : [url]));
  const { ca, cert, key } = cluster.tls ?? config.tls;
  const election = config.electionTimeoutMs;
  const options = {
    name: clusterName,
    urls: own === undefined ? others : [own, ...others],
    tls: { ca: readPem(ca), cert: readPem(cert), key: readPem(key) },
    channels: config.channels,
    tryMs: config.tryMs ?? 1.5 * election,
    operationMs: config.operationMs ?? 4 * election,
    patienceMs: election,
    probeKey: storeKeys(config).health(site),
  };
  try {
    return new Cluster(options);
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${cert} and ${key} are not a certificate and its key`, {
      cause,
      hint: "both are PEM files",
    });
  }
}

export function storeKeys(config: EtcdConfig): Keyspace {
  return keyspace(config.prefix);
}

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
  const { etcd: settings } = config;
  const stores = new Map<string, RecordStore>();
  for (const clusterName of Object.keys(settings.clusters)) {
    const cluster = openCluster(settings, clusterName, site);
    const sign = (): Uint8Array =>
      utf8(JSON.stringify({ shards: settings.shards.version, at: new Date().toISOString() }));
    stores.set(clusterName, new EtcdRecordStore({ cluster, keys: storeKeys(settings), site, sign }));
  }
  return shardedStore(settings.shards, stores);
}

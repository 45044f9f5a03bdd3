/** How a configuration becomes a store in etcd. */
import { readFileSync } from "node:fs";
import { utf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { Cluster } from "./etcd/cluster.ts";
import { EtcdRecordStore } from "./etcd/etcd-store.ts";
import { type Keyspace, keyspace } from "./etcd/keyspace.ts";
import type { RecordStore } from "./record-store.ts";
import { shardedStore } from "./sharded-store.ts";
import type { EtcdConfig } from "./store-config.ts";

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
    tls: () => ({ ca: readPem(ca), cert: readPem(cert), key: readPem(key) }),
    channels: config.channels,
    tryMs: config.tryMs ?? 1.5 * election,
    operationMs: config.operationMs ?? 4 * election,
    patienceMs: election,
    probeKey: storeKeys(config).health(site),
  };
  try {
    return new Cluster(options);
  } catch (cause) {
    if (isStrongroomError(cause)) throw cause;
    throw new StrongroomError("config-invalid", `${cert} and ${key} are not a certificate and its key`, {
      cause,
      hint: "both are PEM files",
    });
  }
}

export function storeKeys(config: EtcdConfig): Keyspace {
  return keyspace(config.prefix);
}

/** Nothing is awaited. @throws config-invalid */
export function openEtcdStore(config: EtcdConfig, site: string): RecordStore {
  const stores = new Map<string, RecordStore>();
  for (const clusterName of Object.keys(config.clusters)) {
    const cluster = openCluster(config, clusterName, site);
    const sign = (): Uint8Array =>
      utf8(JSON.stringify({ shards: config.shards.version, at: new Date().toISOString() }));
    stores.set(clusterName, new EtcdRecordStore({ cluster, keys: storeKeys(config), site, sign }));
  }
  return shardedStore(config.shards, stores);
}

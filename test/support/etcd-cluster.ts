/** A real etcd cluster for tests (see the script library), and stores on it as sites would open them. */

import type { CertificateFiles } from "../../scripts/lib/etcd-certificates.ts";
import type { EtcdCluster } from "../../scripts/lib/etcd-cluster.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { parseStoreConfig, type StoreConfig } from "../../src/store/store-config.ts";

export { type EtcdCluster, startEtcdCluster } from "../../scripts/lib/etcd-cluster.ts";

/** For tests in which nothing fails: a busy machine is no fault. */
export const PATIENT: StoreSettings = { tryMs: 20_000, operationMs: 60_000 };

export interface StoreSettings {
  readonly prefix?: string;
  readonly tls?: CertificateFiles;
  readonly channels?: number;
  readonly tryMs?: number;
  readonly operationMs?: number;
  /** Where the members are reached, if not at their own addresses. */
  readonly urls?: readonly string[];
}

/** The `store` section of a fleet whose sites `site-0`, `site-1`, … each have a member of the cluster `main`. */
export function storeConfig(cluster: EtcdCluster, settings: StoreSettings = {}): StoreConfig {
  const { urls = cluster.clientUrls, ...rest } = settings;
  const endpoints = Object.fromEntries(urls.map((url, i) => [`site-${i}`, url]));
  return parseStoreConfig({
    etcd: { prefix: cluster.prefix, tls: cluster.vault, ...rest, clusters: { main: { endpoints } } },
  });
}

/** The store as the site `site-<member>` opens it. */
export function storeAt(
  cluster: EtcdCluster,
  member: number,
  settings: StoreSettings = {},
): Promise<RecordStore> {
  return openStore(storeConfig(cluster, settings), `site-${member}`);
}

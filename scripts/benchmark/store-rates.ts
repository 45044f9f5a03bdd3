/**
 * What an etcd cluster itself can do, by the vault's own client at saturation: swaps of records of the size that a
 * fleet has, and linearizable reads of them. Each site's client asks its own member, as services do.
 */
import { randomBytes } from "node:crypto";
import { openStore } from "../../src/store/open-store.ts";
import type { RecordStore, Revision } from "../../src/store/record-store.ts";
import { type EtcdConfig, parseStoreConfig } from "../../src/store/store-config.ts";
import type { EtcdCluster } from "../lib/etcd-cluster.ts";
import { load, type Phase, pick } from "./phase.ts";

/** As many calls as one connection carries. */
const CALLS_AT_ONCE = 64;

export interface StoreRates {
  readonly swaps: Phase;
  readonly reads: Phase;
}

/** On a machine that is busy to the brim a slow answer is no failure, so deadlines are longer than an operator's. */
const DEADLINES = { tryMs: 20_000, operationMs: 60_000 };

/** Members are asked by the names of the sites that have them. */
export function etcdConfig(etcd: EtcdCluster, sites: readonly string[]): EtcdConfig {
  const endpoints = Object.fromEntries(sites.map((site, i) => [site, etcd.clientUrls[i]]));
  const parsed = parseStoreConfig({
    etcd: { prefix: etcd.prefix, tls: etcd.vault, clusters: { main: { endpoints } }, ...DEADLINES },
  });
  if (parsed.etcd === undefined) throw new Error("no etcd in the configuration");
  return parsed.etcd;
}

/**
 * @param ms  for swaps, and again for reads
 * @param ids of records to work on; by default some that nothing is stored for yet
 */
export async function storeRates(
  config: EtcdConfig,
  sites: readonly string[],
  recordBytes: number,
  ms: number,
  ids: readonly Uint8Array[] = Array.from({ length: 512 }, () => randomBytes(32)),
): Promise<StoreRates> {
  const stores: RecordStore[] = [];
  try {
    for (const site of sites) stores.push(await openStore({ etcd: config }, site));
    const revisions = new Map<number, Revision | undefined>();
    for (const store of stores) await store.check();
    const swap = async (i: number): Promise<void> => {
      const at = i % ids.length;
      const id = pick(ids, at);
      const store = pick(stores, i);
      const expected = revisions.has(at) ? revisions.get(at) : (await store.get(id))?.revision;
      const result = await store.compareAndSwap(id, expected, randomBytes(recordBytes));
      if (!result.swapped) throw new Error("a record was swapped by somebody else");
      revisions.set(at, result.revision);
    };
    const until = { ms, concurrency: CALLS_AT_ONCE };
    // Connections, compiled code and the revisions of all ids, before anything is measured.
    await load(swap, { count: ids.length, concurrency: CALLS_AT_ONCE });
    const swaps = await load(swap, until);
    const reads = await load(async (i) => {
      await pick(stores, i).get(pick(ids, i * 7));
    }, until);
    return { swaps, reads };
  } finally {
    await Promise.all(stores.map((store) => store.close()));
  }
}

/**
 * What a swap and a read cost as an etcd cluster fills: at 1,000 records of a fleet's real size, at ten times as
 * many, and so on. Records are put in by the batch, since it is not the filling that is measured.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { say } from "../../src/cli/terminal.ts";
import { shareCount } from "../../src/fleet/token-calls.ts";
import { majority } from "../../src/keys/holder-sets.ts";
import { decodeTxn, encodeTxn, TXN } from "../../src/store/etcd/messages.ts";
import { openCluster, storeKeys } from "../../src/store/open-etcd.ts";
import type { EtcdConfig } from "../../src/store/store-config.ts";
import { sealedRecordBytes } from "../../src/vault/record-seal.ts";
import { startEtcdCluster } from "../lib/etcd-cluster.ts";
import { childrenOf, commandOf, rssBytes } from "./processes.ts";
import { etcdConfig, type StoreRates, storeRates } from "./store-rates.ts";

const FIRST_STEP = 1_000;
/** Below etcd's 1.5 MiB and 128 operations a transaction. */
const BATCH = 100;
const BATCHES_AT_ONCE = 4;
/** Records that swaps and reads choose from; a sample, so that the ids of a million need not be kept. */
const SAMPLE = 512;
/** Filling leaves the members with log entries to apply and pages to write. */
const SETTLE_MS = 2_000;

interface GrowthStep extends StoreRates {
  readonly records: number;
  /** How fast they went in, since the step before. */
  readonly filledPerSecond: number;
  /** Of all members together. */
  readonly residentBytes: number;
}

export interface GrowthReport {
  readonly sites: number;
  readonly recordBytes: number;
  readonly steps: readonly GrowthStep[];
}

/** Puts `count` records into the cluster. @returns the ids of some of them, spread evenly */
async function fill(config: EtcdConfig, site: string, count: number, recordBytes: number) {
  const cluster = openCluster(config, "main", site);
  const keys = storeKeys(config);
  const sample: Uint8Array[] = [];
  const every = Math.max(1, Math.floor(count / SAMPLE));
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const first = next;
      next = Math.min(count, next + BATCH);
      const success = Array.from({ length: next - first }, (_, i) => {
        const id = Uint8Array.from(randomBytes(32));
        if ((first + i) % every === 0) sample.push(id);
        return { put: { key: keys.record(id), value: Uint8Array.from(randomBytes(recordBytes)) } };
      });
      await cluster.request(TXN, encodeTxn({ compare: [], success, failure: [] }), decodeTxn);
    }
  };
  try {
    await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, lane));
  } finally {
    await cluster.close();
  }
  return sample;
}

/**
 * @param sites   members of the cluster; records are those of a fleet of as many sites with its default threshold
 * @param records how many there are in the end
 */
export async function benchGrowth(sites: number, records: number, seconds: number): Promise<GrowthReport> {
  const recordBytes = sealedRecordBytes(shareCount(sites, majority(sites)));
  const names = Array.from({ length: sites }, (_, i) => `site-${i + 1}`);
  const etcd = await startEtcdCluster({ members: sites });
  const steps: GrowthStep[] = [];
  try {
    const config = etcdConfig(etcd, names);
    let sample: readonly Uint8Array[] = [];
    let stored = 0;
    for (let step = Math.min(FIRST_STEP, records); stored < records; step = Math.min(records, step * 10)) {
      const began = performance.now();
      const added = await fill(config, names[0] ?? "", step - stored, recordBytes);
      const filledPerSecond = ((step - stored) * 1_000) / (performance.now() - began);
      sample = [...sample, ...added].slice(-SAMPLE);
      stored = step;
      await sleep(SETTLE_MS);
      const rates = await storeRates(config, names, recordBytes, seconds * 1_000, sample);
      const members = childrenOf(process.pid).filter((pid) => commandOf(pid) === "etcd");
      steps.push({ ...rates, records: stored, filledPerSecond, residentBytes: rssBytes(...members) });
      say(`  ${stored} records: ${rates.swaps.perSecond.toFixed(0)} swaps per second`);
    }
  } finally {
    await etcd.close();
  }
  return { sites, recordBytes, steps };
}

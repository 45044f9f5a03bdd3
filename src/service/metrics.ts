/** What Prometheus may know of a site, besides what it may know of every service. */
import { Counter, Histogram } from "prom-client";
import type { RecordStore } from "../store/record-store.ts";
import type { VaultEvent } from "../vault/vault.ts";
import {
  type BaseMetrics,
  createBaseMetrics,
  REQUEST_SECONDS,
  readGauge,
  STEP_SECONDS,
} from "./base-metrics.ts";

export interface ServiceMetrics extends BaseMetrics {
  readonly vaultEvent: (event: VaultEvent) => void;
  /** The same store, with the time of its calls observed. */
  observeStore(store: RecordStore): RecordStore;
  /** The same for the guard's table, which is a store of its own. */
  observeGuard(table: RecordStore): RecordStore;
  /** A request to another site. */
  readonly peerCall: (site: string, op: string, outcome: string, seconds: number) => void;
  /** Shares of a site that had to be asked of others. */
  readonly replacement: (why: "slow" | "failed") => void;
  observeInFlight(count: () => number): void;
  /** The newest bundle; `validUntil` in milliseconds since the Unix epoch. */
  observeBundle(newest: () => { readonly epoch: number; readonly validUntil: number } | undefined): void;
}

export function createMetrics(): ServiceMetrics {
  const base = createBaseMetrics();
  const { registry } = base;
  const registers = [registry];
  const vaultEvents = new Counter({
    name: "strongroom_vault_events_total",
    help: "What happened to records: attempts, recoveries, destructions and so on",
    labelNames: ["event"],
    registers,
  });
  const storeSeconds = new Histogram({
    name: "strongroom_store_seconds",
    help: "Time of a call to the record store",
    labelNames: ["call", "outcome"],
    buckets: STEP_SECONDS,
    registers,
  });
  const guardSeconds = new Histogram({
    name: "strongroom_guard_seconds",
    help: "Time of a call to the guard's table",
    labelNames: ["call", "outcome"],
    buckets: STEP_SECONDS,
    registers,
  });
  const peerSeconds = new Histogram({
    name: "strongroom_peer_seconds",
    help: "Time of a request to another site",
    labelNames: ["site", "request", "outcome"],
    buckets: REQUEST_SECONDS,
    registers,
  });
  const replacements = new Counter({
    name: "strongroom_share_replacements_total",
    help: "How often a site's shares were asked of others, because it was slow or failed",
    labelNames: ["why"],
    registers,
  });
  const gauge = (name: string, help: string, read: () => number): void =>
    readGauge(registry, name, help, read);

  type StoreSeconds = typeof storeSeconds;

  async function timed<T>(histogram: StoreSeconds, call: string, work: Promise<T>): Promise<T> {
    const start = performance.now();
    const done = (outcome: string): void =>
      histogram.observe({ call, outcome }, (performance.now() - start) / 1000);
    try {
      const result = await work;
      done("ok");
      return result;
    } catch (error) {
      done("failed");
      throw error;
    }
  }

  const observed = (histogram: StoreSeconds, store: RecordStore): RecordStore => ({
    get: (id) => timed(histogram, "get", store.get(id)),
    compareAndSwap: (id, expected, value) =>
      timed(histogram, "compare-and-swap", store.compareAndSwap(id, expected, value)),
    check: () => timed(histogram, "check", store.check()),
    close: () => store.close(),
  });

  return {
    ...base,
    vaultEvent: (event) => vaultEvents.inc({ event }),
    peerCall: (site, request, outcome, seconds) => peerSeconds.observe({ site, request, outcome }, seconds),
    replacement: (why) => replacements.inc({ why }),
    observeStore: (store) => observed(storeSeconds, store),
    observeGuard: (table) => observed(guardSeconds, table),
    observeInFlight: (count) =>
      gauge("strongroom_requests_in_flight", "Vault requests being worked on", count),
    observeBundle(newest) {
      gauge("strongroom_bundle_epoch", "The newest epoch served; 0 for none", () => newest()?.epoch ?? 0);
      gauge("strongroom_bundle_expires_seconds", "Until the newest bundle expires; NaN for none", () => {
        const validUntil = newest()?.validUntil;
        return validUntil === undefined ? Number.NaN : (validUntil - Date.now()) / 1000;
      });
    },
  };
}

/**
 * What Prometheus may know. Labels are from closed sets: an account, an address or a path as a label would leak who
 * uses the vault, and grow without bound.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { WireCode } from "../base/errors.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { TokenHealth } from "../token/token.ts";
import type { VaultEvent } from "../vault/vault.ts";
import type { Operation } from "../wire/messages.ts";

export type Outcome = "ok" | WireCode;
/** What a request turned out to ask; `sealed` where its envelope never opened. */
export type RequestKind =
  | Operation
  | "sealed"
  | "site"
  | "fleet"
  | "audit"
  | "log"
  | "witness"
  | "operations"
  | "other";

export interface ServiceMetrics {
  readonly registry: Registry;
  request(kind: RequestKind, outcome: Outcome, seconds: number): void;
  readonly vaultEvent: (event: VaultEvent) => void;
  readonly tokenCall: (fn: string, ckr: string, count: number) => void;
  readonly tokenStep: (op: string, outcome: string, seconds: number) => void;
  /** The same store, with the time of its calls observed. */
  observeStore(store: RecordStore): RecordStore;
  /** The same for the guard's table, which is a store of its own. */
  observeGuard(table: RecordStore): RecordStore;
  /** A request to another site. */
  readonly peerCall: (site: string, op: string, outcome: string, seconds: number) => void;
  /** Shares of a site that had to be asked of others. */
  readonly replacement: (why: "slow" | "failed") => void;
  observeToken(health: () => TokenHealth): void;
  observeInFlight(count: () => number): void;
  /** The newest bundle; `validUntil` in milliseconds since the Unix epoch. */
  observeBundle(newest: () => { readonly epoch: number; readonly validUntil: number } | undefined): void;
}

const REQUEST_SECONDS = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5];
const STEP_SECONDS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5];

export function createMetrics(): ServiceMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "strongroom_requests_total",
    help: "Requests by operation and outcome (ok or the code on the wire)",
    labelNames: ["operation", "outcome"],
    registers,
  });
  const requestSeconds = new Histogram({
    name: "strongroom_request_seconds",
    help: "Time from the header of a request to its answer",
    labelNames: ["operation"],
    buckets: REQUEST_SECONDS,
    registers,
  });
  const tokenCalls = new Counter({
    name: "strongroom_token_calls_total",
    help: "PKCS#11 calls by function and result",
    labelNames: ["function", "ckr"],
    registers,
  });
  const vaultEvents = new Counter({
    name: "strongroom_vault_events_total",
    help: "What happened to records: attempts, recoveries, destructions and so on",
    labelNames: ["event"],
    registers,
  });
  const stepSeconds = new Histogram({
    name: "strongroom_token_step_seconds",
    help: "Time of a step inside the token",
    labelNames: ["step", "outcome"],
    buckets: STEP_SECONDS,
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
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };

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
    registry,
    request(operation, outcome, seconds) {
      requests.inc({ operation, outcome });
      requestSeconds.observe({ operation }, seconds);
    },
    vaultEvent: (event) => vaultEvents.inc({ event }),
    tokenCall: (fn, ckr, count) => tokenCalls.inc({ function: fn, ckr }, count),
    tokenStep: (step, outcome, seconds) => stepSeconds.observe({ step, outcome }, seconds),
    peerCall: (site, request, outcome, seconds) => peerSeconds.observe({ site, request, outcome }, seconds),
    replacement: (why) => replacements.inc({ why }),
    observeStore: (store) => observed(storeSeconds, store),
    observeGuard: (table) => observed(guardSeconds, table),
    observeToken(health) {
      gauge("strongroom_token_queue_depth", "Calls that wait for a token worker", () => health().queued);
      gauge("strongroom_token_workers_ready", "Token workers that can be used", () => health().workersReady);
    },
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

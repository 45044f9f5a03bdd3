/**
 * What Prometheus may know of every service: its requests and its token. Labels are from closed sets: an account, an
 * address or a path as a label would leak who uses the vault, and grow without bound.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { WireCode } from "../base/errors.ts";
import type { TokenHealth } from "../token/token.ts";
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

export interface BaseMetrics {
  readonly registry: Registry;
  request(kind: RequestKind, outcome: Outcome, seconds: number): void;
  readonly tokenCall: (fn: string, ckr: string, count: number) => void;
  readonly tokenStep: (op: string, outcome: string, seconds: number) => void;
  observeToken(health: () => TokenHealth): void;
}

export const REQUEST_SECONDS: number[] = [
  0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5,
];
export const STEP_SECONDS: number[] = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5,
];

/** A gauge that is read when it is asked for. */
export function readGauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

export function createBaseMetrics(): BaseMetrics {
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
  const stepSeconds = new Histogram({
    name: "strongroom_token_step_seconds",
    help: "Time of a step inside the token",
    labelNames: ["step", "outcome"],
    buckets: STEP_SECONDS,
    registers,
  });
  return {
    registry,
    request(operation, outcome, seconds) {
      requests.inc({ operation, outcome });
      requestSeconds.observe({ operation }, seconds);
    },
    tokenCall: (fn, ckr, count) => tokenCalls.inc({ function: fn, ckr }, count),
    tokenStep: (step, outcome, seconds) => stepSeconds.observe({ step, outcome }, seconds),
    observeToken(health) {
      readGauge(
        registry,
        "strongroom_token_queue_depth",
        "Calls that wait for a token worker",
        () => health().queued,
      );
      readGauge(
        registry,
        "strongroom_token_workers_ready",
        "Token workers that can be used",
        () => health().workersReady,
      );
    },
  };
}

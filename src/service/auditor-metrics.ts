/** What Prometheus may know of an auditor. Namespaces are from its configuration, a closed set. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { TokenHealth } from "../token/token.ts";
import type { ServiceMetrics } from "./metrics.ts";

export interface AuditorMetrics
  extends Pick<ServiceMetrics, "registry" | "request" | "tokenCall" | "tokenStep"> {
  observeToken(health: () => TokenHealth): void;
  /** @param epochs the newest logged epoch by namespace */
  observeEpochs(epochs: () => ReadonlyMap<string, number>): void;
}

const SECONDS = [0.001, 0.004, 0.016, 0.064, 0.256, 1, 4, 16];

export function createAuditorMetrics(): AuditorMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "strongroom_requests_total",
    help: "Requests by kind and outcome (ok or the code that was told)",
    labelNames: ["operation", "outcome"],
    registers,
  });
  const requestSeconds = new Histogram({
    name: "strongroom_request_seconds",
    help: "Time from the header of a request to its answer",
    labelNames: ["operation"],
    buckets: SECONDS,
    registers,
  });
  const calls = new Counter({
    name: "strongroom_token_calls_total",
    help: "PKCS#11 calls by function and result",
    labelNames: ["function", "ckr"],
    registers,
  });
  const steps = new Histogram({
    name: "strongroom_token_step_seconds",
    help: "Time of a step inside the token",
    labelNames: ["step", "outcome"],
    buckets: SECONDS,
    registers,
  });
  return {
    registry,
    request(operation, outcome, seconds) {
      requests.inc({ operation, outcome });
      requestSeconds.observe({ operation }, seconds);
    },
    tokenCall: (fn, ckr, count) => calls.inc({ function: fn, ckr }, count),
    tokenStep: (step, outcome, seconds) => steps.observe({ step, outcome }, seconds),
    observeToken(health) {
      new Gauge({
        name: "strongroom_token_workers_ready",
        help: "Token workers that can be used",
        registers,
        collect() {
          this.set(health().workersReady);
        },
      });
    },
    observeEpochs(epochs) {
      new Gauge({
        name: "strongroom_auditor_epochs",
        help: "The newest logged epoch of a namespace",
        labelNames: ["namespace"],
        registers,
        collect() {
          for (const [namespace, epoch] of epochs()) this.set({ namespace }, epoch);
        },
      });
    },
  };
}

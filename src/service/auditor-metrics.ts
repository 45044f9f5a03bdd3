/** What Prometheus may know of an auditor or a witness. Namespaces are from its configuration, a closed set. */
import { Gauge } from "prom-client";
import { type BaseMetrics, createBaseMetrics } from "./base-metrics.ts";

export interface AuditorMetrics extends BaseMetrics {
  /** @param epochs the newest logged epoch by namespace */
  observeEpochs(epochs: () => ReadonlyMap<string, number>): void;
}

export function createAuditorMetrics(): AuditorMetrics {
  const base = createBaseMetrics();
  return {
    ...base,
    observeEpochs(epochs) {
      new Gauge({
        name: "strongroom_auditor_epochs",
        help: "The newest logged epoch of a namespace",
        labelNames: ["namespace"],
        registers: [base.registry],
        collect() {
          for (const [namespace, epoch] of epochs()) this.set({ namespace }, epoch);
        },
      });
    },
  };
}

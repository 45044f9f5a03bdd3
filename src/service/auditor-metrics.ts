/** What Prometheus may know of an auditor besides. Namespaces are from its configuration, a closed set. */
import { Gauge } from "prom-client";
import type { BaseMetrics } from "./base-metrics.ts";

/** @param epochs the newest logged epoch by namespace */
export function observeEpochs(
  { registry }: Pick<BaseMetrics, "registry">,
  epochs: () => ReadonlyMap<string, number>,
): void {
  new Gauge({
    name: "strongroom_auditor_epochs",
    help: "The newest logged epoch of a namespace",
    labelNames: ["namespace"],
    registers: [registry],
    collect() {
      for (const [namespace, epoch] of epochs()) this.set({ namespace }, epoch);
    },
  });
}

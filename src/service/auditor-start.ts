/** An auditor as a service. */
import { join } from "node:path";
import { type Auditor, openAuditor } from "../auditor/auditor.ts";
import type { AuditorConfig } from "../auditor/config.ts";
import { createAuditorApps } from "./auditor-app.ts";
import { observeEpochs } from "./auditor-metrics.ts";
import type { LogOutput } from "./log.ts";
import { runUntilStopped } from "./run.ts";
import { type RunningSigningService, startSigningService } from "./signing-service.ts";

export type RunningAuditor = RunningSigningService<Auditor>;

/** Serves until a signal. @throws what `startAuditor` throws */
export async function runAuditor(config: AuditorConfig): Promise<never> {
  return runUntilStopped(await startAuditor(config), config);
}

/**
 * @param output where log lines go; standard output by default
 * @throws config-invalid where the address cannot be listened on, and what `openAuditor` throws
 */
export function startAuditor(config: AuditorConfig, output?: LogOutput): Promise<RunningAuditor> {
  return startSigningService(
    config,
    {
      // Uploads of evidence are large, and come over slow lines.
      limits: { headerBytes: 8_192, connections: 4_096, requestTimeoutMs: 120_000 },
      // A reader who walks the log asks for many small files at once.
      burst: 20,
      open: (observer) => openAuditor(config, { observer }),
      apps({ namespaces }, options) {
        observeEpochs(
          options.metrics,
          () => new Map([...namespaces].map(([name, { lastEpoch }]) => [name, lastEpoch])),
        );
        return createAuditorApps({
          ...options,
          namespaces,
          logDir: join(config.dir, "public", "log"),
          separateOperations: config.operations !== undefined,
        });
      },
    },
    output,
  );
}

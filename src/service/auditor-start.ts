/** Puts an auditor's service together, and takes it down without losing an answer. */
import { join } from "node:path";
import { type Auditor, openAuditor } from "../auditor/auditor.ts";
import type { AuditorConfig } from "../auditor/config.ts";
import { StrongroomError } from "../base/errors.ts";
import { createAuditorApps } from "./auditor-app.ts";
import { createAuditorMetrics } from "./auditor-metrics.ts";
import { trustedProxies } from "./client-address.ts";
import type { ServiceLimits } from "./config-schema.ts";
import { closingWhile, drain, type Phase } from "./drain.ts";
import { type Listener, listen } from "./listener.ts";
import { createServiceLog, type LogOutput, type ServiceLog } from "./log.ts";
import { createRateLimiter } from "./rate-limit.ts";
import { runUntilStopped } from "./run.ts";
import { createWorkCount } from "./work-count.ts";

export interface RunningAuditor {
  readonly url: string;
  readonly operationsUrl: string;
  readonly auditor: Auditor;
  readonly log: ServiceLog;
  /** Drains and closes; the second call waits for the first. */
  close(): Promise<void>;
}

/** Uploads of evidence are large, and come over slow lines. */
const LIMITS: ServiceLimits = {
  bodyBytes: 64 << 20,
  headerBytes: 8_192,
  requestsPerSecondPerAddress: 100,
  burst: 400,
  concurrency: 64,
  connections: 4_096,
  requestTimeoutMs: 120_000,
};

/** Serves until a signal. @throws what `startAuditor` throws */
export async function runAuditor(config: AuditorConfig): Promise<void> {
  const { noticeMs, deadlineMs } = config.drain;
  runUntilStopped(await startAuditor(config), noticeMs + deadlineMs + config.token.deadlineMs);
}

/**
 * @param output where log lines go; standard output by default
 * @throws config-invalid where the address cannot be listened on, and what `openAuditor` throws
 */
export async function startAuditor(config: AuditorConfig, output?: LogOutput): Promise<RunningAuditor> {
  const log = createServiceLog(config.log.level, output);
  const metrics = createAuditorMetrics();
  const auditor = await openAuditor(config, {
    observer: {
      call: metrics.tokenCall,
      step: metrics.tokenStep,
      event: (name, fields) =>
        log.event(name === "token-stopped" ? "error" : "info", `token ${name}`, fields),
    },
  });
  const listeners: Listener[] = [];
  try {
    metrics.observeToken(() => auditor.health());
    metrics.observeEpochs(
      () => new Map([...auditor.namespaces].map(([name, { lastEpoch }]) => [name, lastEpoch])),
    );
    const phase: Phase = { draining: false, stopped: false };
    const work = createWorkCount();
    const perSecond = config.requestsPerSecondPerAddress;
    const apps = createAuditorApps({
      namespaces: auditor.namespaces,
      logDir: join(config.dir, "public", "log"),
      tokenHealth: () => auditor.health(),
      draining: () => phase.draining,
      admit: () => {
        if (phase.stopped) throw new StrongroomError("unavailable", "the auditor stops");
      },
      count: work.count,
      metrics,
      log,
      limiter: createRateLimiter({
        perSecond,
        // A reader who walks the log asks for many small files at once.
        burst: 20 * perSecond,
        clock: { now: () => performance.now() },
      }),
      trusts: trustedProxies(config.trustProxy),
      separateOperations: config.operations !== undefined,
    });
    const main = await listen(config.listen, LIMITS, closingWhile(phase, apps.main));
    listeners.push(main);
    if (config.operations && apps.operations)
      listeners.push(await listen(config.operations, LIMITS, apps.operations));
    const operationsUrl = (listeners[1] ?? main).url;
    log.event("info", "listening", { url: main.url, operationsUrl });
    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      await drain(config.drain, phase, main, work, log);
      for (const listener of listeners) listener.cut();
      // What was begun is finished: the token has been told of it.
      await work.idle();
      await auditor.close();
      log.flush();
    };
    return {
      url: main.url,
      operationsUrl,
      auditor,
      log,
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    for (const listener of listeners) listener.cut();
    await auditor.close();
    throw error;
  }
}

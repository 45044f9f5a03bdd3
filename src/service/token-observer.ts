/** Tells metrics and the log what happens in the workers of a token. */
import type { TokenObserver } from "../token/pool.ts";
import type { BaseMetrics } from "./base-metrics.ts";
import type { LogLevel, ServiceLog } from "./log.ts";

/** A worker that comes up, or ends when told, is as it should be; a refused PIN needs a person. */
function levelOf(name: string, how: unknown): LogLevel {
  if (name === "worker-ready" || (name === "worker-exit" && how === "exit code 0")) return "info";
  return name === "token-stopped" ? "error" : "warn";
}

export function tokenObserver(
  metrics: Pick<BaseMetrics, "tokenCall" | "tokenStep">,
  log: ServiceLog,
): TokenObserver {
  return {
    call: metrics.tokenCall,
    step: metrics.tokenStep,
    event: (name, fields) => log.event(levelOf(name, fields.how), `token ${name}`, fields),
  };
}

/** How a site stops without losing an answer: red first, then deaf, then done. */
import type { RequestListener } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceConfig } from "./config-schema.ts";
import type { Listener } from "./listener.ts";
import type { ServiceLog } from "./log.ts";
import type { VaultRoute } from "./vault-route.ts";

export interface Phase {
  /** /readyz is red; requests are still served. */
  draining: boolean;
  /** Requests are refused. */
  stopped: boolean;
}

/** Tells keep-alive peers to come back on another connection, hence to another site, once draining has begun. */
export function closingWhile(phase: Phase, serve: RequestListener): RequestListener {
  return (request, response) => {
    if (phase.draining) response.setHeader("connection", "close");
    serve(request, response);
  };
}

/** Resolves when nothing is in progress any more, or at the deadline. */
export async function drain(
  times: ServiceConfig["drain"],
  phase: Phase,
  listener: Listener,
  route: Pick<VaultRoute, "idle" | "inFlight">,
  log: ServiceLog,
): Promise<void> {
  phase.draining = true;
  log.event("info", "draining");
  await sleep(times.noticeMs);
  phase.stopped = true;
  const deadline = new AbortController();
  const finished = Promise.all([listener.stop(), route.idle()]).then(() => true);
  const late = sleep(times.deadlineMs, false, { signal: deadline.signal }).catch(() => false);
  if (await Promise.race([finished, late])) log.event("info", "drained");
  else log.event("warn", "drain deadline passed", { count: route.inFlight() });
  deadline.abort();
}

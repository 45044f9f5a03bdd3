/** A service as a process: signals, accidents, exit codes. */
import type { ServiceConfig } from "./config-schema.ts";
import { settleHeap } from "./heap.ts";
import type { ServiceLog } from "./log.ts";
import { startService } from "./start.ts";

/** Closing ends within the drain times and what the token may take; whatever still hangs then is not waited for. */
const CLOSE_SLACK_MS = 10_000;

/** What has been started, as far as its process is concerned. */
export interface Stoppable {
  readonly log: ServiceLog;
  close(): Promise<void>;
}

/** Ends with the process. @throws what `startService` throws */
export async function runService(config: ServiceConfig): Promise<never> {
  return runUntilStopped(await startService(config), config);
}

/**
 * Serves until SIGTERM, SIGINT or SIGHUP, then drains and exits 0; a second signal exits at once. Nothing is read
 * again while it serves: who sends SIGHUP to that end has a supervisor, which starts the next process. An error that
 * nobody handled means that the process is in a state that nobody thought of: it drains, and exits 1 for its supervisor.
 */
export function runUntilStopped(
  service: Stoppable,
  { drain, token }: Pick<ServiceConfig, "drain"> & { readonly token: { readonly deadlineMs: number } },
): Promise<never> {
  settleHeap();
  const closeMs = drain.noticeMs + drain.deadlineMs + token.deadlineMs + CLOSE_SLACK_MS;
  const { log } = service;
  let stopping = false;
  const exit = async (code: number): Promise<never> => {
    if (!(await log.flush())) process.kill(process.pid, "SIGKILL");
    return process.exit(code);
  };
  const stop = (code: number): void => {
    if (stopping) {
      void exit(code === 0 ? 130 : code);
      return;
    }
    stopping = true;
    setTimeout(() => void exit(1), closeMs).unref();
    service.close().then(
      () => exit(code),
      (error: unknown) => {
        log.event("error", "closing failed", {}, error);
        return exit(1);
      },
    );
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => {
      log.event("info", "signal", { signal });
      stop(0);
    });
  for (const accident of ["uncaughtException", "unhandledRejection"] as const)
    process.on(accident, (error: unknown) => {
      log.event("error", accident, {}, error);
      stop(1);
    });
  return new Promise(() => undefined);
}

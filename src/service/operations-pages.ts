/** What operators see of every service: whether it lives, whether it is ready, and its metrics. */
import type { Express } from "express";
import type { TokenHealth } from "../token/token.ts";
import type { BaseMetrics } from "./base-metrics.ts";
import type { TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import { scrub } from "./log-fields.ts";
import { limited, page, READ, wrongMethod } from "./pages.ts";
import type { RateLimiter } from "./rate-limit.ts";

interface OperationsOptions {
  readonly readiness: () => Promise<{ readonly ready: boolean }>;
  readonly metrics: Pick<BaseMetrics, "request" | "registry">;
  readonly log: ServiceLog;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
}

export function addOperationsPages(app: Express, options: OperationsOptions): void {
  const { readiness, metrics } = options;
  app.use(["/healthz", "/readyz", "/metrics"], page("operations", options));
  // Health checks are not limited: a load balancer must not take a service for dead because it asks often.
  app
    .route("/healthz")
    .get((_request, response) => {
      response.set("cache-control", "no-store").json({ alive: true });
    })
    .all(wrongMethod(READ));
  app
    .route("/readyz")
    .get(async (_request, response) => {
      const state = await readiness();
      response
        .status(state.ready ? 200 : 503)
        .set("cache-control", "no-store")
        .json(state);
    })
    .all(wrongMethod(READ));
  app
    .route("/metrics")
    .get(limited(options), async (_request, response) => {
      const text = await metrics.registry.metrics();
      response.set({ "cache-control": "no-store", "content-type": metrics.registry.contentType }).end(text);
    })
    .all(wrongMethod(READ));
}

/** What the application of a service that does nothing but sign is given: of an auditor, of a witness. */
export interface SigningAppOptions extends Omit<OperationsOptions, "readiness"> {
  readonly tokenHealth: () => TokenHealth;
  readonly draining: () => boolean;
  /** @throws unavailable for a request that comes too late */
  readonly admit: () => void;
  /** Told when a request that may change something begins and ends. */
  readonly count: (change: 1 | -1) => void;
}

export function addSigningPages(app: Express, options: SigningAppOptions): void {
  const readiness = async () => {
    const { ready, reason } = options.tokenHealth();
    const draining = options.draining();
    return {
      ready: ready && !draining,
      token: { ok: ready, detail: ready ? "signs" : scrub(reason ?? "not ready") },
      draining,
    };
  };
  addOperationsPages(app, { ...options, readiness });
}

/**
 * The express applications: what the public sees and what operators see.
 *
 * `POST /v1/vault` and `POST /v1/site` have a way past express, because express's wrapping of requests and its router cost more than
 * everything else that the host does for a request except cryptography. Other spellings of these paths (a query, a
 * trailing slash) reach the same routes through express.
 */
import type { RequestListener } from "node:http";
import type { Express } from "express";
import type { BundleShelf } from "./bundles.ts";
import type { TrustsProxy } from "./client-address.ts";
import type { VaultOrigins } from "./cross-origin.ts";
import { addFleetPages } from "./fleet-pages.ts";
import type { FleetView } from "./fleet-parts.ts";
import type { ServiceLog } from "./log.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { addOperationsPages } from "./operations-pages.ts";
import { answerError, limited, newApp, noSuchPage, page, READ, wrongMethod } from "./pages.ts";
import type { RateLimiter } from "./rate-limit.ts";
import type { Readiness } from "./readiness.ts";
import type { SiteRoute } from "./site-route.ts";
import type { VaultRoute } from "./vault-route.ts";

export interface AppOptions {
  readonly vault: VaultRoute;
  /** For the other sites; undefined in a fleet of one. */
  readonly sites: SiteRoute | undefined;
  readonly fleet: () => Promise<FleetView>;
  readonly manifestBytes: Uint8Array;
  /** Undefined for a site that serves none. */
  readonly bundles: BundleShelf | undefined;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: ServiceMetrics;
  readonly log: ServiceLog;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
  /** Whose pages may use the vault. */
  readonly origins: VaultOrigins;
  /** Whether /healthz, /readyz and /metrics have a listener of their own. */
  readonly separateOperations: boolean;
}

type AddRoutes = (app: Express, options: AppOptions) => void;

const VAULT_PATH = "/v1/vault";
const SITE_PATH = "/v1/site";

const addOperations: AddRoutes = (app, options) => {
  addOperationsPages(app, options);
  app
    .route("/fleetz")
    .all(page("operations", options))
    .get(limited(options), async (_request, response) => {
      response.set("cache-control", "no-store").json(await options.fleet());
    })
    .all(wrongMethod(READ));
};

const addVault: AddRoutes = (app, options) => {
  const { vault, origins } = options;
  app
    .route(VAULT_PATH)
    .post((request, response) => {
      origins.allow(request, response);
      return vault.handle(request, response);
    })
    // Not limited: what is refused here looks like a site that is down, and refusing costs as much as answering.
    .options(page("other", options), origins.preflight)
    .all(wrongMethod("POST"));
};

const addSites: AddRoutes = (app, { sites }) => {
  if (!sites) return;
  app
    .route(SITE_PATH)
    .post((request, response) => sites.handle(request, response))
    .all(wrongMethod("POST"));
};

const addRefusals: AddRoutes = (app, options) => {
  app.use(page("other", options), limited(options), noSuchPage);
};

function build(options: AppOptions, ...parts: readonly AddRoutes[]): Express {
  const app = newApp();
  for (const add of parts) add(app, options);
  app.use(answerError);
  return app;
}

/** The listeners of a site; `operations` is undefined where it has no port of its own. */
export function createApps(options: AppOptions): {
  readonly site: RequestListener;
  readonly operations: RequestListener | undefined;
} {
  const { vault, sites, origins, separateOperations } = options;
  const app = separateOperations
    ? build(options, addVault, addSites, addFleetPages, addRefusals)
    : build(options, addVault, addSites, addFleetPages, addOperations, addRefusals);
  return {
    site: (request, response) => {
      if (request.url === VAULT_PATH && request.method === "POST") {
        origins.allow(request, response);
        void vault.handle(request, response);
      } else if (request.url === SITE_PATH && request.method === "POST" && sites)
        void sites.handle(request, response);
      else app(request, response);
    },
    operations: separateOperations ? build(options, addOperations, addRefusals) : undefined,
  };
}

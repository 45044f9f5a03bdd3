/** The express applications of an auditor: what everybody sees, what its operators see of the machine. */
import type { RequestListener } from "node:http";
import express, { type Express } from "express";
import helmet from "helmet";
import { StrongroomError } from "../base/errors.ts";
import type { TokenHealth } from "../token/token.ts";
import { logFiles, PAGE_POLICY, pageFiles } from "./auditor-files.ts";
import type { AuditorMetrics } from "./auditor-metrics.ts";
import { addReads, type Namespaces } from "./auditor-reads.ts";
import { addWrites } from "./auditor-writes.ts";
import type { TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import { scrub } from "./log-fields.ts";
import { answerError, limited, page, READ, wrongMethod } from "./pages.ts";
import type { RateLimiter } from "./rate-limit.ts";

export interface AuditorAppOptions {
  readonly namespaces: Namespaces;
  /** `public/log` of the data directory. */
  readonly logDir: string;
  readonly tokenHealth: () => TokenHealth;
  readonly draining: () => boolean;
  readonly admit: () => void;
  readonly count: (change: 1 | -1) => void;
  readonly metrics: AuditorMetrics;
  readonly log: ServiceLog;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
  /** Whether /healthz, /readyz and /metrics have a listener of their own. */
  readonly separateOperations: boolean;
}

type AddRoutes = (app: Express, options: AuditorAppOptions) => void;

const addOperations: AddRoutes = (app, options) => {
  const { metrics, tokenHealth, draining } = options;
  app.all(["/healthz", "/readyz", "/metrics"], page("operations", options));
  app
    .route("/healthz")
    .get((_request, response) => {
      response.set("cache-control", "no-store").json({ alive: true });
    })
    .all(wrongMethod(READ));
  app
    .route("/readyz")
    .get((_request, response) => {
      const { ready, reason } = tokenHealth();
      const ok = ready && !draining();
      response
        .status(ok ? 200 : 503)
        .set("cache-control", "no-store")
        .json({
          ready: ok,
          token: { ok: ready, detail: ready ? "signs" : scrub(reason ?? "not ready") },
          draining: draining(),
        });
    })
    .all(wrongMethod(READ));
  app
    .route("/metrics")
    .get(limited(options), async (_request, response) => {
      const text = await metrics.registry.metrics();
      response.set({ "cache-control": "no-store", "content-type": metrics.registry.contentType }).end(text);
    })
    .all(wrongMethod(READ));
};

const addAudits: AddRoutes = (app, options) => {
  app.use(["/info", "/namespaces"], page("audit", options), limited(options));
  addWrites(app, options.namespaces, options.admit, options.count);
  addReads(app, options.namespaces);
};

const addFiles: AddRoutes = (app, options) => {
  app.use("/log", page("log", options), limited(options), logFiles(options.logDir), refuse);
  const files = pageFiles();
  if (files) app.use(page("other", options), limited(options), files);
};

const refuse = (): never => {
  throw new StrongroomError("invalid-request", "no such page", { details: { status: 404 } });
};
const addRefusals: AddRoutes = (app) => {
  app.use(refuse);
};

function build(options: AuditorAppOptions, ...parts: readonly AddRoutes[]): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  app.use(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: Object.fromEntries(Object.entries(PAGE_POLICY).map(([name, all]) => [name, [...all]])),
      },
    }),
  );
  for (const add of parts) add(app, options);
  app.use(answerError);
  return app;
}

/** The listeners of an auditor; `operations` is undefined where it has no port of its own. */
export function createAuditorApps(options: AuditorAppOptions): {
  readonly main: RequestListener;
  readonly operations: RequestListener | undefined;
} {
  return options.separateOperations
    ? {
        main: build(options, addAudits, addFiles, addRefusals),
        operations: build(options, addOperations, addRefusals),
      }
    : { main: build(options, addOperations, addAudits, addFiles, addRefusals), operations: undefined };
}

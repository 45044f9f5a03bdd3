/** The express applications of an auditor: what everybody sees, what its operators see of the machine. */
import type { RequestListener } from "node:http";
import type { Express } from "express";
import type { TokenHealth } from "../token/token.ts";
import { logFiles, PAGE_POLICY, pageFiles } from "./auditor-files.ts";
import type { AuditorMetrics } from "./auditor-metrics.ts";
import { addReads, type Namespaces } from "./auditor-reads.ts";
import { addWrites } from "./auditor-writes.ts";
import type { TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import { addOperationsPages, signingReadiness } from "./operations-pages.ts";
import { answerError, limited, newApp, noSuchPage, page } from "./pages.ts";
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
  const { tokenHealth, draining } = options;
  addOperationsPages(app, {
    ...options,
    readiness: async () => signingReadiness(tokenHealth(), draining()),
  });
};

const addAudits: AddRoutes = (app, options) => {
  app.use(["/info", "/namespaces"], page("audit", options), limited(options));
  addWrites(app, options.namespaces, options.admit, options.count);
  addReads(app, options.namespaces);
};

const addFiles: AddRoutes = (app, options) => {
  app.use("/log", page("log", options), limited(options), logFiles(options.logDir), noSuchPage);
  const files = pageFiles();
  if (files) app.use(page("other", options), limited(options), files);
};

const addRefusals: AddRoutes = (app) => {
  app.use(noSuchPage);
};

function build(options: AuditorAppOptions, ...parts: readonly AddRoutes[]): Express {
  const app = newApp({
    useDefaults: false,
    directives: Object.fromEntries(Object.entries(PAGE_POLICY).map(([name, all]) => [name, [...all]])),
  });
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

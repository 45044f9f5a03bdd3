/** The express applications of an auditor: what everybody sees, what its operators see of the machine. */
import type { RequestListener } from "node:http";
import type { Express } from "express";
import { logFiles, PAGE_POLICY, pageFiles } from "./auditor-files.ts";
import { addReads, type Namespaces } from "./auditor-reads.ts";
import { addWrites } from "./auditor-writes.ts";
import { anyOrigin } from "./cross-origin.ts";
import { addSigningPages, type SigningAppOptions } from "./operations-pages.ts";
import { answerError, limited, newApp, noSuchPage, page } from "./pages.ts";

interface AuditorAppOptions extends SigningAppOptions {
  readonly namespaces: Namespaces;
  /** `public/log` of the data directory. */
  readonly logDir: string;
  /** Whether /healthz, /readyz and /metrics have a listener of their own. */
  readonly separateOperations: boolean;
}

type AddRoutes = (app: Express, options: AuditorAppOptions) => void;

const addAudits: AddRoutes = (app, options) => {
  app.use(["/info", "/namespaces"], page("audit", options), anyOrigin, limited(options));
  addWrites(app, options.namespaces, options.admit, options.count);
  addReads(app, options.namespaces);
};

const addFiles: AddRoutes = (app, options) => {
  app.use("/log", page("log", options), anyOrigin, limited(options), logFiles(options.logDir), noSuchPage);
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
        operations: build(options, addSigningPages, addRefusals),
      }
    : { main: build(options, addSigningPages, addAudits, addFiles, addRefusals), operations: undefined };
}

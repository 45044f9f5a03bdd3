/** What the pages of every service have in common: counted, limited, and never an error that tells too much. */
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import helmet, { type HelmetOptions } from "helmet";
import { StrongroomError } from "../base/errors.ts";
import type { BaseMetrics, RequestKind } from "./base-metrics.ts";
import { clientAddress, type TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import { ours, sendError } from "./plain-error.ts";
import type { RateLimiter } from "./rate-limit.ts";

type Handler = (request: Request, response: Response, next: NextFunction) => void;

/** `allow` of what is only read. */
export const READ = "GET, HEAD";

/**
 * An application without what express does by itself. By default a browser that ends up on an answer may do nothing
 * with it.
 */
export function newApp(
  contentSecurityPolicy: HelmetOptions["contentSecurityPolicy"] = {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"] },
  },
): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  app.use(helmet({ contentSecurityPolicy }));
  return app;
}

export function noSuchPage(): never {
  throw new StrongroomError("invalid-request", "no such page", { details: { status: 404 } });
}

/** Counts and logs a page under `kind`. The vault's route does this itself. */
export function page(
  kind: RequestKind,
  { metrics, log }: { readonly metrics: Pick<BaseMetrics, "request">; readonly log: ServiceLog },
): Handler {
  return (_request, response, next) => {
    const start = performance.now();
    response.once("close", () => {
      const milliseconds = performance.now() - start;
      const failure: unknown = response.locals.error;
      const error = failure === undefined ? undefined : ours(failure);
      const outcome = error?.wire ?? "ok";
      metrics.request(kind, outcome, milliseconds / 1000);
      log.request({ kind, outcome, milliseconds, error });
    });
    next();
  };
}

export function wrongMethod(allow: string): () => never {
  return () => {
    throw new StrongroomError("invalid-request", "wrong method", { details: { status: 405, allow } });
  };
}

/** So many requests per second and address. */
export function limited({
  limiter,
  trusts,
}: {
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
}): Handler {
  return (request, _response, next) => {
    const wait = limiter.take(clientAddress(request, trusts));
    if (wait === 0) next();
    else
      next(
        new StrongroomError("rate-limited", "too many requests from one address", {
          details: { retryAfter: wait },
        }),
      );
  };
}

/** Express marks what the client did wrong with a 4xx status. */
function asRequestError(error: unknown): StrongroomError {
  const status = error instanceof Error && "status" in error ? Number(error.status) : 0;
  return status >= 400 && status < 500 && !(error instanceof StrongroomError)
    ? new StrongroomError("invalid-request", "malformed request", { cause: error })
    : ours(error);
}

/** The last handler of an application. */
export function answerError(
  failure: unknown,
  request: Request,
  response: Response,
  _next: NextFunction,
): void {
  const error = asRequestError(failure);
  response.locals.error = error;
  const { allow } = error.details;
  sendError(response, error, {
    ...(typeof allow === "string" ? { allow } : {}),
    ...(request.complete ? {} : { connection: "close" }),
  });
}

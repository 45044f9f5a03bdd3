/**
 * What anybody may read about fleets: the site's manifest, byte for byte, and the validation bundles, from which clients
 * learn of new fleets (design §10).
 */
import type { Express, Request, Response } from "express";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import type { BundleShelf } from "./bundles.ts";
import type { TrustsProxy } from "./client-address.ts";
import { anyOrigin } from "./cross-origin.ts";
import type { ServiceLog } from "./log.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { limited, page, READ, wrongMethod } from "./pages.ts";
import type { RateLimiter } from "./rate-limit.ts";

export interface FleetPagesOptions {
  readonly manifestBytes: Uint8Array;
  /** Undefined for a site that serves none. */
  readonly bundles: BundleShelf | undefined;
  readonly metrics: ServiceMetrics;
  readonly log: ServiceLog;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
}

/** To be asked for each time: a client that was told `unknown-key` needs the new one, and 304 costs nothing. */
const FRESH = "public, no-cache";
const FOREVER = "public, max-age=31536000, immutable";

interface Document {
  readonly body: Buffer;
  readonly etag: string;
}

function documentOf(bytes: Uint8Array): Document {
  const body = Buffer.from(bytes);
  return { body, etag: `"${sha256HexOf(body)}"` };
}

function sendDocument(
  request: Request,
  response: Response,
  { body, etag }: Document,
  cacheControl: string,
): void {
  response.set({ etag, "cache-control": cacheControl });
  // Express's own `set` would add a charset, which JSON does not have.
  response.setHeader("content-type", "application/json");
  if ((request.headers["if-none-match"] ?? "").includes(etag)) response.status(304).end();
  else response.set("content-length", String(body.length)).end(body);
}

function noBundle(response: Response, hint: string): void {
  response.locals.error = new StrongroomError("invalid-request", "no such bundle", {
    details: { status: 404 },
  });
  response.status(404).set("cache-control", "no-store").json({ error: "invalid-request", hint });
}

export function addFleetPages(app: Express, options: FleetPagesOptions): void {
  const { bundles } = options;
  const manifest = documentOf(options.manifestBytes);
  let newest: (Document & { readonly bytes: Uint8Array }) | undefined;
  app.all(
    ["/v1/manifest", "/v1/fleet", "/v1/fleet/:epoch"],
    page("fleet", options),
    anyOrigin,
    limited(options),
  );
  app
    .route("/v1/manifest")
    .get((request, response) => sendDocument(request, response, manifest, FRESH))
    .all(wrongMethod(READ));
  app
    .route("/v1/fleet")
    .get((request, response) => {
      const bytes = bundles?.newest()?.bytes;
      if (!bytes) return noBundle(response, "this site has no bundle; its manifest is /v1/manifest");
      if (newest?.bytes !== bytes) newest = { ...documentOf(bytes), bytes };
      sendDocument(request, response, newest, FRESH);
    })
    .all(wrongMethod(READ));
  app
    .route("/v1/fleet/:epoch")
    .get(async (request, response) => {
      const { epoch } = request.params;
      const bytes = /^[1-9]\d{0,15}$/.test(epoch) ? await bundles?.of(Number(epoch)) : undefined;
      if (bytes) sendDocument(request, response, documentOf(bytes), FOREVER);
      else noBundle(response, "this site has no bundle of that epoch; the auditor has all of them");
    })
    .all(wrongMethod(READ));
}

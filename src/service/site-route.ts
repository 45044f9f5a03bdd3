/**
 * `POST /v1/site`: what the other sites of the fleet send (src/fleet/peer-route.ts does the work).
 *
 * A stranger can have this site open envelopes, at the price of one token call each, so openings are limited by
 * address as clients' requests are. Messages of a channel are not: sites send many, and one that is not of a channel
 * costs no token call.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { StrongroomError } from "../base/errors.ts";
import type { PeerAnswer, PeerRoute } from "../fleet/peer-route.ts";
import { MAX_SITE_MESSAGE_BYTES } from "../wire/limits.ts";
import { frameKind, SITE_CONTENT_TYPE } from "../wire/site-frames.ts";
import { checkContentType, readBody } from "./body.ts";
import { clientAddress, type TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { createPlaces } from "./places.ts";
import { ours, sendError } from "./plain-error.ts";
import type { RateLimiter } from "./rate-limit.ts";

export interface SiteRouteOptions {
  readonly route: PeerRoute;
  readonly log: ServiceLog;
  readonly metrics: ServiceMetrics;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
  /** Requests that are worked on at once. */
  readonly concurrency: number;
  /** @throws unavailable while the token's keys are unproved, and while draining */
  readonly admit: () => void;
}

export interface SiteRoute {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  inFlight(): number;
  /** Resolves when no request is being worked on. */
  idle(): Promise<void>;
}

export function createSiteRoute(options: SiteRouteOptions): SiteRoute {
  const { route, limiter } = options;
  const places = createPlaces(options.concurrency);

  function checkLoad(): void {
    options.admit();
    places.check();
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<Line> {
    checkLoad();
    checkContentType(request, SITE_CONTENT_TYPE);
    const received = await readBody(request, MAX_SITE_MESSAGE_BYTES);
    const wait = frameKind(received) === "opening" ? limiter.take(clientAddress(request, options.trusts)) : 0;
    if (wait > 0)
      throw new StrongroomError("rate-limited", "too many openings from one address", {
        details: { retryAfter: wait },
      });
    checkLoad();
    return places.during(async () => {
      const { status, body, ...line } = await route.handle(received);
      response.writeHead(status, {
        "content-type": status === 200 ? SITE_CONTENT_TYPE : "application/json",
        "content-length": body.length,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      response.end(body);
      return line;
    });
  }

  return {
    async handle(request, response) {
      const start = performance.now();
      let line: Line;
      try {
        line = await serve(request, response);
      } catch (thrown) {
        line = { error: ours(thrown) };
        // What has not been read of the body is not worth reading.
        sendError(response, ours(thrown), request.complete ? {} : { connection: "close" });
      }
      const milliseconds = performance.now() - start;
      const outcome = line.error?.wire ?? "ok";
      options.metrics.request("site", outcome, milliseconds / 1000);
      options.log.request({ ...line, kind: "site", outcome, milliseconds });
    },
    inFlight: places.taken,
    idle: places.idle,
  };
}

type Line = Pick<PeerAnswer, "from" | "op" | "error">;

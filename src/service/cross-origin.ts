/**
 * What pages of other origins may read (Fetch, HTTP's CORS protocol): what is public, and the vault's sealed answers.
 *
 * The vault takes no cookies and nothing else that a browser adds by itself: who asks is said inside of the sealed
 * request. So a strange page can do here what any program can, and no more. A list of origins keeps strange pages from
 * sending in the name of their visitors' addresses, or from inside of a private network.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { NextFunction, Request, Response } from "express";

/** `*` is any. */
export type BrowserOrigins = "*" | readonly string[];

/** How long browsers remember a preflight, seconds: for a recovery, but not for hours with an origin that is listed no more. */
const PREFLIGHT_SECONDS = 600;

/** For what anybody may read: answers to GET are the same for all, errors too. */
export function anyOrigin(request: Request, response: Response, next: NextFunction): void {
  if (request.method === "GET" || request.method === "HEAD") {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("cross-origin-resource-policy", "cross-origin");
  }
  next();
}

export interface VaultOrigins {
  /** Lets the page that asks read the answer, whatever it will be. */
  allow(request: IncomingMessage, response: ServerResponse): void;
  /** Answers what a browser asks before it sends a sealed request. */
  preflight(request: Request, response: Response, next: NextFunction): void;
}

export function vaultOrigins(origins: BrowserOrigins): VaultOrigins {
  const listed = new Set(origins === "*" ? [] : origins);

  /** Nothing where no page asks: other clients pay nothing for it. */
  function allow(request: IncomingMessage, response: ServerResponse): boolean {
    const { origin } = request.headers;
    if (origin === undefined || (origins !== "*" && !listed.has(origin))) return false;
    response.setHeader("access-control-allow-origin", origins === "*" ? "*" : origin);
    if (origins !== "*") response.setHeader("vary", "origin");
    return true;
  }

  return {
    allow(request, response) {
      if (allow(request, response)) response.setHeader("access-control-expose-headers", "retry-after");
    },
    preflight(request, response, next) {
      if (request.headers["access-control-request-method"] === undefined || !allow(request, response)) {
        next();
        return;
      }
      response
        .set({
          "access-control-allow-methods": "POST",
          "access-control-allow-headers": "content-type",
          "access-control-max-age": String(PREFLIGHT_SECONDS),
        })
        .status(204)
        .end();
    },
  };
}

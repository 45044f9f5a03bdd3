/** Errors in the clear: for requests whose envelope could not be opened, and for everything that is not the vault. */
import type { ServerResponse } from "node:http";
import { ERROR_TRAITS, isStrongroomError, StrongroomError, type WireCode } from "../base/errors.ts";
import type { WireError } from "../wire/messages.ts";

/** What a client is told to wait where nothing better is known; seconds. */
const RETRY_AFTER: Partial<Record<WireCode, number>> = { "rate-limited": 60, unavailable: 2 };

/** Every error as one of ours; what was none is a bug, and looks like an outage from outside. */
export function ours(error: unknown): StrongroomError {
  if (isStrongroomError(error)) return error;
  return new StrongroomError("internal", "unexpected error", { cause: error });
}

/** What a client may learn of an error (design §6). */
export function wireError(error: StrongroomError): WireError {
  const known = error.details.retryAfter;
  const retryAfter = typeof known === "number" ? Math.max(1, Math.ceil(known)) : RETRY_AFTER[error.wire];
  return { error: error.wire, ...(retryAfter === undefined ? {} : { retryAfter }) };
}

/** Statuses that say more than the code; others would not be ours to give. */
const STATUSES: readonly unknown[] = [404, 405, 413, 415, 421];

/** Ends the response with `{error, retryAfter?}`. Never a 500: hostile input must not look like a bug, nor a bug like one. */
export function sendError(response: ServerResponse, error: StrongroomError, headers: object = {}): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const told = wireError(error);
  const { status } = error.details;
  const body = Buffer.from(JSON.stringify(told));
  response.writeHead(STATUSES.includes(status) ? Number(status) : ERROR_TRAITS[error.wire].status, {
    "content-type": "application/json",
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(told.retryAfter === undefined ? {} : { "retry-after": String(told.retryAfter) }),
    ...headers,
  });
  response.end(body);
}

/**
 * What an operator hands in: announcements, evidence, the wish for an audit, the countersignature. Each namespace has a
 * bearer token, of which the auditor knows only the hash; whoever has shown it is told why something is refused.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Express, Request, Response } from "express";
import { z } from "zod";
import { type AuditedNamespace, countersignRequestSchema } from "../auditor/namespace.ts";
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { MAX_ANNOUNCEMENT_BYTES, sha256Hex } from "../wire/announcement.ts";
import { encodeBundle } from "../wire/bundle.ts";
import { parseJson } from "../wire/json.ts";
import { type Namespaces, namespaceOf } from "./auditor-reads.ts";
import { readBody } from "./body.ts";
import { wrongMethod } from "./pages.ts";
import { createPlaces, type Places } from "./places.ts";
import { ours, wireError } from "./plain-error.ts";

const MAX_EVIDENCE_FILE_BYTES = 64 << 20;
const MAX_REQUEST_BYTES = 4_096;
/**
 * Of one operator, worked on or waiting at once, each maybe with a file of evidence in memory. They are done one after
 * the other, behind a check of evidence that may take a while.
 */
const MAX_WRITES = 8;

const auditRequestSchema: z.ZodType<{ readonly epoch: number; readonly digest: string }> = z.strictObject({
  epoch: z.number().int().min(1).safe(),
  digest: sha256Hex,
});

/** @throws unauthorized */
function requireOperator(namespace: AuditedNamespace, request: Request): void {
  const [, token] = /^Bearer ([A-Za-z0-9._~+/=-]{16,512})$/.exec(request.headers.authorization ?? "") ?? [];
  const hash = createHash("sha256")
    .update(token ?? "")
    .digest();
  if (token !== undefined && timingSafeEqual(hash, fromHex(namespace.config.operatorToken))) return;
  throw new StrongroomError("unauthorized", "not the operator's token");
}

/** @throws invalid-request */
async function readJson<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const bytes = await readBody(request, MAX_REQUEST_BYTES);
  return parseJson(bytes, { what: "body", schema, code: "invalid-request" });
}

/** Everything of an error of ours but its cause; of a bug, nothing. */
function tell(request: Request, response: Response, failure: unknown): void {
  const error = ours(failure);
  response.locals.error = error;
  const { code, message, hint, details } = error;
  const { status } = details;
  const body = code === "internal" ? wireError(error) : { ...wireError(error), code, message, hint, details };
  response
    .status(typeof status === "number" ? status : error.status === 500 ? 503 : error.status)
    .set({
      "cache-control": "no-store",
      // What was not read would be taken for the next request.
      ...(request.complete ? {} : { connection: "close" }),
    })
    .json(body);
}

/**
 * @param admit throws while the service does not take new work
 * @param count is told when work begins and ends
 */
export function addWrites(
  app: Express,
  namespaces: Namespaces,
  admit: () => void,
  count: (change: 1 | -1) => void,
): void {
  const places = new Map<AuditedNamespace, Places>();
  const placesOf = (namespace: AuditedNamespace): Places => {
    const found = places.get(namespace) ?? createPlaces(MAX_WRITES);
    places.set(namespace, found);
    return found;
  };
  const write = (
    method: "put" | "post",
    path: string,
    work: (namespace: AuditedNamespace, request: Request, response: Response) => Promise<void>,
  ): void => {
    app.route(path)[method](async (request: Request, response: Response) => {
      const namespace = namespaceOf(namespaces, request);
      requireOperator(namespace, request);
      count(1);
      try {
        admit();
        const own = placesOf(namespace);
        own.check();
        await own.during(() => work(namespace, request, response));
      } catch (error) {
        tell(request, response, error);
      } finally {
        count(-1);
      }
    });
    app.route(path).all(wrongMethod(method.toUpperCase()));
  };
  const stored = (response: Response): void => {
    response.status(204).end();
  };

  write("put", "/namespaces/:namespace/announcements/:digest", async (namespace, request, response) => {
    const bytes = await readBody(request, MAX_ANNOUNCEMENT_BYTES);
    await namespace.putAnnouncement(String(request.params.digest), bytes);
    stored(response);
  });
  write("put", "/namespaces/:namespace/evidence/:id/*path", async (namespace, request, response) => {
    const bytes = await readBody(request, MAX_EVIDENCE_FILE_BYTES);
    const { id, path } = request.params;
    await namespace.putEvidence(String(id), Array.isArray(path) ? path.join("/") : String(path), bytes);
    stored(response);
  });
  write("post", "/namespaces/:namespace/audits", async (namespace, request, response) => {
    const { epoch, digest } = await readJson(request, auditRequestSchema);
    response.set("cache-control", "no-store").json(await namespace.audit(epoch, digest));
  });
  write("post", "/namespaces/:namespace/countersignatures", async (namespace, request, response) => {
    const bundle = await namespace.countersign(await readJson(request, countersignRequestSchema));
    response.set("cache-control", "no-store");
    response.setHeader("content-type", "application/json");
    response.end(Buffer.from(encodeBundle(bundle)));
  });
}

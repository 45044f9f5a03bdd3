/**
 * What everybody may ask an auditor: the interface of the Plexi key-transparency auditor (cloudflare/plexi), so that its
 * client reads our audits too. Bodies are what its types take: an absent value is left out or null, never another kind.
 */
import type { Express, Request, Response } from "express";
import type { AuditedNamespace } from "../auditor/namespace.ts";
import { framed, toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { READ, wrongMethod } from "./pages.ts";

export type Namespaces = ReadonlyMap<string, AuditedNamespace>;

/** Epochs as they stand in paths: decimal, no leading zero, no larger than JSON can say. */
const EPOCH = /^[1-9]\d{0,15}$/;
const NO_HASH = "00".repeat(32);

const notFound = (what: string): StrongroomError =>
  new StrongroomError("invalid-request", what, { details: { status: 404 } });

/** @throws invalid-request (404) */
export function namespaceOf(namespaces: Namespaces, request: Request): AuditedNamespace {
  const found = namespaces.get(String(request.params.namespace));
  if (found) return found;
  throw notFound("no such namespace");
}

/** Plexi's NamespaceInfo. */
function describe({ config, lastEpoch }: AuditedNamespace): object {
  const { name, ciphersuite, root, disabled } = config;
  return {
    name,
    // Without log_directory: its client would ask there for proofs of a key directory, which this is not.
    ...(root === undefined ? {} : { root: `1/${root}` }),
    ...(lastEpoch > 0 ? { last_verified_epoch: lastEpoch } : {}),
    status: disabled ? "Disabled" : lastEpoch > 0 ? "Online" : "Initialization",
    reports_uri: `/namespaces/${name}/reports`,
    audits_uri: `/namespaces/${name}/audits`,
    signature_version: ciphersuite,
    ciphersuite,
  };
}

function info(namespaces: Namespaces): object {
  const all = [...namespaces.values()];
  const keys = all.flatMap(({ config }) => config.keys.audit);
  return {
    keys: keys.map(({ publicKey, notBefore }) => ({ public_key: publicKey, not_before: notBefore })),
    logs: all.map(({ config }) => config.name),
  };
}

/** A UUID (version 8, RFC 9562 §5.8) that an epoch keeps: Plexi numbers its audit jobs. */
function jobId(namespace: string, epoch: number): string {
  const bytes = sha256Of(framed("strongroom/audit-job/v1", namespace, `${epoch}`)).subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function lastVerified(namespace: AuditedNamespace): object {
  const epoch = namespace.lastEpoch;
  const audit = namespace.auditOf(epoch);
  if (!audit) throw notFound("no epoch yet");
  return {
    job_id: jobId(audit.namespace, epoch),
    epoch,
    start_hash: namespace.auditOf(epoch - 1)?.digest ?? NO_HASH,
    end_hash: audit.digest,
    timestamp: audit.timestamp,
  };
}

function auditIn(namespace: AuditedNamespace, text: string): object {
  const epoch = EPOCH.test(text) ? Number(text) : Number.NaN;
  const audit = Number.isSafeInteger(epoch) ? namespace.auditOf(epoch) : undefined;
  if (audit) return audit;
  throw notFound("no such epoch");
}

export function addReads(app: Express, namespaces: Namespaces): void {
  const read = (path: string, answer: (request: Request) => object): void => {
    app
      .route(path)
      .get((request: Request, response: Response) => {
        const body = answer(request);
        response.set("cache-control", "public, no-cache").json(body);
      })
      .all(wrongMethod(READ));
  };
  read("/info", () => info(namespaces));
  read("/namespaces", () => ({ namespaces: [...namespaces.values()].map(describe) }));
  read("/namespaces/:namespace", (request) => describe(namespaceOf(namespaces, request)));
  read("/namespaces/:namespace/last-verified-epoch", (request) =>
    lastVerified(namespaceOf(namespaces, request)),
  );
  read("/namespaces/:namespace/audits/:epoch", (request) =>
    auditIn(namespaceOf(namespaces, request), String(request.params.epoch)),
  );
}

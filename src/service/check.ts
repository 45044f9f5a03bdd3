/** `strongroom serve --check`: everything that start-up needs, tried once and put back. */
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { openLmdbStore } from "../store/lmdb-store.ts";
import { openStore, willBeNew } from "../store/open-store.ts";
import type { RecordStore } from "../store/record-store.ts";
import { openBundles } from "./bundles.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { proveKeys } from "./key-proof.ts";
import { createServiceLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { readSite, type Site } from "./site.ts";
import { openToken } from "./start.ts";

export interface CheckResult {
  readonly part: "manifest" | "token" | "store" | "guard" | "bundles";
  readonly detail: string;
  readonly error?: StrongroomError;
}

const TOKEN_MS = 5_000;

async function attempt(
  part: CheckResult["part"],
  detail: string,
  work: () => Promise<unknown>,
): Promise<CheckResult> {
  try {
    await work();
    return { part, detail };
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    return { part, detail: error.message, error };
  }
}

async function checkToken(config: ServiceConfig, site: Site): Promise<void> {
  const silent = createServiceLog("error", { write: () => undefined });
  const pool = openToken(config, site, createMetrics(), silent);
  try {
    await pool.whenReady(TOKEN_MS);
    await proveKeys(pool, site.keys, site.shares);
  } finally {
    await pool.close();
  }
}

async function checkWrites(opening: Promise<RecordStore>): Promise<void> {
  const store = await opening;
  try {
    await store.check();
  } finally {
    await store.close();
  }
}

async function checkBundles({ bundles: directory = "", pins = "", fleet }: ServiceConfig): Promise<void> {
  const refusals: unknown[] = [];
  const log = { event: (...[, , , error]: readonly unknown[]) => void (error && refusals.push(error)) };
  const shelf = await openBundles({ directory, pinsFile: pins, fleet, manifestSha256: "", log });
  shelf.close();
  if (refusals.length > 0) throw refusals[0];
}

/** @throws config-invalid, manifest-invalid: without these there is nothing to check */
export async function checkService(config: ServiceConfig): Promise<readonly CheckResult[]> {
  const site = await readSite(config);
  const { guard } = config;
  const isNew = willBeNew(config.store);
  return [
    { part: "manifest", detail: `fleet ${config.fleet}, site ${config.site}` },
    await attempt("token", "has the manifest's keys", () => checkToken(config, site)),
    await attempt("store", isNew ? "takes writes; is new, without records" : "takes writes", () =>
      checkWrites(openStore(config.store, config.site)),
    ),
    ...(config.bundles === undefined
      ? []
      : [await attempt("bundles", "are genuine", () => checkBundles(config))]),
    ...(guard ? [await attempt("guard", "takes writes", () => checkWrites(openLmdbStore(guard)))] : []),
  ];
}

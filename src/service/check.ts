/** `strongroom serve --check`: everything that start-up needs, tried once and put back. */
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { openStore } from "../store/open-store.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { proveKeys } from "./key-proof.ts";
import { createServiceLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { readSite, type Site } from "./site.ts";
import { openToken } from "./start.ts";

export interface CheckResult {
  readonly part: "manifest" | "token" | "store";
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

async function checkStore(config: ServiceConfig): Promise<void> {
  const store = await openStore(config.store, config.site);
  try {
    await store.check();
  } finally {
    await store.close();
  }
}

/** @throws config-invalid, manifest-invalid: without these there is nothing to check */
export async function checkService(config: ServiceConfig): Promise<readonly CheckResult[]> {
  const site = await readSite(config);
  return [
    { part: "manifest", detail: `fleet ${config.fleet}, site ${config.site}` },
    await attempt("token", "has the manifest's keys", () => checkToken(config, site)),
    await attempt("store", "takes writes", () => checkStore(config)),
  ];
}

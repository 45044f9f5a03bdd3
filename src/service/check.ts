/**
 * `strongroom serve --check`: everything that start-up needs, tried once and put back. Nothing is begun: a store that was
 * made by a check would not be called new when the service makes it, and a disk that was not mounted would hide in it.
 */
import { equal } from "../base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { readLimited } from "../base/read-limited.ts";
import { assertCanBegin, openStore, willBeNew } from "../store/open-store.ts";
import type { StoreConfig } from "../store/store-config.ts";
import { openBundles } from "./bundles.ts";
import type { Listen, ServiceConfig } from "./config-schema.ts";
import { proveKeys } from "./key-proof.ts";
import { listen, urlFromHere } from "./listener.ts";
import { createServiceLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { readSite, type Site } from "./site.ts";
import { openToken } from "./start.ts";

export interface CheckResult {
  readonly part: "manifest" | "listen" | "operations" | "token" | "store" | "guard" | "bundles";
  readonly detail: string;
  readonly error?: StrongroomError;
}

const TOKEN_MS = 5_000;
const RUNNING_MS = 2_000;

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

/** Whether this site's service is what listens there. */
async function isRunning(listens: Listen, { manifestBytes }: Site): Promise<boolean> {
  const url = `${urlFromHere(listens)}/v1/manifest`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(RUNNING_MS) });
    // A stranger there may send without an end.
    const bytes = await readLimited(answer, manifestBytes.length);
    return bytes !== undefined && equal(bytes, manifestBytes);
  } catch {
    return false;
  }
}

async function checkListen(part: "listen" | "operations", config: ServiceConfig): Promise<CheckResult> {
  const address = config[part] ?? config.listen;
  return attempt(part, `${address.host}, port ${address.port}, can be listened on`, async () => {
    const listener = await listen(address, config.limits, () => undefined);
    await listener.stop();
  });
}

/** @param running the site's service, which has its stores on this machine to itself */
async function checkStore(
  part: "store" | "guard",
  store: StoreConfig,
  { site }: ServiceConfig,
  running: boolean,
): Promise<CheckResult> {
  if (store.lmdb && running) return { part, detail: "in use by the site's service" };
  const { lmdb } = store;
  if (lmdb && willBeNew(store))
    return attempt(part, "can be made; is new, without records", async () => assertCanBegin(lmdb.path));
  return attempt(part, "takes writes", async () => {
    const opened = await openStore(store, site);
    try {
      await opened.check();
    } finally {
      await opened.close();
    }
  });
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
  const { guard, operations } = config;
  const listens = await checkListen("listen", config);
  const running = listens.error !== undefined && (await isRunning(config.listen, site));
  const served: Omit<CheckResult, "part"> = { detail: "the site's service is running" };
  return [
    { part: "manifest", detail: `fleet ${config.fleet}, site ${config.site}` },
    running ? { part: "listen", ...served } : listens,
    ...(operations
      ? [running ? ({ part: "operations", ...served } as const) : await checkListen("operations", config)]
      : []),
    await attempt("token", "has the manifest's keys", () => checkToken(config, site)),
    await checkStore("store", config.store, config, running),
    ...(config.bundles === undefined
      ? []
      : [await attempt("bundles", "are genuine", () => checkBundles(config))]),
    ...(guard ? [await checkStore("guard", { lmdb: guard }, config, running)] : []),
  ];
}

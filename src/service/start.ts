/** Puts a site's service together, and takes it down in an order that loses no answer. */

import { systemClock } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { Opened } from "../base/opened.ts";
import { keyId } from "../crypto/key-id.ts";
import { randomBytes } from "../crypto/node/random.ts";
import { vaultKeys } from "../keys/roles.ts";
import { openStore, willBeNew } from "../store/open-store.ts";
import type { RecordStore } from "../store/record-store.ts";
import { startTokenPool, type TokenPool } from "../token/pool.ts";
import { type AccountVerifier, createAccountVerifier } from "../vault/account-token.ts";
import { createVault } from "../vault/vault.ts";
import { createApps } from "./app.ts";
import { type BundleShelf, openBundles } from "./bundles.ts";
import { trustedProxies } from "./client-address.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { vaultOrigins } from "./cross-origin.ts";
import { closingWhile, drain, type Phase } from "./drain.ts";
import { type FleetParts, openFleetParts } from "./fleet-parts.ts";
import { proveKeys } from "./key-proof.ts";
import { type KeyWatch, watchKeys } from "./key-watch.ts";
import { type Listener, listen } from "./listener.ts";
import { createServiceLog, type LogOutput, type ServiceLog } from "./log.ts";
import { createMetrics, type ServiceMetrics } from "./metrics.ts";
import { createRateLimiter } from "./rate-limit.ts";
import { createReadiness, type Readiness } from "./readiness.ts";
import { readSite, type Site } from "./site.ts";
import { createSiteRoute } from "./site-route.ts";
import { tokenObserver } from "./token-observer.ts";
import { createVaultRoute } from "./vault-route.ts";

export interface RunningService {
  readonly url: string;
  /** Where /healthz, /readyz and /metrics are. */
  readonly operationsUrl: string;
  readonly token: TokenPool;
  readonly log: ServiceLog;
  readiness(): Promise<Readiness>;
  /** Drains and closes; the second call waits for the first. */
  close(): Promise<void>;
}

/** How long start-up waits for the token before it goes on without. */
const TOKEN_START_MS = 5_000;

/** @returns the pool of a site's token workers, reporting to log and metrics */
export function openToken(
  config: ServiceConfig,
  site: Site,
  metrics: ServiceMetrics,
  log: ServiceLog,
): TokenPool {
  const { fleet, token } = config;
  const pool = startTokenPool({ ...token, keys: vaultKeys(fleet, site.shares) }, tokenObserver(metrics, log));
  metrics.observeToken(() => pool.health());
  return pool;
}

/** Faults that waiting does not mend: the service had better not start. */
const FATAL = ["key-drift", "key-missing", "profile-invalid", "uri-invalid", "token-unsuitable"] as const;

/** A token that is merely absent may come back; one with the wrong keys is a mistake. @throws FATAL codes */
async function firstProof(pool: TokenPool, watch: KeyWatch, log: ServiceLog): Promise<void> {
  try {
    await pool.whenReady(TOKEN_START_MS);
    await watch.prove();
  } catch (error) {
    if (FATAL.some((code) => isStrongroomError(error, code))) throw error;
    log.event("warn", "started without a token", {}, error);
  }
}

function createRoutes(
  config: ServiceConfig,
  site: Site,
  parts: {
    readonly pool: TokenPool;
    readonly store: RecordStore;
    readonly verifier: AccountVerifier;
    readonly fleetParts: FleetParts;
    readonly bundles: BundleShelf | undefined;
    readonly log: ServiceLog;
    readonly metrics: ServiceMetrics;
  },
  admit: () => void,
) {
  const { fleet, limits } = config;
  const { pool, store, verifier, fleetParts, bundles, log, metrics } = parts;
  const limiter = createRateLimiter({
    perSecond: limits.requestsPerSecondPerAddress,
    burst: limits.burst,
    // Not the time of day, which may be set back.
    clock: { now: () => performance.now() },
  });
  const trusts = trustedProxies(config.trustProxy);
  const vault = createVault({
    fleet,
    site: config.site,
    token: pool,
    store,
    evaluator: fleetParts.evaluator,
    akePublicKey: site.keys.ake,
    clock: systemClock,
    random: randomBytes,
    policy: config.policy,
    shareCount: site.sets.length,
    observe: metrics.vaultEvent,
  });
  const common = { log, metrics, limiter, trusts, concurrency: limits.concurrency, admit };
  const route = createVaultRoute({
    ...common,
    fleet,
    recipient: {
      kid: keyId(site.keys.session),
      publicKey: site.keys.session,
      async ecdh(point) {
        const [[x]] = await pool.run([{ op: "ecdh", key: "session", points: [point] }]);
        if (!x)
          throw new StrongroomError("token-failed", "the token answered fewer points than it was asked");
        return x;
      },
    },
    verifier,
    vault,
    clock: systemClock,
    bodyBytes: limits.bodyBytes,
    announced: () => bundles?.newest(),
  });
  const sites = fleetParts.route && createSiteRoute({ ...common, route: fleetParts.route });
  metrics.observeInFlight(() => route.inFlight() + (sites?.inFlight() ?? 0));
  return { route, sites, limiter, trusts, vault };
}

/** @throws config-invalid */
async function openShelf(
  { bundles, pins, fleet }: ServiceConfig,
  { manifestBytes }: Site,
  log: ServiceLog,
  metrics: ServiceMetrics,
): Promise<BundleShelf | undefined> {
  if (bundles === undefined || pins === undefined) return undefined;
  const manifestSha256 = sha256HexOf(manifestBytes);
  const shelf = await openBundles({ directory: bundles, pinsFile: pins, fleet, manifestSha256, log });
  metrics.observeBundle(shelf.newest);
  return shelf;
}

/**
 * Starts a site. It serves once its token has proved its keys; `close` drains it.
 * @param output where log lines go; standard output by default
 * @throws config-invalid, manifest-invalid, key-drift, key-missing, profile-invalid, token-unsuitable,
 *   store-unavailable, store-full
 */
export async function startService(config: ServiceConfig, output?: LogOutput): Promise<RunningService> {
  const site = await readSite(config);
  const log = createServiceLog(config.log.level, output);
  const metrics = createMetrics();
  const opened = new Opened();
  opened.add(() => log.flush());
  try {
    const bundles = await openShelf(config, site, log, metrics);
    opened.add(() => bundles?.close());
    const isNew = willBeNew(config.store);
    const rawStore = await openStore(config.store, config.site);
    if (isNew) log.event("warn", "the store is new: it has no records");
    opened.add(() => rawStore.close());
    const store = metrics.observeStore(rawStore);
    const pool = openToken(config, site, metrics, log);
    opened.add(() => pool.close());
    const watch = watchKeys(
      () => pool.health(),
      () => proveKeys(pool, site.keys, site.shares),
      (proved, error) =>
        log.event(
          proved ? "info" : "error",
          proved ? "token keys proved" : "token keys not proved",
          {},
          error,
        ),
    );
    opened.add(() => watch.stop());
    await firstProof(pool, watch, log);

    const phase: Phase = { draining: false, stopped: false };
    const admit = (): void => {
      const reason = phase.stopped ? "draining" : watch.unproved();
      if (reason !== undefined) throw new StrongroomError("unavailable", reason);
    };
    const health: { peers?: FleetParts["peersHealth"]; guard?: FleetParts["guard"] } = {};
    const readiness = createReadiness({
      tokenHealth: () => pool.health(),
      store,
      guard: () => health.guard,
      unproved: watch.unproved,
      peers: () => health.peers?.(),
      bundle: () => bundles?.part(),
      draining: () => phase.draining,
    });
    const verifier = createAccountVerifier({
      fleet: config.fleet,
      issuers: config.issuers,
      clock: systemClock,
    });
    const shared = { pool, store, verifier, log, metrics };
    const fleetParts = await openFleetParts({ ...shared, config, site, readiness });
    health.peers = fleetParts.peersHealth;
    health.guard = fleetParts.guard;
    opened.add(() => fleetParts.close());
    const { route, sites, limiter, trusts, vault } = createRoutes(
      config,
      site,
      { ...shared, fleetParts, bundles },
      admit,
    );
    opened.add(() => vault.close());
    opened.add(() => sites?.idle());
    opened.add(() => route.idle());
    const apps = createApps({
      vault: route,
      sites,
      fleet: fleetParts.view,
      manifestBytes: site.manifestBytes,
      bundles,
      readiness,
      metrics,
      log,
      limiter,
      trusts,
      origins: vaultOrigins(config.browserOrigins),
      separateOperations: config.operations !== undefined,
    });
    const listener = await listen(config.listen, config.limits, closingWhile(phase, apps.site));
    opened.add(() => listener.cut());
    let operations: Listener | undefined;
    if (config.operations && apps.operations) {
      operations = await listen(config.operations, config.limits, apps.operations);
      // To the end: that is when operators want to see what is going on.
      opened.add(() => operations?.cut());
    }
    const operationsUrl = (operations ?? listener).url;
    log.event("info", "listening", { url: listener.url, operationsUrl });
    let closing: Promise<void> | undefined;
    return {
      url: listener.url,
      operationsUrl,
      token: pool,
      log,
      readiness,
      close: () => {
        closing ??= drain(config.drain, phase, listener, route, log).then(() => {
          void operations?.stop();
          return opened.close();
        });
        return closing;
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

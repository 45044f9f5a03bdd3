/**
 * What a site is to the others of its fleet: its guard, its side of evaluations, the peers that it asks, and the
 * route by which they ask it. A fleet of one, or one whose sites all hold the only share, needs none of the first
 * three.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { randomBytes } from "../crypto/node/random.ts";
import { createLocalEvaluator } from "../fleet/local-evaluator.ts";
import { createPeerRoute, type PeerRoute } from "../fleet/peer-route.ts";
import { createPeers, type PeerReport, type Peers } from "../fleet/peers.ts";
import { createSharedEvaluator } from "../fleet/shared-evaluator.ts";
import { createSiteService } from "../fleet/site-evaluator.ts";
import type { SiteService, SiteStatus } from "../fleet/site-service.ts";
import { openLmdbStore } from "../store/lmdb-store.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { TokenPool } from "../token/pool.ts";
import type { AccountVerifier } from "../vault/account-token.ts";
import type { Evaluator } from "../vault/evaluator.ts";
import type { ServiceConfig } from "./config-schema.ts";
import type { ServiceLog } from "./log.ts";
import type { ServiceMetrics } from "./metrics.ts";
import type { PeersHealth, Readiness } from "./readiness.ts";
import type { Site } from "./site.ts";

/** All sites of the fleet, as one of them sees them. */
export interface FleetView {
  readonly fleet: string;
  readonly threshold: number;
  readonly self: SiteStatus;
  readonly others: readonly PeerReport[];
}

export interface FleetParts {
  readonly evaluator: Evaluator;
  /** What peers reach; undefined in a fleet of one. */
  readonly route: PeerRoute | undefined;
  /** Undefined where the site has none. */
  readonly guard: RecordStore | undefined;
  /** Undefined where an evaluation needs no others. */
  readonly peersHealth: (() => PeersHealth) | undefined;
  view(): Promise<FleetView>;
  close(): Promise<void>;
}

export interface FleetPartsOptions {
  readonly config: ServiceConfig;
  readonly site: Site;
  readonly pool: TokenPool;
  readonly store: RecordStore;
  readonly verifier: AccountVerifier;
  readonly log: ServiceLog;
  readonly metrics: ServiceMetrics;
  readonly readiness: (patienceMs?: number) => Promise<Readiness>;
}

const clock: Clock = systemClock;

/** Less than peers wait for a status: a site whose store hangs must not look like one that cannot be reached. */
const STORE_PATIENCE_MS = 1_000;

/** Where the threshold is 1 every site holds the only share, and no other has to be asked: nothing to guard. */
function guardless(): RecordStore {
  const none = async (): Promise<never> => {
    throw new StrongroomError("guard-refused", "this fleet's sites evaluate for nobody else", {
      details: { reason: "threshold" },
    });
  };
  return { get: none, compareAndSwap: none, check: none, close: async () => undefined };
}

/** @throws store-unavailable, store-full for the guard's table; manifest-invalid */
export async function openFleetParts(options: FleetPartsOptions): Promise<FleetParts> {
  const { config, site, pool, store, verifier, log, metrics } = options;
  const { fleet, policy, sites } = site.manifest;
  const { threshold } = policy;
  const guard =
    config.guard && threshold > 1 ? metrics.observeGuard(await openLmdbStore(config.guard)) : undefined;
  const guardTable = guard ?? guardless();
  const manifest = sha256HexOf(site.manifestBytes);
  const service: SiteService = createSiteService({
    fleet,
    site: config.site,
    token: pool,
    store,
    guardTable,
    verifier,
    shares: site.shares,
    shareCount: site.sets.length,
    maxAttempts: policy.maxAttempts,
    clock,
    async parts() {
      const state = await options.readiness(STORE_PATIENCE_MS);
      // Without its guard a site evaluates as little as without its token, and peers had better ask others.
      const failed = [state.manifest, state.guard].find((part) => part?.ok === false);
      return { token: failed ?? state.token, store: state.store, manifest };
    },
  });
  const common = { manifest: site.manifest, self: config.site, token: pool, clock, random: randomBytes };
  let peers: Peers | undefined;
  if (sites.length > 1)
    peers = createPeers({
      ...common,
      urls: config.peers,
      observe: {
        event: (name, fields) =>
          log.event(name === "peer-rests" ? "warn" : "info", name, { ...fields, address: fields.site }),
        call: metrics.peerCall,
      },
    });
  const handles = peers?.handles;
  const evaluator =
    threshold === 1 || !handles
      ? createLocalEvaluator({ token: pool, share: 0 })
      : createSharedEvaluator({
          self: service,
          selfIndex: site.index,
          peers: handles,
          sets: site.sets,
          threshold,
          observe: metrics.replacement,
        });
  const reports = (): readonly PeerReport[] => [...(handles?.values() ?? [])].map((peer) => peer.report());
  const namesOf = (live: boolean): string[] =>
    reports().flatMap((peer) => (peer.live === live ? [peer.site] : []));
  return {
    evaluator,
    route: sites.length > 1 ? createPeerRoute({ ...common, service }) : undefined,
    guard,
    peersHealth:
      threshold > 1
        ? () => ({ needed: threshold - 1, live: namesOf(true), away: namesOf(false) })
        : undefined,
    view: async () => ({ fleet, threshold, self: await service.status(), others: reports() }),
    async close() {
      peers?.close();
      await guardTable.close();
    },
  };
}

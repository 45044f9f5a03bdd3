/**
 * Which fleets a client may talk to (design §10): learnt from bundles that verify under the app's pins, remembered in the
 * app's store, refreshed when somebody speaks of a newer epoch. Nothing is sent to any fleet before this has an answer.
 */
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { catchUp } from "../trust/catch-up.ts";
import type { Pins } from "../trust/pins.ts";
import { refusalOf, refused } from "../trust/refusal.ts";
import {
  type Advance,
  announcementOf,
  decodeTrustState,
  encodeTrustState,
  type TrustState,
  untimely,
} from "../trust/state.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import { servingSites } from "../wire/manifest.ts";
import { type BundleSources, bundleSources, SITE_BUNDLES } from "./bundle-sources.ts";

/**
 * The app's memory: JSON of some kilobytes, private to the app, and not set back by restoring a backup. One of two clients
 * that share it may save what is older than the other one's, so let them take turns (Web Locks in tabs).
 */
export interface TrustStore {
  /** What was saved last, as it was; undefined at first. Must fail where it cannot be read: nothing would look like a new start. */
  load(): Promise<Uint8Array | undefined>;
  /** UTF-8. Durable once it resolves. */
  save(bytes: Uint8Array): Promise<void>;
}

/** The fleets of the newest known epoch that may be used: never a revoked one. */
export interface KnownFleets {
  readonly epoch: number;
  /** Where new registrations go. */
  readonly active: AnnouncedFleet | undefined;
  readonly draining: readonly AnnouncedFleet[];
}

export interface FleetTrustOptions {
  readonly pins: Pins;
  readonly store: TrustStore;
  /** A bundle that the app ships, so that the first start needs no network. */
  readonly bundle?: Uint8Array | undefined;
  /** Where newer ones are, besides the sites of known fleets; see `BundleSourcesOptions.urls`. */
  readonly bundleUrls: readonly string[];
  readonly siteUrls: (fleet: string) => Readonly<Record<string, string>>;
  readonly fetch?: typeof fetch | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly refused?: ((refusal: StrongroomError) => void) | undefined;
  readonly clock: Clock;
}

export interface FleetTrust {
  /** @throws bundle-refused where nothing genuine is known or it has expired; unavailable where no bundle was found */
  fleets(): Promise<KnownFleets>;
  /** Somebody spoke of this epoch: the next `fleets` looks for it. */
  heard(epoch: number): void;
  /** Looks for a newer epoch now. @returns whether there was one */
  refresh(): Promise<boolean>;
}

export function createFleetTrust(options: FleetTrustOptions): FleetTrust {
  const { pins, store, clock } = options;
  let rumour = 0;

  async function load(): Promise<TrustState | undefined> {
    const bytes = await store.load();
    return bytes && decodeTrustState(bytes);
  }

  /** Remembers what an offered bundle taught, before anything is done about it. */
  async function take(state: TrustState | undefined, bytes: Uint8Array): Promise<Advance> {
    const { bundleOf } = sourcesOf(state);
    const next = await catchUp(bytes, { pins, state, now: clock.now(), bundleOf });
    if (next.state && next.state !== state) await store.save(encodeTrustState(next.state));
    // What is behind is no news.
    if (next.refusal && refusalOf(next.refusal) !== "older-epoch") options.refused?.(next.refusal);
    return next;
  }

  function sourcesOf(state: TrustState | undefined): BundleSources {
    const sites = state === undefined ? [] : usable(state).flatMap(siteBundles);
    const urls = [...options.bundleUrls, ...sites];
    return bundleSources({ ...options, namespace: pins.namespace, urls });
  }
  function siteBundles({ manifest }: AnnouncedFleet): readonly string[] {
    const urls = options.siteUrls(manifest.fleet);
    return servingSites(manifest).map(
      ({ name, url }) => `${(urls[name] ?? url).replace(/\/+$/, "")}${SITE_BUNDLES}`,
    );
  }

  /** Asks everybody until one has the epoch that was heard of, or something newer where nothing was heard. */
  async function look(before: TrustState | undefined): Promise<Advance> {
    let latest: Advance = { state: before };
    for await (const bytes of sourcesOf(before).newest()) {
      const { state, refusal } = await take(latest.state, bytes);
      // One source that is behind or lies does not matter if another one is not; a proof of lies always does.
      latest = { state, ...((refusal ?? latest.refusal) ? { refusal: refusal ?? latest.refusal } : {}) };
      if (state && state.epoch > (before?.epoch ?? 0) && state.epoch >= rumour) break;
    }
    rumour = 0;
    return latest;
  }

  /** What was shipped, if it is newer than what is known. */
  async function shipped(): Promise<Advance> {
    const state = await load();
    if (options.bundle === undefined) return { state };
    const next = await take(state, options.bundle);
    return refusalOf(next.refusal) === "older-epoch" ? { state: next.state } : next;
  }

  return {
    heard(epoch) {
      rumour = Math.max(rumour, epoch);
    },

    async refresh() {
      const before = await load();
      const { state } = await look(before);
      return (state?.epoch ?? 0) > (before?.epoch ?? 0);
    },

    async fleets() {
      let { state, refusal } = await shipped();
      requireHonesty(state, pins);
      if (unusable(state, pins, clock.now()) || (state?.epoch ?? 0) < rumour)
        ({ state, refusal = refusal } = await look(state));
      requireHonesty(state, pins);
      const why = unusable(state, pins, clock.now());
      if (state === undefined || why) throw refusal ?? why ?? nothingFound();
      const fleets = usable(state);
      return {
        epoch: state.epoch,
        active: fleets.find(({ status }) => status === "active"),
        draining: fleets.filter(({ status }) => status === "draining"),
      };
    },
  };
}

const usable = (state: TrustState): readonly AnnouncedFleet[] =>
  announcementOf(state).fleets.filter(({ status }) => status !== "revoked");

function nothingFound(): StrongroomError {
  return new StrongroomError("unavailable", "no bundle that says which fleet to use was found", {
    hint: "check the network and the addresses of bundles; one that the app ships needs neither",
  });
}

/** Why no session may be opened by what is known. */
function unusable(state: TrustState | undefined, pins: Pins, now: number): StrongroomError | undefined {
  if (state === undefined) return nothingFound();
  if (state.namespace !== pins.namespace) return refused("wrong-namespace", state.namespace);
  if (state.epoch < pins.minimumEpoch)
    return refused("below-minimum", `${state.epoch} < ${pins.minimumEpoch}`);
  return untimely(announcementOf(state), now);
}

/**
 * Whoever showed two versions of one epoch holds the auditor's and the operator's keys: which of both is the honest one
 * nobody can tell from here, and the next one may be another lie. An app's update raises the minimum above it.
 * @throws bundle-refused: equivocation, broken-chain, forked-log
 */
function requireHonesty(state: TrustState | undefined, { minimumEpoch }: Pins): void {
  const proof = state?.proofs.find(({ second }) => second.audit.epoch >= minimumEpoch);
  if (!proof) return;
  const { first, second } = proof;
  throw refused(
    proof.reason,
    `epoch ${first.audit.epoch} and ${second.audit.epoch}; the proof is kept, give it to whoever made the app`,
  );
}

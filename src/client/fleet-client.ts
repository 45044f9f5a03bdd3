/**
 * Protects a backup key with whatever fleet is announced (design §10), and moves it on when there is a new one. Runs in
 * browsers. One vault client for each fleet does the work; here is only which, and in which order.
 *
 * A record moves by registering the recovered key again under the same code; the old record is deleted only once the new
 * one has been recovered. A client that dies in between finds both records, takes the new one and deletes the old one.
 */

import { equal, wipe } from "../base/bytes.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { Pins } from "../trust/pins.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import { encodeManifest } from "../wire/manifest.ts";
import type { StatusAnswer } from "../wire/messages.ts";
import { createFleetTrust, type KnownFleets, type TrustStore } from "./fleet-trust.ts";
import type { TransportOptions } from "./transport.ts";
import {
  createVaultClient,
  type Recovered,
  type Registered,
  type VaultClient,
  type VaultClientOptions,
} from "./vault-client.ts";

export interface FleetClientOptions
  extends Pick<TransportOptions, "fetch" | "retryForMs" | "timeoutMs" | "retrying" | "signal">,
    Pick<VaultClientOptions, "account" | "keyStretching"> {
  /** What the app ships: `decodePins` of what `strongroom bundle pins` prints. */
  readonly pins: Pins;
  readonly store: TrustStore;
  /** A bundle that the app ships, so that the first start needs no other source. */
  readonly bundle?: Uint8Array | undefined;
  /** Where bundles are: `https://site-a.example/v1/fleet`, or an auditor or mirror, e.g. `https://auditor.example`. */
  readonly bundleUrls?: readonly string[] | undefined;
  /**
   * A fresh token of the app's issuer (JWT, `aud` = fleet) for the account; asked for before every request and every
   * retry. What it throws ends the call as it is.
   */
  readonly accountToken: (fleet: string) => Promise<string> | string;
  /** Reach the sites of a fleet elsewhere than its manifest says, by their name: for tunnels and tests. */
  readonly siteUrls?: ((fleet: string) => Readonly<Record<string, string>>) | undefined;
  /** Told of every bundle that is refused, also where another one is good. */
  readonly refused?: ((refusal: StrongroomError) => void) | undefined;
  readonly clock?: Clock | undefined;
}

export interface FleetRegistered extends Registered {
  readonly fleet: string;
}
export interface FleetRecovered extends Recovered {
  /** Where the key was found. */
  readonly fleet: string;
  /** The fleet that has it now, where it was moved. */
  readonly movedTo?: string;
  /** Why it could not be moved; the next recovery tries again. */
  readonly notMoved?: StrongroomError;
}
export interface FleetStatusAnswer extends StatusAnswer {
  readonly fleet: string;
}

/** As a vault client, over all fleets of the pinned namespace. All methods throw bundle-refused too. */
export interface FleetClient extends Omit<VaultClient, "delete"> {
  register(recoveryCode: string, backupKey?: Uint8Array): Promise<FleetRegistered>;
  recover(recoveryCode: string): Promise<FleetRecovered>;
  status(): Promise<FleetStatusAnswer>;
  /** At every fleet that knows the account, whatever is registered there now. */
  delete(): Promise<void>;
  /** The fleets that would be used now. */
  fleets(): Promise<KnownFleets>;
}

/** How long a new fleet that does not answer may hold up a key that is there already. */
const MOVE_MS = 10_000;
/** And an old one that is only to forget: long enough for another of its sites where one is down. */
const FORGET_MS = 2_000;

const nameOf = ({ manifest }: AnnouncedFleet): string => manifest.fleet;
const namesOf = ({ active, draining }: KnownFleets): readonly string[] =>
  [...(active ? [active] : []), ...draining].map(nameOf);

function noFleet(): StrongroomError {
  return new StrongroomError("unavailable", "no fleet takes new registrations now", {
    hint: "the newest epoch announces no active fleet; try again later",
  });
}

/** The keys are found at whatever fleet is announced under the pins, and move with the announcements. No request yet. */
export function createFleetClient(options: FleetClientOptions): FleetClient {
  const siteUrls = options.siteUrls ?? ((): Readonly<Record<string, string>> => ({}));
  const trust = createFleetTrust({
    ...options,
    siteUrls,
    bundleUrls: options.bundleUrls ?? [],
    timeoutMs: options.timeoutMs ?? 10_000,
    clock: options.clock ?? systemClock,
  });

  /** @param patience milliseconds, where there is already what was asked for */
  function at(fleet: AnnouncedFleet, patience?: number): VaultClient {
    const name = nameOf(fleet);
    return createVaultClient({
      ...options,
      ...(patience === undefined ? {} : { retryForMs: Math.min(patience, options.retryForMs ?? patience) }),
      // Verified as part of the announcement; its own file may be spelt otherwise.
      manifest: encodeManifest(fleet.manifest),
      accountToken: () => options.accountToken(name),
      siteUrls: siteUrls(name),
      heard: trust.heard,
    });
  }

  /**
   * Once more where fleets have changed: a fleet says `unknown-key` to who knows old keys, or should go to a new one; one
   * that was given up says nothing. What might still reach a fleet that is in use is not sent twice: attempts count.
   */
  async function withFleets<T>(work: (fleets: KnownFleets) => Promise<T>): Promise<T> {
    const fleets = await trust.fleets();
    try {
      return await work(fleets);
    } catch (error) {
      const silent = isStrongroomError(error, "unavailable");
      if (!silent && !isStrongroomError(error, "unknown-key")) throw error;
      if (!(await trust.refresh())) throw error;
      const now = await trust.fleets();
      const left = namesOf(now);
      if (silent && namesOf(fleets).some((name) => left.includes(name))) throw error;
      return work(now);
    }
  }

  /** The first that knows the account. @throws not-registered where none does; all else at once */
  async function first<T>(
    { active, draining }: KnownFleets,
    work: (client: VaultClient) => Promise<T>,
  ): Promise<{ readonly fleet: AnnouncedFleet; readonly result: T }> {
    let unknown: unknown = noFleet();
    for (const fleet of active ? [active, ...draining] : draining)
      try {
        return { fleet, result: await work(at(fleet)) };
      } catch (error) {
        if (!isStrongroomError(error, "not-registered")) throw error;
        unknown = error;
      }
    throw unknown;
  }

  /** Deletes what a draining fleet still has, if it is older than what the active one has. */
  async function forgetOld({ active, draining }: KnownFleets): Promise<void> {
    if (!active) return;
    for (const fleet of draining)
      try {
        const old = await at(fleet, FORGET_MS).status();
        const { registeredAt } = await at(active, FORGET_MS).status();
        if (old.registeredAt <= registeredAt) await at(fleet, FORGET_MS).delete(old.generation);
      } catch {
        // Not registered there, or not now, or no account token for it: the next recovery looks again.
      }
  }

  async function move(code: string, backupKey: Uint8Array, to: AnnouncedFleet): Promise<void> {
    await at(to, MOVE_MS).register(code, backupKey);
    const again = await at(to, MOVE_MS).recover(code);
    const same = equal(again.backupKey, backupKey);
    wipe(again.backupKey);
    if (!same)
      throw new StrongroomError("record-corrupt", `fleet ${nameOf(to)} gives another key than it was given`);
  }

  /** Moves what was found to the active fleet. Never a reason for a recovery to fail. */
  async function settle(code: string, { fleet, ...recovered }: Found): Promise<FleetRecovered> {
    const found: FleetRecovered = { ...recovered, fleet: nameOf(fleet) };
    try {
      // Anew: the answers may have told of a newer epoch.
      const fleets = await trust.fleets();
      const { active } = fleets;
      if (!active) return found;
      const there = nameOf(active) === nameOf(fleet);
      if (!there) await move(code, recovered.backupKey, active);
      await forgetOld(fleets);
      return there ? found : { ...found, movedTo: nameOf(active) };
    } catch (error) {
      // The app's account token or its store, for instance. The key is there, and whoever asked must get it.
      const notMoved = isStrongroomError(error)
        ? error
        : new StrongroomError("unavailable", "the key could not be moved to the active fleet", {
            cause: error,
          });
      return { ...found, notMoved };
    }
  }

  return {
    fleets: trust.fleets,
    register: (code, given) =>
      withFleets(async (fleets) => {
        const { active } = fleets;
        if (!active) throw noFleet();
        const registered = await at(active).register(code, given);
        await forgetOld(fleets);
        return { ...registered, fleet: nameOf(active) };
      }),
    recover: (code) =>
      withFleets(async (fleets) => {
        const { fleet, result } = await first(fleets, (client) => client.recover(code));
        return settle(code, { ...result, fleet });
      }),
    status: () =>
      withFleets(async (fleets) => {
        const { fleet, result } = await first(fleets, (client) => client.status());
        return { ...result, fleet: nameOf(fleet) };
      }),
    delete: () =>
      withFleets(async (fleets) => {
        // Everywhere, the newest last: what is left when this fails in between is what counted before.
        const all = [...fleets.draining, ...(fleets.active ? [fleets.active] : [])];
        const unknown: unknown[] = [];
        for (const fleet of all)
          await at(fleet)
            .delete()
            .catch((error: unknown) => {
              if (!isStrongroomError(error, "not-registered")) throw error;
              unknown.push(error);
            });
        if (unknown.length === all.length) throw unknown[0] ?? noFleet();
      }),
  };
}

interface Found extends Recovered {
  readonly fleet: AnnouncedFleet;
}

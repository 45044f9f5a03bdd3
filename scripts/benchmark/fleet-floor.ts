/**
 * What no vault could do better than on this machine: the floor that token and etcd set, and what the calculator
 * of `strongroom fleet size` predicts from the same measurements.
 *
 * All sites share the processors of one machine here. A fleet on hosts of its own has as many token workers at
 * work as it has sites; here no more than there are processors.
 */
import { availableParallelism } from "node:os";
import { type FleetSize, sizeFleet, type TokenRates } from "../../src/fleet/sizing.ts";
import { MESSAGES, UTILISATION } from "../../src/fleet/sizing-etcd.ts";
import { callsPerRecovery } from "../../src/fleet/token-calls.ts";
import { majority } from "../../src/keys/holder-sets.ts";
import type { StoreRates } from "./store-rates.ts";
import { ofKnownAccount, tokenSeconds } from "./token-rates.ts";

export const PROCESSORS: number = availableParallelism();

/** Recoveries per second. */
export interface Floor {
  /** Processors that can run token workers, divided by the token time of a recovery at all sites together. */
  readonly token: number;
  /** Swaps per second, of which each of the two messages makes one. */
  readonly etcd: number;
  /** The lower one: what the measured rate is compared with. */
  readonly perSecond: number;
  /** With the tokens' and etcd's work one after the other on the same processors, reads included. */
  readonly bothOnOneMachine: number;
}

export function floorOf(sites: number, threshold: number, rates: TokenRates, store: StoreRates): Floor {
  const calls = ofKnownAccount(callsPerRecovery(sites, threshold), threshold);
  const seconds = tokenSeconds(calls.coordinator, rates) + (threshold - 1) * tokenSeconds(calls.peer, rates);
  const token = Math.min(PROCESSORS, sites) / seconds;
  const etcd = store.swaps.perSecond / MESSAGES;
  const reads = store.reads.perSecond / MESSAGES;
  const bothOnOneMachine = 1 / (seconds / PROCESSORS + 1 / etcd + 1 / reads);
  return { token, etcd, perSecond: Math.min(token, etcd), bothOnOneMachine };
}

/** The calculator's answer, and what it comes to where its parts share this machine. */
export interface Prediction {
  readonly carries: FleetSize["carries"];
  /**
   * With this machine's processors in the place of the live sites', all parts of a recovery one after the other on
   * them, and no reserve.
   */
  readonly perSecondHere: number;
  /** Of an answer by an idle fleet without distance: the token's part alone. */
  readonly latencyMs: number;
}

/** @param recordBytes as stored */
export function predict(
  sites: number,
  threshold: number,
  rates: TokenRates,
  recordBytes: number,
): Prediction {
  const load = { users: 1_000, recoversPerSecond: 1, registersPerSecond: 0, rttMs: 0 };
  const { carries, latencyMs } = sizeFleet({ ...load, rates, recordBytes }, sites, threshold);
  const spread = PROCESSORS / majority(sites);
  const parts = [
    carries.tokenWorker * spread,
    carries.service * spread,
    carries.store ?? Number.POSITIVE_INFINITY,
  ];
  const seconds = parts.reduce((sum, perSecond) => sum + UTILISATION / perSecond, 0);
  return { carries, perSecondHere: 1 / seconds, latencyMs: latencyMs.atLeader };
}

/**
 * What a fleet must have to carry a load: token workers, etcd clusters, disk, memory, and how long an answer
 * takes. Plain arithmetic over what was measured; every measurement is in one of the tables below with its source.
 *
 * A fleet is sized for the day on which it has lost all sites that it may lose: the rest carry everything.
 */
import { StrongroomError } from "../base/errors.ts";
import { majority } from "../keys/holder-sets.ts";
import { sealedRecordBytes } from "../vault/record-seal.ts";
import { type EtcdSize, MESSAGES, type Problem, ROUND_TRIPS, sizeEtcd, UTILISATION } from "./sizing-etcd.ts";
import {
  type CallCounts,
  callsPerRecovery,
  callsPerRegistration,
  type SiteCalls,
  shareCount,
  TOKEN_CALLS,
} from "./token-calls.ts";

/** Calls per second of one worker, each kind alone. */
export type TokenRates = CallCounts;

/** Token rates by profile; another device is measured on its own host by scripts/benchmark/raw-rates.ts. */
export const MEASURED_RATES: Readonly<
  Record<string, { readonly rates: TokenRates; readonly source: string }>
> = {
  softhsm2: {
    rates: {
      ecdh: 5_700,
      ecdhSessionObject: 8_100,
      unwrap: 1_800,
      keygen: 9_100,
      wrap: 13_000,
      hmac: 21_500,
      sign: 12_300,
    },
    source: "scripts/benchmark/raw-rates.ts on SoftHSM 2.6.1, one process, two busy cores, Node 20",
  },
};

/** From the configuration's schema. */
const MOST_WORKERS = 64;

/**
 * Processor time of the service itself at the site asked, milliseconds per recovery in a fleet of one (README,
 * Benchmarks): it is one thread. What peers and the etcd client cost comes on top, so this is the least.
 */
export const SERVICE_MS = 3.5;

export interface FleetPlan {
  readonly users: number;
  /** At the busiest time. */
  readonly recoversPerSecond: number;
  readonly registersPerSecond: number;
  /** Between sites, there and back. */
  readonly rttMs: number;
  readonly rates: TokenRates;
  /** By default what was measured. */
  readonly serviceMs?: number | undefined;
  /** Sealed, in bytes; by default what the share count makes it. */
  readonly recordBytes?: number | undefined;
  /** The members' --election-timeout; by default what the round trip needs. */
  readonly electionTimeoutMs?: number | undefined;
}

interface AtEach {
  readonly coordinator: number;
  readonly peer: number;
}

export interface FleetSize {
  readonly sites: number;
  readonly threshold: number;
  /** Sites that may be down, and sites that may be in an attacker's hands. */
  readonly mayFail: number;
  readonly mayBeBad: number;
  readonly shares: number;
  /** Shares that a taking-part site evaluates for one recovery, on average. */
  readonly sharesPerSite: number;
  readonly calls: { readonly recovery: SiteCalls; readonly registration: SiteCalls };
  /** Milliseconds of one worker's time for one recovery. */
  readonly tokenMs: AtEach;
  /** Workers at each site. */
  readonly workers: number;
  /** Recoveries per second that each part carries while as many sites are down as may be. */
  readonly carries: {
    /** With one worker at each site. */
    readonly tokenWorker: number;
    /** With `workers`, after what registrations take. */
    readonly token: number;
    readonly service: number;
    /** With `clusters`; absent in a fleet of one, whose store is LMDB. */
    readonly store?: number | undefined;
  };
  readonly record: { readonly bytes: number };
  /** Absent in a fleet of one. */
  readonly etcd?: EtcdSize | undefined;
  /** From a site's receipt of a recovery's messages to its answers, both together, on idle machines. */
  readonly latencyMs: { readonly atLeader: number; readonly elsewhere: number };
  /** What makes the plan impossible, and what to do. */
  readonly problems: readonly Problem[];
}

/** Milliseconds that one worker needs for the calls. */
function milliseconds(calls: CallCounts, rates: TokenRates): number {
  return TOKEN_CALLS.reduce((sum, call) => sum + (1_000 * calls[call]) / rates[call], 0);
}

/** Milliseconds of token time of an operation, all sites together. */
function everywhere(calls: SiteCalls, sites: number, threshold: number, rates: TokenRates): number {
  return (
    milliseconds(calls.coordinator, rates) +
    (threshold - 1) * milliseconds(calls.peer, rates) +
    (sites - threshold) * milliseconds(calls.bystander, rates)
  );
}

/**
 * The size of a fleet of n sites with threshold t that carries the plan.
 * @throws usage for a plan of nonsense; config-invalid for n and t that no fleet can have
 */
export function sizeFleet(plan: FleetPlan, sites: number, threshold: number): FleetSize {
  checkPlan(plan);
  const { rates, recoversPerSecond, registersPerSecond, rttMs } = plan;
  const alive = majority(sites);
  const shares = shareCount(sites, threshold);
  const calls = {
    recovery: callsPerRecovery(sites, threshold),
    registration: callsPerRegistration(sites, threshold),
  };
  const tokenMs = {
    coordinator: milliseconds(calls.recovery.coordinator, rates),
    peer: threshold > 1 ? milliseconds(calls.recovery.peer, rates) : 0,
  };
  const recoveryMs = everywhere(calls.recovery, sites, threshold, rates);
  const registrationMs = everywhere(calls.registration, sites, threshold, rates);
  const workerSeconds = (recoversPerSecond * recoveryMs + registersPerSecond * registrationMs) / 1_000;
  const workers = Math.max(1, Math.ceil(workerSeconds / (alive * UTILISATION)));
  const capacityMs = alive * 1_000 * UTILISATION;

  const recordBytes = plan.recordBytes ?? sealedRecordBytes(shares);
  const store = sites === 1 ? undefined : sizeEtcd({ ...plan, recordBytes }, alive);
  const carries = {
    tokenWorker: capacityMs / recoveryMs,
    token: (workers * capacityMs - registersPerSecond * registrationMs) / recoveryMs,
    service: capacityMs / (plan.serviceMs ?? SERVICE_MS),
    store: store && store.swapsPerSecond / MESSAGES - registersPerSecond,
  };
  const problems: Problem[] = [...(store?.problems ?? [])];
  if (workers > MOST_WORKERS)
    problems.push({
      problem: `${workers} token workers are needed at each site, and a site has at most ${MOST_WORKERS}`,
      hint: "take a faster token, or divide the users between fleets",
    });
  if (carries.service < recoversPerSecond + registersPerSecond)
    problems.push({
      problem: `the services of ${alive} ${alive > 1 ? "sites" : "site"} carry ${Math.floor(carries.service)} recoveries per second`,
      hint: "take more sites, faster hosts, or divide the users between fleets",
    });

  const evaluation = tokenMs.coordinator + tokenMs.peer + (threshold > 1 ? rttMs : 0);
  const latency = ({ read, swap }: { readonly read: number; readonly swap: number }): number =>
    evaluation + (sites > 1 ? MESSAGES * (read + swap) * rttMs : 0);
  return {
    sites,
    threshold,
    mayFail: sites - alive,
    mayBeBad: threshold - 1,
    shares,
    sharesPerSite: shares / threshold,
    calls,
    tokenMs,
    workers,
    carries,
    record: { bytes: recordBytes },
    etcd: store?.size,
    latencyMs: { atLeader: latency(ROUND_TRIPS.atLeader), elsewhere: latency(ROUND_TRIPS.elsewhere) },
    problems,
  };
}

function checkPlan(plan: FleetPlan): void {
  const { users, recoversPerSecond, registersPerSecond, rttMs, rates } = plan;
  const { recordBytes = 1, electionTimeoutMs = 1, serviceMs = 1 } = plan;
  const counts = [users, recoversPerSecond, registersPerSecond, rttMs];
  const positive = [recordBytes, electionTimeoutMs, serviceMs, ...TOKEN_CALLS.map((call) => rates[call])];
  if (counts.every((n) => n >= 0 && n <= 1e12) && positive.every((n) => n > 0 && n <= 1e12)) return;
  throw new StrongroomError("usage", "a plan's numbers are finite and not negative", {
    hint: "rates and sizes are greater than zero",
  });
}

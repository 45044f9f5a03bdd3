/**
 * The part of a fleet's size that its store decides: how many etcd clusters, how large their members, and which
 * time-outs the distance between sites asks for.
 */
import { SHARDS } from "../store/shard-map.ts";

/**
 * etcd 3.4.23 with TLS, 1 KiB values, five members and their clients on two cores and one disk: hosts of their
 * own do better. Sizes were measured up to a million records; values of 1.5 to 5 KiB took 1.2 to 1.3 times their
 * size on disk, and writes of them were as many.
 */
const ETCD = {
  valueBytes: 1_024,
  recordsPerCluster: 4_000_000,
  quotaBytes: 8 * 2 ** 30,
  /** Of the quota, for records and the history of their versions. */
  usableQuota: 0.8,
  /** On disk, for each byte of a value. */
  diskFactor: 1.4,
  /** Resident, for each record; the database itself is mapped and wants page cache. */
  residentBytesPerRecord: 500,
  /** At 64 calls in flight. */
  writesPerSecond: 1_700,
  callsPerChannel: 64,
  /** Versions stay for the retention of five minutes and until the next compaction. */
  historySeconds: 600,
  maxElectionMs: 50_000,
} as const;

/** The schema of the store section. */
const MOST_CHANNELS = 16;

/** The part of what was measured that is planned for: what the bench aims at, and room for bursts. */
export const UTILISATION = 0.7;

/** Round trips between sites in one operation of the store; measured with 20 and 80 ms between three members. */
export const ROUND_TRIPS = {
  atLeader: { read: 1, swap: 1 },
  elsewhere: { read: 2, swap: 2 },
} as const;
/** Each of the two messages reads the record and swaps it. */
export const MESSAGES = 2;

/** What makes a plan impossible, and what to do. */
export interface Problem {
  readonly problem: string;
  readonly hint: string;
}

interface StoreLoad {
  readonly users: number;
  readonly recoversPerSecond: number;
  readonly registersPerSecond: number;
  readonly rttMs: number;
  readonly recordBytes: number;
  readonly electionTimeoutMs?: number | undefined;
}

export interface EtcdSize {
  readonly clusters: number;
  /** Clusters that each need asks for by itself. */
  readonly clustersFor: { readonly records: number; readonly space: number; readonly writes: number };
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
  /** Connections of a site to a member, `channels` in its configuration. */
  readonly channels: number;
  /** For one member of one cluster. */
  readonly diskBytes: number;
  readonly residentBytes: number;
}

interface SizedEtcd {
  readonly size: EtcdSize;
  /** What the clusters carry together. */
  readonly swapsPerSecond: number;
  readonly problems: readonly Problem[];
}

/** Election time-outs of ten round trips, heartbeats of a tenth of that; 100 and 1,000 ms at least. */
function elections(rttMs: number, given: number | undefined) {
  const needed = Math.max(1_000, Math.ceil((30 * rttMs) / 500) * 500);
  const electionTimeoutMs = given ?? needed;
  return { heartbeatMs: Math.round(electionTimeoutMs / 10), electionTimeoutMs };
}

/** @param alive sites that are up: the load is theirs */
export function sizeEtcd(load: StoreLoad, alive: number): SizedEtcd {
  const { users, recoversPerSecond, registersPerSecond, rttMs, recordBytes } = load;
  const operations = MESSAGES * (recoversPerSecond + registersPerSecond);
  const scale = recordBytes / ETCD.valueBytes;
  const versions = users + operations * ETCD.historySeconds;
  const clustersFor = {
    records: Math.ceil((users * scale) / ETCD.recordsPerCluster),
    space: Math.ceil((versions * recordBytes * ETCD.diskFactor) / (ETCD.usableQuota * ETCD.quotaBytes)),
    writes: Math.ceil(operations / (UTILISATION * ETCD.writesPerSecond)),
  };
  const clusters = Math.max(1, ...Object.values(clustersFor));
  const { read, swap } = ROUND_TRIPS.elsewhere;
  const inFlight = ((operations / alive) * (read + swap) * rttMs) / 1_000;
  const size: EtcdSize = {
    clusters,
    clustersFor,
    writesPerSecond: operations,
    readsPerSecond: operations,
    ...elections(rttMs, load.electionTimeoutMs),
    channels: Math.max(1, Math.ceil(inFlight / clusters / ETCD.callsPerChannel)),
    diskBytes: Math.ceil((versions * recordBytes * ETCD.diskFactor) / clusters),
    residentBytes: Math.ceil((users * ETCD.residentBytesPerRecord) / clusters),
  };
  return {
    size,
    swapsPerSecond: clusters * UTILISATION * ETCD.writesPerSecond,
    problems: problemsOf(size, rttMs),
  };
}

function problemsOf(etcd: EtcdSize, rttMs: number): Problem[] {
  const problems: Problem[] = [];
  const { electionTimeoutMs } = etcd;
  if (electionTimeoutMs < 10 * rttMs)
    problems.push({
      problem: `elections after ${electionTimeoutMs} ms cannot work with ${rttMs} ms between sites`,
      hint: `take an election time-out of ten round trips or more: ${elections(rttMs, undefined).electionTimeoutMs} ms`,
    });
  if (electionTimeoutMs > ETCD.maxElectionMs)
    problems.push({
      problem: `etcd takes election time-outs of at most ${ETCD.maxElectionMs} ms`,
      hint: "choose sites that are nearer to each other",
    });
  if (etcd.channels > MOST_CHANNELS)
    problems.push({
      problem: `a site needs ${etcd.channels} connections to a member, and opens at most ${MOST_CHANNELS}`,
      hint: "take more clusters than the records need, or sites that are nearer to each other",
    });
  if (etcd.clusters > SHARDS)
    problems.push({
      problem: `${etcd.clusters} clusters are needed, and a fleet has ${SHARDS} shards`,
      hint: "divide the users between fleets",
    });
  return problems;
}

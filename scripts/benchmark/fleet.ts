/** Fleets of several sites, measured against their tokens and their etcd cluster, all on one machine. */
import { say } from "../../src/cli/terminal.ts";
import type { TokenRates } from "../../src/fleet/sizing.ts";
import { shareCount } from "../../src/fleet/token-calls.ts";
import { majority } from "../../src/keys/holder-sets.ts";
import { sealedRecordBytes } from "../../src/vault/record-seal.ts";
import { startFleet, type TestFleet } from "../../test/support/fleet.ts";
import { type Floor, floorOf, PROCESSORS, type Prediction, predict } from "./fleet-floor.ts";
import { createFleetLoad } from "./fleet-load.ts";
import { type CpuByKind, cpuByKind, cpuPerRecovery } from "./fleet-processes.ts";
import type { Phase } from "./phase.ts";
import { type RecoveryParts, recoveryParts, serviceSeconds } from "./service-metrics.ts";
import { etcdConfig, type StoreRates, storeRates } from "./store-rates.ts";
import { meanRates, rawRates } from "./token-rates.ts";

const ACCOUNTS = 120;
/** On a machine that is busy to the brim members are late: no reason to elect another leader in the middle. */
const PATIENT = { heartbeatMs: 500, electionTimeoutMs: 5_000 };
/** For the latency of a fleet that has nothing else to do. */
const IDLE_RECOVERIES = 30;

export interface FleetResult {
  readonly sites: number;
  readonly threshold: number;
  readonly shares: number;
  readonly recordBytes: number;
  readonly token: TokenRates;
  readonly etcd: StoreRates;
  readonly register: Phase;
  readonly recover: Phase;
  /** One recovery at a time. */
  readonly idle: Phase;
  readonly floor: Floor;
  /** Of the floor. */
  readonly ratio: number;
  readonly parts: RecoveryParts;
  /** Milliseconds of processor time per recovery. */
  readonly cpuMilliseconds: CpuByKind;
  readonly predicted: Prediction;
}

export interface FleetReport {
  readonly processors: number;
  readonly seconds: number;
  readonly fleets: readonly FleetResult[];
}

async function measure(fleet: TestFleet, threshold: number, seconds: number): Promise<FleetResult> {
  const { names: sites, tokens, urls } = fleet;
  const shares = shareCount(sites.length, threshold);
  const recordBytes = sealedRecordBytes(shares);
  // A token that holds the share whose keys raw-rates.ts uses.
  const holder = tokens.tokens[tokens.sets[0]?.holders[0] ?? 0];
  if (holder === undefined) throw new Error("nobody holds the first share");
  const rateSeconds = Math.min(1, seconds / 8);
  const rates = rawRates(holder, rateSeconds);
  const etcd = await storeRates(etcdConfig(fleet.etcd, sites), sites, recordBytes, seconds * 500);

  const load = createFleetLoad(fleet, ACCOUNTS);
  try {
    const register = await load.register();
    // Every account once: record ids are remembered, channels open and code is compiled from then on.
    const warm = await load.recover(Math.max(ACCOUNTS, Math.ceil(register.perSecond * seconds)));
    const idle = await load.recover(IDLE_RECOVERIES, 1);
    const before = { cpu: cpuByKind(fleet), seconds: await serviceSeconds(urls) };
    const recover = await load.recover(Math.max(ACCOUNTS, Math.ceil(warm.perSecond * seconds)));
    const after = { cpu: cpuByKind(fleet), seconds: await serviceSeconds(urls) };
    const token = meanRates(rates, rawRates(holder, rateSeconds));
    const floor = floorOf(sites.length, threshold, token, etcd);
    return {
      sites: sites.length,
      threshold,
      shares,
      recordBytes,
      token,
      etcd,
      register,
      recover,
      idle,
      floor,
      ratio: recover.perSecond / floor.perSecond,
      parts: recoveryParts(before.seconds, after.seconds, recover.count),
      cpuMilliseconds: cpuPerRecovery(before.cpu, after.cpu, recover.count),
      predicted: predict(sites.length, threshold, token, recordBytes),
    };
  } finally {
    load.close();
  }
}

/** @param sizes numbers of sites; each is measured with every threshold from 1 to the majority */
export async function benchFleets(sizes: readonly number[], seconds: number): Promise<FleetReport> {
  const fleets: FleetResult[] = [];
  for (const sites of sizes)
    for (let threshold = 1; threshold <= majority(sites); threshold++) {
      say(`${sites} ${sites === 1 ? "site" : "sites"}, t = ${threshold}`);
      const fleet = await startFleet({
        sites,
        threshold,
        env: () => ({ NODE_ENV: "production" }),
        overrides: { log: { level: "warn" } },
        etcd: PATIENT,
      });
      try {
        const result = await measure(fleet, threshold, seconds);
        say(
          `  ${result.recover.perSecond.toFixed(1)} recoveries per second, ${result.ratio.toFixed(2)} of the floor`,
        );
        fleets.push(result);
      } finally {
        await fleet.close();
      }
    }
  return { processors: PROCESSORS, seconds, fleets };
}

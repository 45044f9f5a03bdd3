/** Processor time of a test fleet's processes by kind: what competes for the processors of one machine. */
import type { TestFleet } from "../../test/support/fleet.ts";
import { childrenOf, commandOf, cpuSeconds } from "./processes.ts";

/** Seconds so far; milliseconds per recovery in reports. */
export interface CpuByKind {
  readonly services: number;
  readonly tokenWorkers: number;
  readonly etcd: number;
  readonly load: number;
}

export function cpuByKind(fleet: TestFleet): CpuByKind {
  const services = fleet.urls.flatMap((_, site) => fleet.pid(site) ?? []);
  const own = process.cpuUsage();
  return {
    services: cpuSeconds(...services),
    tokenWorkers: cpuSeconds(...services.flatMap(childrenOf)),
    etcd: cpuSeconds(...childrenOf(process.pid).filter((pid) => commandOf(pid) === "etcd")),
    load: (own.user + own.system) / 1e6,
  };
}

export function cpuPerRecovery(before: CpuByKind, after: CpuByKind, count: number): CpuByKind {
  const ms = (kind: keyof CpuByKind): number => ((after[kind] - before[kind]) * 1_000) / count;
  return { services: ms("services"), tokenWorkers: ms("tokenWorkers"), etcd: ms("etcd"), load: ms("load") };
}

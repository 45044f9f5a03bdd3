/** The measurements of a fleet of one, for people. */
import { table } from "../../src/cli/terminal.ts";
import type { OneSiteReport } from "./one-site.ts";
import type { Phase } from "./phase.ts";

const n = (value: number, digits: number = 0): string => value.toFixed(digits);

export function describeOneSite(report: OneSiteReport): string {
  const { register, recover, twoWorkers, software, memory } = report;
  const row = (name: string, phase: Phase, floor?: { floorPerSecond: number; ratio: number }): string[] => [
    name,
    n(phase.perSecond),
    floor ? n(floor.floorPerSecond) : "",
    floor ? n(floor.ratio, 2) : "",
    n(phase.p50, 1),
    n(phase.p95, 1),
    n(phase.p99, 1),
  ];
  const cpu = recover.cpuMilliseconds;
  return [
    table(
      ["token call", "per second", "µs"],
      Object.entries(report.token).map(([name, rate]) => [name, n(rate), n(1e6 / rate)]),
    ),
    "",
    table(
      ["through HTTP", "per second", "token floor", "ratio", "p50 ms", "p95 ms", "p99 ms"],
      [
        row("register, 1 worker", register, register),
        row("recover, 1 worker", recover, recover),
        row("register, 2 workers", twoWorkers.register),
        row("recover, 2 workers", twoWorkers.recover),
      ],
    ),
    "",
    `software server: ${n(software.startLoginPerSecond)} logins started per second; ` +
      `recover is ${n(software.recoverRatio, 2)} times that`,
    `memory of service and worker: ${n(memory.rssBytesAtStart / 1e6)} MB at first, ` +
      `${n(memory.rssBytes / 1e6)} MB after ${memory.operations} operations`,
    `processor time per recovery: ${n(cpu.service, 2)} ms in the service, ${n(cpu.workers, 2)} ms in the ` +
      `token worker, ${n(cpu.load, 2)} ms in the load generator`,
  ].join("\n");
}

/** The measurements of fleets and of their store, for people. */
import { table } from "../../src/cli/terminal.ts";
import type { FleetReport, FleetResult } from "./fleet.ts";
import type { LogReport } from "./log-growth.ts";
import type { GrowthReport } from "./record-growth.ts";

const n = (value: number, digits: number = 0): string => value.toFixed(digits);

function share(part: number, { parts }: FleetResult): string {
  return parts.request === 0 ? "" : `${n((100 * part) / parts.request)} %`;
}

export function describeFleets({ processors, fleets }: FleetReport): string {
  const name = ({ sites, threshold }: FleetResult): string[] => [String(sites), String(threshold)];
  return [
    table(
      [
        "n",
        "t",
        "recover/s",
        "token floor",
        "etcd floor",
        "ratio",
        "of both",
        "p50 ms",
        "p99 ms",
        "register/s",
      ],
      fleets.map((fleet) => [
        ...name(fleet),
        n(fleet.recover.perSecond, 1),
        n(fleet.floor.token, 1),
        n(fleet.floor.etcd, 1),
        n(fleet.ratio, 2),
        n(fleet.recover.perSecond / fleet.floor.bothOnOneMachine, 2),
        n(fleet.recover.p50, 1),
        n(fleet.recover.p99, 1),
        n(fleet.register.perSecond, 1),
      ]),
    ),
    `Sites, etcd and the load share ${processors} processors. The token floor is that number, or that of the sites if`,
    "it is less, divided by the token time of a recovery at all sites; ratio is of the lower floor, `of both` of what",
    "is left where tokens and etcd work one after the other on the same processors.",
    "",
    table(
      ["n", "t", "of a request: token", "etcd", "guard", "channel", "rest"],
      fleets.map((fleet) => {
        const { token, etcd, guard, channel, rest } = fleet.parts;
        return [...name(fleet), ...[token, etcd, guard, channel, rest].map((part) => share(part, fleet))];
      }),
    ),
    "",
    table(
      ["n", "t", "processor ms per recover: services", "token workers", "etcd", "load"],
      fleets.map((fleet) => {
        const { services, tokenWorkers, etcd, load } = fleet.cpuMilliseconds;
        return [...name(fleet), ...[services, tokenWorkers, etcd, load].map((ms) => n(ms, 2))];
      }),
    ),
    "",
    table(
      [
        "n",
        "t",
        "predicted here/s",
        "measured/s",
        "predicted idle ms (token)",
        "idle p50 ms",
        "swaps/s",
        "reads/s",
        "bytes",
      ],
      fleets.map((fleet) => [
        ...name(fleet),
        n(fleet.predicted.perSecondHere, 1),
        n(fleet.recover.perSecond, 1),
        n(fleet.predicted.latencyMs, 1),
        n(fleet.idle.p50, 1),
        n(fleet.etcd.swaps.perSecond),
        n(fleet.etcd.reads.perSecond),
        String(fleet.recordBytes),
      ]),
    ),
  ].join("\n");
}

export function describeGrowth({ sites, recordBytes, steps }: GrowthReport): string {
  return [
    `etcd with ${sites} ${sites === 1 ? "member" : "members"}, records of ${recordBytes} bytes:`,
    table(
      ["records", "filled/s", "swaps/s", "p50 ms", "p99 ms", "reads/s", "p50 ms", "p99 ms", "members' MB"],
      steps.map(({ records, filledPerSecond, swaps, reads, residentBytes }) => [
        String(records),
        n(filledPerSecond),
        ...[swaps, reads].flatMap((phase) => [n(phase.perSecond), n(phase.p50, 1), n(phase.p99, 1)]),
        n(residentBytes / 1e6),
      ]),
    ),
  ].join("\n");
}

export function describeLog({ entryBytes, steps }: LogReport): string {
  return [
    `a transparency log, entries of ${entryBytes} bytes, key and anchor in the token; milliseconds (p50, of processor):`,
    table(
      [
        "entries",
        "filled/s",
        "append",
        "proof",
        "verify",
        "consistency",
        "hashes",
        "tiles MB",
        "entries MB",
        "files",
        "heap MB",
        "RSS MB",
        "open ms",
      ],
      steps.map((step) => [
        String(step.entries),
        n(step.filledPerSecond),
        ...[step.append, step.inclusion, step.verification, step.consistency].map(
          ({ p50, cpuMs }) => `${n(p50, 1)}, ${n(cpuMs, 1)}`,
        ),
        String(step.proofHashes),
        n(step.hashTileBytes / 1e6, 2),
        n(step.entryBytes / 1e6, 1),
        String(step.files),
        n(step.heapBytes / 1e6, 1),
        n(step.residentBytes / 1e6),
        n(step.openMs, 1),
      ]),
    ),
  ].join("\n");
}

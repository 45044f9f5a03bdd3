/** `strongroom fleet size`: what a fleet needs for a load, by n and t, and what limits it. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import {
  type FleetPlan,
  type FleetSize,
  MEASURED_RATES,
  SERVICE_MS,
  sizeFleet,
  type TokenRates,
} from "../fleet/sizing.ts";
import { type CallCounts, TOKEN_CALLS } from "../fleet/token-calls.ts";
import { holderSets, majority } from "../keys/holder-sets.ts";
import { bold, printJson, say, table } from "./terminal.ts";

interface SizeOptions {
  readonly users: number;
  readonly recoversPerSecond: number;
  readonly registersPerSecond: number;
  readonly rtt: number;
  readonly sites?: number;
  readonly threshold?: number;
  readonly recordBytes?: number;
  readonly electionTimeout?: number;
  readonly serviceMs: number;
  readonly tokenRates?: string;
  readonly profile: string;
  readonly json?: boolean;
}

const rates: z.ZodType<TokenRates> = z.object(
  Object.fromEntries(TOKEN_CALLS.map((call) => [call, z.number().positive()])) as Record<
    keyof TokenRates,
    z.ZodNumber
  >,
);
/** What raw-rates.ts prints, or the report of `scripts/bench --json` around it. */
const ratesFile = z.union([rates, z.object({ token: rates }).transform(({ token }) => token)]);

function readRates(file: string): TokenRates {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new StrongroomError("usage", `${file} cannot be read as JSON`, { cause });
  }
  const parsed = ratesFile.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new StrongroomError("usage", `${file} does not have the rates of a token`, {
    hint: `write calls per second: {${TOKEN_CALLS.map((call) => `"${call}": …`).join(", ")}}`,
  });
}

function ratesOf({ tokenRates, profile }: SizeOptions): { rates: TokenRates; source: string } {
  if (tokenRates !== undefined) return { rates: readRates(tokenRates), source: tokenRates };
  const measured = MEASURED_RATES[profile];
  if (measured !== undefined) return measured;
  throw new StrongroomError("usage", `nobody has measured a token of the profile ${profile}`, {
    hint: "measure yours with scripts/benchmark/raw-rates.ts and give the file as --token-rates",
  });
}

/** The fleets to show: those that were asked for, or every threshold of 1, 3 and 5 sites. @throws config-invalid */
function fleets({ sites, threshold }: SizeOptions): (readonly [sites: number, threshold: number])[] {
  return (sites === undefined ? [1, 3, 5] : [sites]).flatMap((n) => {
    holderSets(n, threshold ?? 1);
    if (threshold !== undefined) return [[n, threshold] as const];
    return Array.from({ length: majority(n) }, (_, i) => [n, i + 1] as const);
  });
}

const count = (n: number): string => Math.floor(n).toLocaleString("en-US");
const decimal = (n: number): string => n.toFixed(2).replace(/\.?0+$/, "");
const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function planTable(sizes: readonly FleetSize[]): string {
  return table(
    [
      ...["sites", "t", "may fail", "may be bad", "shares", "record", "workers", "clusters"],
      ...["channels", "disk", "memory", "heartbeat/election", "latency"],
    ],
    sizes.map(({ sites, threshold, etcd, latencyMs, ...size }) => [
      `${sites}`,
      `${threshold}`,
      `${size.mayFail}`,
      `${size.mayBeBad}`,
      `${size.shares}`,
      `${size.record.bytes} B`,
      `${size.workers}`,
      ...(etcd
        ? [
            `${etcd.clusters}`,
            `${etcd.channels}`,
            gibibytes(etcd.diskBytes),
            gibibytes(etcd.residentBytes),
            `${etcd.heartbeatMs}/${etcd.electionTimeoutMs} ms`,
            `${Math.round(latencyMs.atLeader)}-${Math.round(latencyMs.elsewhere)} ms`,
          ]
        : ["LMDB", "", "", "", "", `${Math.round(latencyMs.atLeader)} ms`]),
    ]),
  );
}

/** The part that carries least is what limits. */
function limit({ carries, workers, etcd }: FleetSize): string {
  const parts: readonly (readonly [number, string])[] = [
    [carries.token, `the token, with ${workers} ${workers === 1 ? "worker" : "workers"} at each site`],
    [carries.service, "the service's own processor time"],
    [
      carries.store ?? Number.POSITIVE_INFINITY,
      `writes, with ${etcd?.clusters} ${etcd?.clusters === 1 ? "cluster" : "clusters"}`,
    ],
  ];
  return parts.reduce((least, part) => (part[0] < least[0] ? part : least))[1];
}

function limitTable(sizes: readonly FleetSize[]): string {
  return table(
    ["sites", "t", "one worker each", "token", "service", "store", "what limits"],
    sizes.map((size) => [
      `${size.sites}`,
      `${size.threshold}`,
      count(size.carries.tokenWorker),
      count(size.carries.token),
      count(size.carries.service),
      size.carries.store === undefined ? "" : count(size.carries.store),
      limit(size),
    ]),
  );
}

function callTable(sizes: readonly FleetSize[]): string {
  const row = (size: FleetSize, where: string, calls: CallCounts, ms: number): string[] => [
    `${size.sites}`,
    `${size.threshold}`,
    where,
    ...TOKEN_CALLS.filter((call) => call !== "keygen" && call !== "wrap" && call !== "sign").map((call) =>
      decimal(calls[call]),
    ),
    decimal(size.sharesPerSite),
    ms.toFixed(2),
  ];
  return table(
    ["sites", "t", "at", "ecdh", "ecdh, session object", "unwrap", "hmac", "shares", "token ms"],
    sizes.flatMap((size) => {
      const { coordinator, peer } = size.calls.recovery;
      const first = row(size, "the site asked", coordinator, size.tokenMs.coordinator);
      if (size.threshold === 1) return [first];
      const peers = size.threshold === 2 ? "1 other" : `each of ${size.threshold - 1} others`;
      return [first, row(size, peers, peer, size.tokenMs.peer)];
    }),
  );
}

function describePlan(plan: FleetPlan, source: string, sizes: readonly FleetSize[]): string {
  const { users, recoversPerSecond, registersPerSecond, rttMs } = plan;
  return [
    `${count(users)} users, ${decimal(recoversPerSecond)} recoveries and ${decimal(registersPerSecond)} registrations per second, ${decimal(rttMs)} ms between sites.`,
    `Token rates: ${source}.`,
    "",
    bold("What the fleet needs, the sites that may fail being down"),
    planTable(sizes),
    "Workers and channels are for each site; disk and memory for each member of each cluster, beside page cache.",
    "Latency: a recovery's two messages together, at the leader's site and elsewhere, on idle machines.",
    "",
    bold("Recoveries per second that each part carries, at 0.7 of what was measured"),
    limitTable(sizes),
    "",
    bold("Token calls of one recovery, on average"),
    callTable(sizes),
  ].join("\n");
}

function size(options: SizeOptions): void {
  const { rates: tokenRates, source } = ratesOf(options);
  const plan: FleetPlan = {
    users: options.users,
    recoversPerSecond: options.recoversPerSecond,
    registersPerSecond: options.registersPerSecond,
    rttMs: options.rtt,
    rates: tokenRates,
    serviceMs: options.serviceMs,
    recordBytes: options.recordBytes,
    electionTimeoutMs: options.electionTimeout,
  };
  const sizes = fleets(options).map(([sites, threshold]) => sizeFleet(plan, sites, threshold));
  if (options.json) printJson({ plan, source, fleets: sizes });
  else process.stdout.write(`${describePlan(plan, source, sizes)}\n`);
  for (const { sites, threshold, problems } of sizes) {
    for (const { problem, hint } of problems) {
      say(`${sites} sites, t = ${threshold}: ${problem}`);
      say(`hint: ${hint}`);
    }
  }
  // With several fleets to choose from, one that works is enough.
  if (sizes.every(({ problems }) => problems.length > 0)) process.exitCode = 1;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("a number that is not negative");
}

/** The command, for fleet.ts. */
export function sizeCommand(): Command {
  return new Command("size")
    .description("say what a fleet needs for a load: token workers, etcd clusters, disk, latency")
    .requiredOption("--users <n>", "accounts with a record", number)
    .requiredOption("--recovers-per-second <n>", "at the busiest time", number)
    .option("--registers-per-second <n>", "at the same time", number, 0)
    .requiredOption("--rtt <ms>", "between sites, there and back", number)
    .option("--sites <n>", "1, 3, 5 or 7 (default: all of 1, 3 and 5)", number)
    .option("--threshold <t>", "sites that take part in an evaluation (default: each possible)", number)
    .option("--record-bytes <n>", "size of a sealed record (default: by the number of shares)", number)
    .option("--election-timeout <ms>", "etcd's, if it is given (default: by the round trip)", number)
    .option("--service-ms <ms>", "processor time of the service for one recovery", number, SERVICE_MS)
    .option("--token-rates <file>", "calls per second of your token (JSON)")
    .option("--profile <name>", "a token that has been measured", "softhsm2")
    .option("--json", "for machines, on stdout")
    .action(size);
}

/** The calculator: its sums against what can be worked out by hand, its page against its output. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import { sizeCommand } from "../../src/cli/fleet-size.ts";
import { type FleetPlan, type FleetSize, MEASURED_RATES, sizeFleet } from "../../src/fleet/sizing.ts";
import {
  type CallCounts,
  callsPerRecovery,
  callsPerRegistration,
  type SiteCalls,
  TOKEN_CALLS,
} from "../../src/fleet/token-calls.ts";
import { holderSets, majority } from "../../src/keys/holder-sets.ts";

const rates = MEASURED_RATES.softhsm2?.rates as CallCounts;
const PLAN: FleetPlan = {
  users: 1_000_000,
  recoversPerSecond: 100,
  registersPerSecond: 1,
  rttMs: 20,
  rates,
};
const FLEETS = [1, 3, 5, 7].flatMap((n) =>
  Array.from({ length: majority(n) }, (_, i) => [n, i + 1] as const),
);

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-size-"));
});
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

function sum(counts: readonly CallCounts[]): CallCounts {
  return Object.fromEntries(
    TOKEN_CALLS.map((call) => [call, counts.reduce((total, one) => total + one[call], 0)]),
  ) as CallCounts;
}

describe.each(FLEETS)("%i sites, t = %i", (sites, threshold) => {
  const sets = holderSets(sites, threshold);
  const everywhere = ({ coordinator, peer, bystander }: SiteCalls): CallCounts =>
    sum([
      coordinator,
      ...Array.from({ length: threshold - 1 }, () => peer),
      ...Array.from({ length: sites - threshold }, () => bystander),
    ]);

  test("each share is evaluated once and created once, wherever that is", () => {
    const recovery = everywhere(callsPerRecovery(sites, threshold));
    expect(recovery.unwrap).toBeCloseTo(sets.length);
    expect(recovery.ecdhSessionObject).toBeCloseTo(2 * sets.length);
    expect(recovery.ecdh).toBe(4);
    const registration = everywhere(callsPerRegistration(sites, threshold));
    expect(registration.keygen).toBeCloseTo(sets.length);
    expect(registration.wrap).toBeCloseTo(sets.length);
    const held = sets.reduce((total, { holders }) => total + holders.length, 0);
    const alone = callsPerRegistration(1, 1).coordinator.hmac;
    if (threshold === 1) expect(registration.hmac).toBe(alone);
    else expect(registration.hmac).toBeCloseTo(alone - 1 + sets.length + threshold + held);
  });

  test("a site that takes no part does nothing for a recovery", () => {
    expect(Object.values(callsPerRecovery(sites, threshold).bystander).every((n) => n === 0)).toBe(true);
  });

  test("more load never needs less", () => {
    const load = fc.record({
      users: fc.integer({ min: 0, max: 200_000_000 }),
      recoversPerSecond: fc.integer({ min: 0, max: 20_000 }),
      registersPerSecond: fc.integer({ min: 0, max: 2_000 }),
      rttMs: fc.integer({ min: 0, max: 400 }),
    });
    fc.assert(
      fc.property(load, load, (one, more) => {
        const size = sizeFleet({ ...one, rates }, sites, threshold);
        const sumOf = (key: keyof typeof one): number => one[key] + more[key];
        const larger = sizeFleet(
          {
            users: sumOf("users"),
            recoversPerSecond: sumOf("recoversPerSecond"),
            registersPerSecond: sumOf("registersPerSecond"),
            rttMs: sumOf("rttMs"),
            rates,
          },
          sites,
          threshold,
        );
        expect(larger.workers).toBeGreaterThanOrEqual(size.workers);
        expect(larger.etcd?.clusters ?? 0).toBeGreaterThanOrEqual(size.etcd?.clusters ?? 0);
        expect(larger.latencyMs.elsewhere).toBeGreaterThanOrEqual(size.latencyMs.elsewhere);
        expect(size.carries.token).toBeGreaterThanOrEqual(one.recoversPerSecond);
        expect(size.carries.store ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(
          one.recoversPerSecond - 1e-6,
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe("sums", () => {
  test("token time is the sum of the raw calls", () => {
    const thousandth = Object.fromEntries(TOKEN_CALLS.map((call) => [call, 1_000])) as CallCounts;
    const { tokenMs, calls, carries } = sizeFleet({ ...PLAN, rates: thousandth }, 3, 2);
    const callsAt = (at: "coordinator" | "peer"): number =>
      Object.values(calls.recovery[at]).reduce((total, n) => total + n, 0);
    expect(tokenMs.coordinator).toBeCloseTo(callsAt("coordinator"));
    expect(tokenMs.peer).toBeCloseTo(callsAt("peer"));
    // Two of three sites are up, each with one worker that is busy for 0.7 of its time.
    expect(carries.tokenWorker).toBeCloseTo((2 * 700) / (callsAt("coordinator") + callsAt("peer")));
  });

  test("100 million records of 1 KiB need 25 clusters, and larger records more", () => {
    const plan = { ...PLAN, users: 100_000_000 };
    expect(sizeFleet({ ...plan, recordBytes: 1_024 }, 5, 3).etcd?.clustersFor.records).toBe(25);
    expect(sizeFleet({ ...plan, recordBytes: 5_120 }, 5, 3).etcd?.clustersFor.records).toBe(125);
  });

  test("history needs space of its own", () => {
    const quiet = sizeFleet({ ...PLAN, recoversPerSecond: 0, registersPerSecond: 0 }, 5, 3);
    const busy = sizeFleet({ ...PLAN, recoversPerSecond: 500 }, 5, 3);
    expect(quiet.etcd?.clustersFor).toEqual({ records: 2, space: 2, writes: 0 });
    expect(busy.etcd?.clustersFor).toEqual({ records: 2, space: 2, writes: 1 });
    const { clusters = 0, diskBytes = 0 } = busy.etcd ?? {};
    expect(clusters * diskBytes).toBeCloseTo((1_000_000 + 2 * 501 * 600) * 5_165 * 1.4, -3);
  });

  test("round trips: five at the leader's site, nine elsewhere, one less without peers", () => {
    const trips = (size: FleetSize): number[] =>
      [size.latencyMs.atLeader, size.latencyMs.elsewhere].map((ms) => Math.floor(ms / 1_000));
    const plan = { ...PLAN, rttMs: 1_000 };
    expect(trips(sizeFleet(plan, 3, 2))).toEqual([5, 9]);
    expect(trips(sizeFleet(plan, 3, 1))).toEqual([4, 8]);
    expect(trips(sizeFleet(plan, 1, 1))).toEqual([0, 0]);
  });

  test("time-outs of etcd are those that were tried", () => {
    const timeouts = (rttMs: number): unknown[] => {
      const { heartbeatMs, electionTimeoutMs } = sizeFleet({ ...PLAN, rttMs }, 3, 2).etcd ?? {};
      return [heartbeatMs, electionTimeoutMs];
    };
    expect(timeouts(1)).toEqual([100, 1_000]);
    expect(timeouts(20)).toEqual([100, 1_000]);
    expect(timeouts(80)).toEqual([250, 2_500]);
  });
});

describe("plans that cannot work", () => {
  const problems = (plan: Partial<FleetPlan>, sites = 3, threshold = 2): string =>
    sizeFleet({ ...PLAN, ...plan }, sites, threshold)
      .problems.map(({ problem, hint }) => `${problem}: ${hint}`)
      .join("\n");

  test("are explained, and only they", () => {
    expect(problems({})).toBe("");
    expect(problems({ rttMs: 150, electionTimeoutMs: 1_000 })).toContain("4500 ms");
    expect(problems({ rttMs: 2_000 })).toContain("50000 ms");
    expect(problems({ recoversPerSecond: 100_000 })).toMatch(/token workers.*\n.*services of 2 sites/);
    expect(problems({ users: 10 ** 10 })).toContain("256 shards");
    expect(problems({ recoversPerSecond: 400, rttMs: 1_500 })).toContain("connections to a member");
    expect(problems({ recoversPerSecond: 1_000 }, 1, 1)).toContain("services of 1 site ");
  });

  test("nonsense is refused", () => {
    const refusal = (run: () => unknown): string | undefined => {
      try {
        run();
      } catch (error) {
        if (isStrongroomError(error)) return error.code;
        throw error;
      }
      return undefined;
    };
    for (const [n, t] of [
      [0, 1],
      [2, 1],
      [3, 0],
      [3, 3],
      [5, 2.5],
      [9, 5],
    ] as const)
      expect(refusal(() => sizeFleet(PLAN, n, t))).toBe("config-invalid");
    for (const wrong of [
      { users: -1 },
      { rttMs: Number.NaN },
      { recoversPerSecond: Number.POSITIVE_INFINITY },
      { recordBytes: 0 },
      { rates: { ...rates, unwrap: 0 } },
    ])
      expect(refusal(() => sizeFleet({ ...PLAN, ...wrong }, 3, 2))).toBe("usage");
  });
});

describe("the command", () => {
  async function size(...args: string[]): Promise<{ out: string; err: string; code: unknown }> {
    const written = { out: "", err: "" };
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      written.out += String(text);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      written.err += String(text);
      return true;
    });
    await sizeCommand().parseAsync(args, { from: "user" });
    return { ...written, code: process.exitCode };
  }
  const refused = async (...args: string[]): Promise<StrongroomError> => {
    const error = await size(...args).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (isStrongroomError(error)) return error;
    throw new Error("should have been refused", { cause: error });
  };
  const load = ["--users", "1000000", "--recovers-per-second", "200", "--rtt", "20"];

  test("shows every threshold of 1, 3 and 5 sites, or the fleet that was asked for", async () => {
    const pairs = async (...args: string[]): Promise<unknown> => {
      const { fleets } = JSON.parse((await size(...load, ...args, "--json")).out) as { fleets: FleetSize[] };
      return fleets.map(({ sites, threshold }) => `${sites}/${threshold}`).join(" ");
    };
    expect(await pairs()).toBe("1/1 3/1 3/2 5/1 5/2 5/3");
    expect(await pairs("--sites", "7")).toBe("7/1 7/2 7/3 7/4");
    expect(await pairs("--sites", "5", "--threshold", "2")).toBe("5/2");
  });

  test("a plan that no shown fleet carries ends with 1 and a hint", async () => {
    const { err, code } = await size(...load, "--sites", "3", "--election-timeout", "100");
    expect(code).toBe(1);
    expect(err).toContain("hint: take an election time-out of ten round trips or more: 1000 ms");
    process.exitCode = undefined;
    expect((await size(...load)).code).toBeUndefined();
  });

  test("a threshold above the majority is refused with what is possible", async () => {
    const error = await refused(...load, "--sites", "5", "--threshold", "4");
    expect(error).toMatchObject({ code: "config-invalid", hint: "write a whole number from 1 to 3" });
    expect((await refused(...load, "--sites", "1000000000")).code).toBe("config-invalid");
  });

  test("takes the rates of another token, bare or in the bench's report", async () => {
    const slow = Object.fromEntries(Object.entries(rates).map(([call, rate]) => [call, rate / 10]));
    const file = join(dir, "rates.json");
    const workers: unknown[] = [];
    for (const content of [rates, slow, { token: slow, register: {} }]) {
      writeFileSync(file, JSON.stringify(content));
      const { out } = await size(
        ...load,
        "--sites",
        "3",
        "--threshold",
        "2",
        "--token-rates",
        file,
        "--json",
      );
      workers.push((JSON.parse(out) as { fleets: FleetSize[] }).fleets[0]?.workers);
    }
    expect(workers).toEqual([1, 6, 6]);
  });

  test("rates that are none are refused", async () => {
    const file = join(dir, "rates.json");
    for (const content of ["{", "{}", JSON.stringify({ ...rates, hmac: 0 }), JSON.stringify({ token: 5 })]) {
      writeFileSync(file, content);
      expect((await refused(...load, "--token-rates", file)).code).toBe("usage");
    }
    expect((await refused(...load, "--token-rates", join(dir, "absent"))).code).toBe("usage");
    expect((await refused(...load, "--profile", "luna7")).code).toBe("usage");
  });

  test("the operators' page shows what it prints", async () => {
    const page = readFileSync("hsm-config/fleets/README.md", "utf8");
    const shown = [...page.matchAll(/^ {4}\$ strongroom fleet size (.*)\n((?: {4}.*\n|\n)*)/gm)];
    expect(shown.length).toBeGreaterThan(0);
    for (const [, args = "", block = ""] of shown) {
      const { out } = await size(...args.trim().split(/\s+/));
      expect(block.replace(/^ {4}/gm, "").trim()).toBe(out.trim());
    }
  });
});

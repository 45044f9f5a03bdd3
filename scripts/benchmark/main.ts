/**
 * Measures the vault against its token's own raw rate, in one run on one machine.
 *
 *   scripts/bench [--json] [--seconds N] [--operations N] [--accounts N]
 *
 * --seconds: how long each phase is measured; --operations: how many operations the memory is watched over.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as opaque from "@serenity-kit/opaque-p256";
import { say, table } from "../../src/cli/terminal.ts";
import { createSite, FLEET, type Site, TENANT } from "../../test/support/service.ts";
import { createLoadClient, type LoadAccount, type LoadClient } from "./load-client.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    seconds: { type: "string", default: "10" },
    operations: { type: "string", default: "20000" },
    accounts: { type: "string", default: "2000" },
  },
});
const seconds = Number(values.seconds);
const operations = Number(values.operations);
const accountCount = Number(values.accounts);
const CONCURRENCY = 32;
/** Until the service's code is compiled, which a service that runs for days has long behind it. */
const warmUpMs = Math.max(1_000, seconds * 1_000);

/** Raw calls that each operation needs, as the protocol has it; the floor is the sum of their times. */
const NEEDS: Readonly<Record<"register" | "recover", Readonly<Record<string, number>>>> = {
  // Two envelopes; a key made, evaluated by two derivations and wrapped; the tag; cookie and two record
  // seals (old and new) in each of the two writes; the acknowledgment.
  register: { ecdh: 2, keygen: 1, wrap: 1, ecdhSessionObject: 2, hmac: 7, sign: 1 },
  // Two envelopes and the static Diffie-Hellman; the share opened and evaluated; cookie and two record seals in
  // each of the two messages, and the tag.
  recover: { ecdh: 4, unwrap: 1, ecdhSessionObject: 2, hmac: 7 },
};

interface Phase {
  readonly perSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly count: number;
}

type Rates = Readonly<Record<string, number>>;

function rawRates(site: Site): Rates {
  const { module, label, pinFile, env } = site.hsm;
  const script = join(root, "scripts/benchmark/raw-rates.ts");
  const args = ["--import", "tsx", script, module, label, pinFile, FLEET, String(Math.min(2, seconds / 5))];
  return JSON.parse(
    execFileSync(process.execPath, args, { env: { ...process.env, ...env }, encoding: "utf8" }),
  );
}

function floor(rates: Rates, operation: keyof typeof NEEDS): number {
  const time = Object.entries(NEEDS[operation]).reduce((sum, [call, n]) => sum + n / (rates[call] ?? 0), 0);
  return 1 / time;
}

/** Keeps CONCURRENCY operations in flight until the time is up or the count is reached. */
async function load(
  run: (index: number) => Promise<void>,
  until: { ms?: number; count?: number },
): Promise<Phase> {
  const latencies: number[] = [];
  const start = performance.now();
  let next = 0;
  const more = (): boolean =>
    until.count === undefined ? performance.now() - start < (until.ms ?? 0) : next < until.count;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (more()) {
        const began = performance.now();
        await run(next++);
        latencies.push(performance.now() - began);
      }
    }),
  );
  const elapsed = performance.now() - start;
  latencies.sort((a, b) => a - b);
  const at = (q: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
  return {
    perSecond: (latencies.length * 1_000) / elapsed,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    count: latencies.length,
  };
}

interface Service {
  readonly rssBytes: () => number;
  /** Seconds of processor time so far: the service itself, and its token workers. */
  readonly cpu: () => { readonly service: number; readonly workers: number };
  stop(): Promise<void>;
}

/** The built service, as it is run in production. */
async function serve(site: Site): Promise<Service> {
  const child = spawn(
    process.execPath,
    [join(root, "dist/cli/main.js"), "serve", "--config", site.configFile],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, ...site.hsm.env, NODE_ENV: "production" },
    },
  );
  let ended: number | null | undefined;
  child.once("exit", (code) => {
    ended = code;
  });
  while (
    !(await fetch(`${site.url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (ended !== undefined) throw new Error(`strongroom serve ended with ${ended}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const rss = (pid: number): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
  const pid = child.pid ?? 0;
  const workers = (): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  // utime and stime, in ticks of 1/100 s, are the 14th and 15th field; the 2nd, the name, may hold spaces.
  const cpu = (one: number): number => {
    const fields = readFileSync(`/proc/${one}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);
  return {
    rssBytes: () => sum([pid, ...workers()].map(rss)),
    cpu: () => ({ service: cpu(pid), workers: sum(workers().map(cpu)) }),
    stop: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

const limits = {
  requestsPerSecondPerAddress: 1_000_000,
  burst: 1_000_000,
};
const policy = { evaluationBurst: 1_000, evaluationsPerDay: 10_000 };

async function accounts(site: Site, count: number): Promise<LoadAccount[]> {
  const all: LoadAccount[] = [];
  for (let i = 0; i < count; i++) {
    const subject = `user-${i}`;
    all.push({ account: { tenant: TENANT, subject }, token: await site.issueToken(subject), next: 0 });
  }
  return all;
}

/** Tokens live ten minutes at most, so each phase has its own. */
async function refreshed(site: Site, all: readonly LoadAccount[]): Promise<LoadAccount[]> {
  return Promise.all(all.map(async (one) => ({ ...one, token: await site.issueToken(one.account.subject) })));
}

const pick = <T>(all: readonly T[], index: number): T => {
  const one = all[index % all.length];
  if (one === undefined) throw new Error("no accounts");
  return one;
};

async function softwareRate(): Promise<number> {
  await opaque.ready;
  const { client, server } = opaque;
  const identifiers = { client: "app/user", server: FLEET };
  const serverSetup = server.createSetup();
  const { clientRegistrationState, registrationRequest } = client.startRegistration({ password: "bench" });
  const { registrationResponse } = server.createRegistrationResponse({
    serverSetup,
    userIdentifier: "user",
    registrationRequest,
  });
  const { registrationRecord } = client.finishRegistration({
    clientRegistrationState,
    registrationResponse,
    password: "bench",
    identifiers,
    keyStretching: { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } },
  });
  const { startLoginRequest } = client.startLogin({ password: "bench" });
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < Math.min(3_000, seconds * 300)) {
    server.startLogin({
      serverSetup,
      userIdentifier: "user",
      registrationRecord,
      startLoginRequest,
      identifiers,
    });
    count++;
  }
  return (count * 1_000) / (performance.now() - start);
}

interface Measured {
  readonly register: Phase;
  readonly recover: Phase;
  /** Milliseconds of processor time per recovery. */
  readonly cpu: { readonly service: number; readonly workers: number; readonly load: number };
  readonly memory: {
    readonly start: number;
    readonly end: number;
    readonly peak: number;
    readonly operations: number;
  };
}

async function measure(site: Site, watched: number): Promise<Measured> {
  const service = await serve(site);
  const client: LoadClient = createLoadClient(site.url, site.manifest);
  try {
    const all = await accounts(site, accountCount);
    say(`  registering ${accountCount} accounts`);
    const register = await load((i) => client.register(pick(all, i)), { count: accountCount });
    say(`  recovering for ${seconds} s`);
    await load((i) => client.recover(pick(all, i)), { ms: warmUpMs });
    const before = service.cpu();
    const ownBefore = process.cpuUsage();
    const recover = await load((i) => client.recover(pick(all, i)), { ms: seconds * 1_000 });
    const after = service.cpu();
    const own = process.cpuUsage(ownBefore);
    const cpu = {
      service: ((after.service - before.service) * 1_000) / recover.count,
      workers: ((after.workers - before.workers) * 1_000) / recover.count,
      load: (own.user + own.system) / 1_000 / recover.count,
    };
    const start = service.rssBytes();
    let peak = start;
    let done = register.count + recover.count;
    while (done < watched) {
      const fresh = await refreshed(site, all);
      const { count } = await load((i) => client.recover(pick(fresh, i)), {
        count: Math.min(5_000, watched - done),
      });
      done += count;
      peak = Math.max(peak, service.rssBytes());
      say(`  ${done} of ${watched} operations, ${(service.rssBytes() / 1e6).toFixed(0)} MB`);
    }
    return { register, recover, cpu, memory: { start, end: service.rssBytes(), peak, operations: done } };
  } finally {
    client.close();
    await service.stop();
  }
}

const oneSite = await createSite({ limits, policy, log: { level: "warn" } });
const twoSite = await createSite({ limits, policy, log: { level: "warn" }, token: { workers: 2 } });
try {
  say("the token's raw rates");
  const token = rawRates(oneSite);
  say("the software server");
  const startLoginPerSecond = await softwareRate();
  say("one token worker");
  const one = await measure(oneSite, operations);
  say("two token workers");
  const two = await measure(twoSite, 0);
  // The machine may have become faster or slower meanwhile: the floor is that of before and after together.
  say("the token's raw rates again");
  const again = rawRates(oneSite);
  const mean: Rates = Object.fromEntries(
    Object.entries(token).map(([name, rate]) => [name, (rate + (again[name] ?? rate)) / 2]),
  );
  const result = (operation: "register" | "recover", phase: Phase) => {
    const floorPerSecond = floor(mean, operation);
    return { ...phase, floorPerSecond, ratio: phase.perSecond / floorPerSecond };
  };
  const report = {
    token: mean,
    register: result("register", one.register),
    recover: { ...result("recover", one.recover), cpuMilliseconds: one.cpu },
    twoWorkers: {
      register: two.register,
      recover: two.recover,
      speedUp: two.recover.perSecond / one.recover.perSecond,
    },
    software: {
      startLoginPerSecond,
      recoverRatio: one.recover.perSecond / startLoginPerSecond,
    },
    memory: {
      rssBytes: one.memory.end,
      rssBytesAtStart: one.memory.start,
      rssBytesPeak: one.memory.peak,
      operations: one.memory.operations,
    },
  };
  const n = (value: number, digits = 0): string => value.toFixed(digits);
  say();
  say(
    table(
      ["token call", "per second", "µs"],
      Object.entries(mean).map(([name, rate]) => [name, n(rate), n(1e6 / rate)]),
    ),
  );
  say();
  const row = (name: string, phase: Phase, floorRate?: number): string[] => [
    name,
    n(phase.perSecond),
    floorRate === undefined ? "" : n(floorRate),
    floorRate === undefined ? "" : n(phase.perSecond / floorRate, 2),
    n(phase.p50, 1),
    n(phase.p95, 1),
    n(phase.p99, 1),
  ];
  say(
    table(
      ["through HTTP", "per second", "token floor", "ratio", "p50 ms", "p95 ms", "p99 ms"],
      [
        row("register, 1 worker", one.register, report.register.floorPerSecond),
        row("recover, 1 worker", one.recover, report.recover.floorPerSecond),
        row("register, 2 workers", two.register),
        row("recover, 2 workers", two.recover),
      ],
    ),
  );
  say();
  say(
    `software server: ${n(startLoginPerSecond)} logins started per second; recover is ${n(report.software.recoverRatio, 2)} times that`,
  );
  say(
    `memory of service and worker: ${n(one.memory.start / 1e6)} MB at first, ${n(one.memory.end / 1e6)} MB after ${one.memory.operations} operations`,
  );
  say(
    `processor time per recovery: ${n(one.cpu.service, 2)} ms in the service, ${n(one.cpu.workers, 2)} ms in the token worker, ${n(one.cpu.load, 2)} ms in the load generator`,
  );
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  oneSite.remove();
  twoSite.remove();
}

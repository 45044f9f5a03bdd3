/** A fleet of one with its own disk, measured against its token: rates through HTTP, processor time and memory. */
import { say } from "../../src/cli/terminal.ts";
import type { TokenRates } from "../../src/fleet/sizing.ts";
import { callsPerRecovery, callsPerRegistration } from "../../src/fleet/token-calls.ts";
import { createSite, type Site, TENANT } from "../../test/support/service.ts";
import { createLoadClient, type LoadAccount, type LoadClient } from "./load-client.ts";
import { load, type Phase, pick } from "./phase.ts";
import { serve } from "./service-process.ts";
import { softwareRate } from "./software-rate.ts";
import { meanRates, ofKnownAccount, rawRates, tokenSeconds } from "./token-rates.ts";

export interface OneSiteOptions {
  /** How long each phase is measured. */
  readonly seconds: number;
  /** How many operations the memory is watched over. */
  readonly operations: number;
  readonly accounts: number;
}

interface WithFloor extends Phase {
  readonly floorPerSecond: number;
  readonly ratio: number;
}

/** Milliseconds of processor time per recovery. */
interface RecoveryCpu {
  readonly service: number;
  readonly workers: number;
  readonly load: number;
}

export interface OneSiteReport {
  readonly token: TokenRates;
  readonly register: WithFloor;
  readonly recover: WithFloor & { readonly cpuMilliseconds: RecoveryCpu };
  readonly twoWorkers: { readonly register: Phase; readonly recover: Phase; readonly speedUp: number };
  readonly software: { readonly startLoginPerSecond: number; readonly recoverRatio: number };
  readonly memory: {
    readonly rssBytes: number;
    readonly rssBytesAtStart: number;
    readonly rssBytesPeak: number;
    readonly operations: number;
  };
}

/** More recoveries than one worker of SoftHSM can do, per second: what the load prepares for before a measurement. */
const PREPARED_PER_SECOND = 800;

const limits = { requestsPerSecondPerAddress: 1_000_000, burst: 1_000_000 };
const policy = { evaluationBurst: 1_000, evaluationsPerDay: 10_000 };

async function accountsOf(site: Site, count: number): Promise<LoadAccount[]> {
  const all: LoadAccount[] = [];
  for (let i = 0; i < count; i++) {
    const subject = `user-${i}`;
    all.push({ account: { tenant: TENANT, subject }, token: await site.issueToken(subject), next: 0 });
  }
  return all;
}

/** Tokens live ten minutes at most, so each phase has its own. */
async function refresh(site: Site, all: readonly LoadAccount[]): Promise<void> {
  for (const one of all) one.token = await site.issueToken(one.account.subject);
}

interface Measured {
  readonly register: Phase;
  readonly recover: Phase;
  readonly cpu: RecoveryCpu;
  readonly memory: OneSiteReport["memory"];
}

async function measure(site: Site, options: OneSiteOptions, watched: number): Promise<Measured> {
  const { seconds, accounts } = options;
  /** Until the service's code is compiled, which a service that runs for days has long behind it. */
  const warmUpMs = Math.max(1_000, seconds * 1_000);
  const service = await serve(site);
  const client: LoadClient = createLoadClient(site.url, site.manifest);
  try {
    const all = await accountsOf(site, accounts);
    say(`  registering ${accounts} accounts`);
    client.prepare(accounts);
    const register = await load((i) => client.register(pick(all, i)), { count: accounts });
    say(`  recovering for ${seconds} s`);
    await load((i) => client.recover(pick(all, i)), { ms: warmUpMs });
    client.prepare(seconds * PREPARED_PER_SECOND);
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
    const rssBytesAtStart = service.rssBytes();
    let rssBytesPeak = rssBytesAtStart;
    let done = register.count + recover.count;
    while (done < watched) {
      await refresh(site, all);
      const count = Math.min(5_000, watched - done);
      done += (await load((i) => client.recover(pick(all, i)), { count })).count;
      rssBytesPeak = Math.max(rssBytesPeak, service.rssBytes());
      say(`  ${done} of ${watched} operations, ${(service.rssBytes() / 1e6).toFixed(0)} MB`);
    }
    const memory = { rssBytes: service.rssBytes(), rssBytesAtStart, rssBytesPeak, operations: done };
    return { register, recover, cpu, memory };
  } finally {
    client.close();
    await service.stop();
  }
}

export async function benchOneSite(options: OneSiteOptions): Promise<OneSiteReport> {
  const { seconds } = options;
  const rateSeconds = Math.min(2, seconds / 5);
  const common = { limits, policy, log: { level: "warn" } };
  const oneSite = await createSite(common);
  const twoSite = await createSite({ ...common, token: { workers: 2 } });
  try {
    say("the token's raw rates");
    const rates = rawRates(oneSite.hsm, rateSeconds);
    say("the software server");
    const startLoginPerSecond = await softwareRate(Math.min(3_000, seconds * 300));
    say("one token worker");
    const one = await measure(oneSite, options, options.operations);
    say("two token workers");
    const two = await measure(twoSite, options, 0);
    say("the token's raw rates again");
    const token = meanRates(rates, rawRates(oneSite.hsm, rateSeconds));
    const against = (phase: Phase, calls: Parameters<typeof tokenSeconds>[0]): WithFloor => {
      const floorPerSecond = 1 / tokenSeconds(calls, token);
      return { ...phase, floorPerSecond, ratio: phase.perSecond / floorPerSecond };
    };
    return {
      token,
      register: against(one.register, callsPerRegistration(1, 1).coordinator),
      recover: {
        ...against(one.recover, ofKnownAccount(callsPerRecovery(1, 1), 1).coordinator),
        cpuMilliseconds: one.cpu,
      },
      twoWorkers: {
        register: two.register,
        recover: two.recover,
        speedUp: two.recover.perSecond / one.recover.perSecond,
      },
      software: { startLoginPerSecond, recoverRatio: one.recover.perSecond / startLoginPerSecond },
      memory: one.memory,
    };
  } finally {
    oneSite.remove();
    twoSite.remove();
  }
}

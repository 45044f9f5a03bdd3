/** The counts that the calculator and the bench rely on, against the calls that vault and sites really make. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemRandom } from "../../src/base/clock.ts";
import { createLocalEvaluator } from "../../src/fleet/local-evaluator.ts";
import { createSharedEvaluator } from "../../src/fleet/shared-evaluator.ts";
import { createSiteService } from "../../src/fleet/site-evaluator.ts";
import type { SiteService } from "../../src/fleet/site-service.ts";
import {
  type CallCounts,
  callsPerRecovery,
  callsPerRegistration,
  type SiteCalls,
  TOKEN_CALLS,
} from "../../src/fleet/token-calls.ts";
import { holderSets, sharesOf } from "../../src/keys/holder-sets.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import type { ResultsOf, Token, TokenStep } from "../../src/token/token.ts";
import type { Evaluator } from "../../src/vault/evaluator.ts";
import { createVault, type Vault } from "../../src/vault/vault.ts";
import { OmniscientAccount, randomPoint, type VaultWorld, vaultWorld } from "../support/vault-world.ts";

const POLICY = { maxAttempts: 10, evaluationBurst: 100, evaluationsPerDay: 100 };
const NONE = Object.fromEntries(TOKEN_CALLS.map((call) => [call, 0])) as CallCounts;

let dir: string;
let stores: RecordStore[];
beforeEach(() => {
  // No site may seem slow, however busy the machine is: a hedged request would be counted too. The store's own
  // timers are short ones.
  const timer = setTimeout;
  const patient = (work: () => void, ms = 0): NodeJS.Timeout => timer(work, ms < 50 ? ms : 600_000);
  vi.spyOn(globalThis, "setTimeout").mockImplementation(patient as typeof setTimeout);
  dir = mkdtempSync(join(tmpdir(), "strongroom-calls-"));
  stores = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(stores.map((store) => store.close()));
  rmSync(dir, { recursive: true });
});

async function openTable(name: string): Promise<RecordStore> {
  const store = await openLmdbStore({ path: join(dir, name) });
  stores.push(store);
  return store;
}

function sum(counts: readonly CallCounts[]): CallCounts {
  return Object.fromEntries(
    TOKEN_CALLS.map((call) => [call, counts.reduce((total, one) => total + one[call], 0)]),
  ) as CallCounts;
}

/** The calls of a step as raw-rates.ts measures them. */
function callsOf(step: TokenStep): Partial<CallCounts> {
  switch (step.op) {
    case "ecdh":
      return { ecdh: step.points.length };
    case "hmac":
      return { hmac: 1 };
    case "sign":
      return { sign: 1 };
    case "create-share":
      return { keygen: 1, hmac: step.tag ? 1 : 0, ecdhSessionObject: step.points.length, wrap: 1 };
    case "evaluate-share":
      return { hmac: step.tag ? 1 : 0, unwrap: 1, ecdhSessionObject: step.points.length };
    case "random":
    case "sign-message":
    case "read-data":
    case "write-data":
      return {};
  }
}

/** A token that keeps count of what it is asked. */
function counting(token: Token): { readonly token: Token; take(): CallCounts } {
  let calls: CallCounts[] = [];
  return {
    token: {
      run: <const S extends readonly TokenStep[]>(steps: S): Promise<ResultsOf<S>> => {
        calls.push(...steps.map((step) => ({ ...NONE, ...callsOf(step) })));
        return token.run(steps);
      },
    },
    take: () => {
      const taken = sum([NONE, ...calls]);
      calls = [];
      return taken;
    },
  };
}

/** An account whose every request has an account token of its own. */
class FreshTokens extends OmniscientAccount {
  readonly #vault: () => Vault;
  #issued = 0;

  constructor(world: VaultWorld, vault: () => Vault) {
    super(world, "alice");
    this.#vault = vault;
  }

  override ask: OmniscientAccount["ask"] = (request) =>
    this.#vault().handle(this.account, { ...request, accountToken: `header.${this.#issued++}.signature` });
}

/** What the calculator says for all sites together. */
function everywhere(calls: SiteCalls, sites: number, threshold: number): CallCounts {
  const { coordinator, peer, bystander } = calls;
  const others = Array.from({ length: sites - 1 }, (_, i) => (i < threshold - 1 ? peer : bystander));
  return sum([coordinator, ...others]);
}

test.each([
  [1, 1],
  [3, 1],
  [3, 2],
  [5, 2],
  [5, 3],
  [7, 4],
])("%i sites, t = %i: a registration and recoveries cost what the table says", async (sites, threshold) => {
  const records = await openTable("records");
  const guards = await Promise.all(Array.from({ length: sites }, (_, i) => openTable(`guard-${i}`)));
  // One software token stands for all: their fleet keys are the same, and each site's calls are counted apart.
  const world = vaultWorld(records, POLICY);
  const tokens = guards.map(() => counting(world.token));
  const tokenOf = (site: number): Token => tokens[site]?.token ?? world.token;
  const clock = { now: () => world.clock.now };
  const sets = holderSets(sites, threshold);
  const fleet = "test-fleet";
  let announced: Promise<void> | undefined;

  const siteServices = (): SiteService[] =>
    guards.map((guardTable, site) =>
      createSiteService({
        fleet,
        site: `site-${site}`,
        token: tokenOf(site),
        store: records,
        guardTable,
        verifier: { verify: async () => account.account },
        shares: sharesOf(site, sets),
        shareCount: sets.length,
        maxAttempts: POLICY.maxAttempts,
        clock,
        parts: () => Promise.reject(new Error("nobody asks")),
      }),
    );

  function evaluatorAt(site: number): Evaluator {
    if (threshold === 1) return createLocalEvaluator({ token: tokenOf(site), share: 0 });
    const services = siteServices();
    const [self, ...others] = [...services.slice(site), ...services.slice(0, site)];
    if (!self) throw new Error("no site");
    const peers = new Map(
      others.map((service, i) => [
        (site + 1 + i) % sites,
        { service, live: () => true, expectedMs: () => 10_000 },
      ]),
    );
    const shared = createSharedEvaluator({ self, selfIndex: site, peers, sets, threshold });
    return {
      ...shared,
      announce: async (registered) => {
        announced = shared.announce?.(registered);
        await announced;
      },
    };
  }

  /** A site that has just started, and remembers no account; so have its peers. */
  const vaultAt = (site: number): Vault =>
    createVault({
      fleet,
      site: `site-${site}`,
      token: tokenOf(site),
      store: records,
      evaluator: evaluatorAt(site),
      akePublicKey: world.token.publicKey("ake"),
      clock,
      random: systemRandom,
      policy: POLICY,
      shareCount: sets.length,
    });

  let vault = vaultAt(0);
  const account: FreshTokens = new FreshTokens(world, () => vault);
  const taken = (): CallCounts => {
    // The service opens an envelope for each of an operation's two messages.
    const counts = [...tokens.map((one) => one.take()), { ...NONE, ecdh: 2 }];
    return sum(counts);
  };
  const expectCounts = (actual: CallCounts, expected: CallCounts): void => {
    for (const call of TOKEN_CALLS) expect(actual[call], call).toBeCloseTo(expected[call]);
  };

  const { cookie } = await account.registerStart();
  await account.registerFinish(cookie);
  await announced;
  expectCounts(taken(), everywhere(callsPerRegistration(sites, threshold), sites, threshold));

  // The second recovery brings the receipt of the first.
  for (const _ of ["first", "second"]) {
    vault.close();
    vault = vaultAt(sites - 1);
    const started = await account.recoverStart(randomPoint());
    await account.recoverFinish(started.cookie);
    expectCounts(taken(), everywhere(callsPerRecovery(sites, threshold), sites, threshold));
  }
  vault.close();
  for (const one of world.vaults) one.close();
});

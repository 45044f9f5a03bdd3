/**
 * Shared evaluation on real tokens: three sites with a SoftHSM each, keys brought there by `fleet init`, guards in
 * LMDB. Sites call each other directly, so that a test can make one slow or dead.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fromHex } from "../../src/base/bytes.ts";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { createSharedEvaluator } from "../../src/fleet/shared-evaluator.ts";
import { createSiteService } from "../../src/fleet/site-evaluator.ts";
import type { EvaluateShares, SiteService } from "../../src/fleet/site-service.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { startTokenPool, type TokenPool } from "../../src/token/pool.ts";
import { createAccountVerifier, type IssuerConfig } from "../../src/vault/account-token.ts";
import type { Evaluator } from "../../src/vault/evaluator.ts";
import { createVault, type Vault } from "../../src/vault/vault.ts";
import { manifestKey } from "../../src/wire/manifest.ts";
import { code } from "../support/codes.ts";
import { createFleetTokens, type FleetTokens } from "../support/fleet-tokens.ts";
import { createIssuer, type Issuer } from "../support/issuer.ts";
import { StockClient } from "../support/stock-client.ts";

const SITES = 3;
const POLICY = { maxAttempts: 10, evaluationBurst: 1_000, evaluationsPerDay: 10_000 };

interface Site {
  token: TokenPool;
  guard: RecordStore;
  service: SiteService;
  fault: "dead" | "silent" | number | undefined;
  /** Evaluations that it was asked for by others. */
  asked: EvaluateShares[];
}

let fleet: FleetTokens;
let issuer: Issuer;
let store: RecordStore;
let sites: Site[];
let vaults: Vault[];
let serial = 0;

function startToken(index: number): TokenPool {
  const hsm = fleet.tokens[index];
  if (!hsm) throw new Error("no token");
  const keys = vaultKeys(fleet.fleet, sharesOf(index, fleet.sets));
  return startTokenPool({ uri: hsm.uri, profile: "softhsm2", keys, workers: 1, env: hsm.env });
}

const openGuard = (index: number): Promise<RecordStore> =>
  openLmdbStore({ path: join(fleet.dir, `guard-${index}`) });

function serviceOf(index: number, token: TokenPool, guardTable: RecordStore): SiteService {
  return createSiteService({
    fleet: fleet.fleet,
    site: fleet.names[index] ?? "",
    token,
    store,
    guardTable,
    verifier: createAccountVerifier({
      fleet: fleet.fleet,
      issuers: [issuer.config as IssuerConfig],
      clock: systemClock,
    }),
    shares: sharesOf(index, fleet.sets),
    shareCount: fleet.sets.length,
    maxAttempts: POLICY.maxAttempts,
    clock: systemClock,
    parts: async () => ({
      token: { ok: token.health().ready, detail: "" },
      store: { ok: true, detail: "" },
      manifest: "00".repeat(32),
    }),
  });
}

/** The service as others reach it; `site.service` may be another one after a restart. */
function reached(site: Site): SiteService {
  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    const { fault } = site;
    if (fault === "dead") throw new StrongroomError("peer-unavailable", "injected");
    if (fault === "silent") return new Promise<never>(() => undefined);
    if (fault !== undefined) await sleep(fault, undefined, { ref: false });
    return work();
  };
  return {
    create: (request) => call(() => site.service.create(request)),
    evaluate: (request) => {
      site.asked.push(request);
      return call(() => site.service.evaluate(request));
    },
    announce: (request) => call(() => site.service.announce(request)),
    status: () => call(() => site.service.status()),
  };
}

function evaluatorOf(index: number, only: readonly number[] = [0, 1, 2]): Evaluator {
  return createSharedEvaluator({
    self: reached(siteAt(index)),
    selfIndex: index,
    peers: new Map(
      only
        .filter((other) => other !== index)
        .map((other) => [other, { service: reached(siteAt(other)), live: () => true, expectedMs: () => 10 }]),
    ),
    sets: fleet.sets,
    threshold: fleet.threshold,
  });
}

function siteAt(index: number): Site {
  const site = sites[index];
  if (!site) throw new Error(`no site ${index}`);
  return site;
}

beforeAll(async () => {
  fleet = await createFleetTokens({ sites: SITES });
  issuer = await createIssuer(fleet.dir);
  store = await openLmdbStore({ path: join(fleet.dir, "store") });
  sites = [];
  vaults = [];
  for (let index = 0; index < SITES; index++) {
    const token = startToken(index);
    const guard = await openGuard(index);
    const service = serviceOf(index, token, guard);
    sites.push({ token, guard, service, fault: undefined, asked: [] });
  }
  for (const [index, site] of sites.entries()) {
    await site.token.whenReady(60_000);
    const vault = createVault({
      fleet: fleet.fleet,
      site: fleet.names[index] ?? "",
      token: site.token,
      store,
      evaluator: evaluatorOf(index),
      akePublicKey: fromHex(manifestKey(fleet.manifest, "ake").publicKey),
      clock: systemClock,
      random: systemRandom,
      policy: POLICY,
      shareCount: fleet.sets.length,
    });
    vaults.push(vault);
  }
});
afterEach(() => {
  for (const site of sites) {
    site.fault = undefined;
    site.asked = [];
  }
});
afterAll(async () => {
  for (const vault of vaults) vault.close();
  for (const { token, guard } of sites) {
    await token.close();
    await guard.close();
  }
  await store.close();
  fleet.remove();
});

/** A client of the site's vault that sends real account tokens. */
async function clientOf(index: number): Promise<StockClient> {
  const subject = `person ${serial++}`;
  return clientFor(index, subject);
}

async function clientFor(index: number, subject: string): Promise<StockClient> {
  const vault = vaults[index];
  if (!vault) throw new Error(`no site ${index}`);
  const withToken: Vault = {
    async handle(account, request) {
      const scope = request.op.startsWith("register") ? "register" : "recover";
      return vault.handle(account, { ...request, accountToken: await issuer.issueToken(subject, [scope]) });
    },
    close: () => undefined,
  };
  return StockClient.create(withToken, fleet.fleet, { tenant: "app", subject });
}

const newKey = (): Uint8Array => crypto.getRandomValues(new Uint8Array(32));

test("the stock client registers at one site and recovers at every other", async () => {
  const client = await clientOf(0);
  const key = newKey();
  await client.register("a code", key);
  for (const index of [0, 1, 2]) {
    client.vault = (await clientFor(index, client.account.subject)).vault;
    expect(await client.recovers("a code", key)).toBe(true);
    expect(await client.recover("another code")).toBeUndefined();
  }
});

describe("with any one site dead", () => {
  test.each([0, 1, 2])("site %i", async (dead) => {
    const coordinator = (dead + 1) % SITES;
    const key = newKey();
    const before = await clientOf(coordinator);
    await before.register("a code", key);
    siteAt(dead).fault = "dead";
    expect(await before.recovers("a code", key)).toBe(true);
    const during = await clientOf(coordinator);
    await during.register("b code", key);
    siteAt(dead).fault = undefined;
    // Whoever was away did not hear of the registration, and serves it all the same.
    const there = await clientFor(dead, during.account.subject);
    during.vault = there.vault;
    expect(await during.recovers("b code", key)).toBe(true);
  });
});

test("with two sites dead nothing is evaluated, and the attempt may be repeated", async () => {
  const client = await clientOf(0);
  const key = newKey();
  await client.register("a code", key);
  const login = client.beginLogin("a code");
  siteAt(1).fault = "dead";
  siteAt(2).fault = "dead";
  await expect(client.recoverStart(login)).rejects.toThrow(code("peer-unavailable"));
  siteAt(2).fault = undefined;
  const answer = await client.recoverStart(login);
  expect(answer).toMatchObject({ seq: 1, attemptsLeft: 9 });
  expect(await client.finishLogin("a code", login, answer)).toBeDefined();
});

test.each(["silent", 30_000] as const)(
  "a slow peer (%s) is not waited for, and costs no attempt",
  async (fault) => {
    const client = await clientOf(0);
    const key = newKey();
    await client.register("a code", key);
    await client.recover("wrong");
    const partner = [1, 2].find((index) => siteAt(index).asked.length > 0) ?? expect.fail();
    siteAt(partner).fault = fault;
    const start = performance.now();
    expect(await client.recovers("a code", key)).toBe(true);
    expect(performance.now() - start).toBeLessThan(15_000);
    expect(siteAt(3 - partner).asked).not.toHaveLength(0);
    expect(await client.status()).toMatchObject({ attemptsLeft: 10 });
    const seqs = sites.flatMap(({ asked }) => asked.map(({ seq }) => seq));
    expect(new Set(seqs)).toStrictEqual(new Set([1, 2]));
  },
);

describe("a guard", () => {
  /** What the coordinator asked that site for, last. */
  async function askedOf(index: number): Promise<EvaluateShares> {
    const client = await clientOf(0);
    await client.register("a code", newKey());
    siteAt(3 - index).fault = "dead";
    await client.recover("wrong");
    siteAt(3 - index).fault = undefined;
    return siteAt(index).asked.at(-1) ?? expect.fail();
  }

  test("outlives a restart of its site", async () => {
    const asked = await askedOf(1);
    const site = siteAt(1);
    const { partial } = await site.service.evaluate(asked);
    await site.guard.close();
    await site.token.close();
    site.token = startToken(1);
    site.guard = await openGuard(1);
    site.service = serviceOf(1, site.token, site.guard);
    await site.token.whenReady(60_000);
    expect(await site.service.evaluate(asked)).toStrictEqual({ partial });
    const other = { ...asked, blindedElement: asked.shares[0]?.publicKey ?? expect.fail() };
    await expect(site.service.evaluate(other)).rejects.toMatchObject({
      code: "guard-refused",
      details: { reason: "used" },
    });
    await expect(site.service.evaluate({ ...asked, seq: 2 })).rejects.toThrow(code("unauthorized"));
  });

  test("begins anew from the store where its disk was lost", async () => {
    const asked = await askedOf(2);
    const site = siteAt(2);
    await site.guard.close();
    site.guard = await openLmdbStore({ path: join(fleet.dir, "guard-new") });
    site.service = serviceOf(2, site.token, site.guard);
    await expect(site.service.evaluate({ ...asked, seq: 2 })).rejects.toMatchObject({
      code: "guard-refused",
      details: { reason: "skipped" },
    });
    await site.service.evaluate(asked);
  });

  test("does not take another policy, another's shares, or a share that was tampered with", async () => {
    const asked = await askedOf(1);
    const { service } = siteAt(1);
    const [first, ...rest] = asked.shares;
    if (!first) throw new Error("no shares");
    const wrapped = Uint8Array.from(first.wrapped);
    wrapped[5] = (wrapped[5] ?? 0) ^ 1;
    const foreign = await askedOf(1);
    const forgeries: Partial<EvaluateShares>[] = [
      { maxAttempts: 11 },
      { generation: 2 },
      { receiptPublicKey: foreign.receiptPublicKey },
      { shares: [foreign.shares[0] ?? first, ...rest] },
      { shares: [{ ...first, publicKey: foreign.shares[0]?.publicKey ?? first.publicKey }, ...rest] },
      { shares: [{ ...first, wrapped }, ...rest] },
    ];
    for (const forgery of forgeries)
      await expect(service.evaluate({ ...asked, ...forgery })).rejects.toThrow(StrongroomError);
    await service.evaluate(asked);
  });
});

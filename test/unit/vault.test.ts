/** Each operation's answers and refusals, one by one; what holds in any order is in test/property. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { equal, utf8 } from "../../src/base/bytes.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import type { TokenStep } from "../../src/token/token.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { recordKeyStep, sealRecord } from "../../src/vault/record-seal.ts";
import { COOKIE_LIFETIME_MS, SITE_CLOCK_SKEW_MS } from "../../src/wire/limits.ts";
import { code } from "../support/codes.ts";
import { OmniscientAccount, randomPoint, type VaultWorld, vaultWorld } from "../support/vault-world.ts";

const POLICY = { maxAttempts: 3, evaluationBurst: 20, evaluationsPerDay: 24 };

let directory: string;
let store: RecordStore;
let world: VaultWorld;
let account: OmniscientAccount;
let serial = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "strongroom-vault-"));
  store = await openLmdbStore({ path: directory });
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  world = vaultWorld(store, POLICY);
  account = new OmniscientAccount(world, `account ${serial++}`);
});
afterEach(() => {
  for (const vault of world.vaults) vault.close();
});

const stored = (): Promise<VaultRecord | undefined> => world.record(account.account);

async function register(filling = 1): Promise<Uint8Array> {
  const { cookie } = await account.registerStart();
  await account.registerFinish(cookie, filling);
  return cookie;
}

async function exhaust(): Promise<void> {
  for (let n = 0; n < POLICY.maxAttempts; n++) await account.recoverStart();
}

/** Stores a record of the test's making, as somebody with the record key could. */
async function plant(change: (record: VaultRecord) => VaultRecord): Promise<void> {
  const record = await stored();
  const id = world.recordId(account.account);
  const found = await store.get(id);
  if (!record || !found) throw new Error("nothing to change");
  const salt = new Uint8Array(16).fill(1);
  const key = world.token.hmac("record", recordKeyStep(id, salt).data);
  const value = sealRecord(change(record), salt, { key, id, shareCount: 1 });
  expect(await store.compareAndSwap(id, found.revision, value)).toMatchObject({ swapped: true });
}

describe("register", () => {
  test("charges the budget before there is a key, and stores nothing of the registration", async () => {
    await account.registerStart();
    expect(await stored()).toMatchObject({ state: "vacant", generation: 0 });
    expect(await stored()).not.toHaveProperty("registration");
    await expect(account.status()).rejects.toThrow(code("not-registered"));
    await expect(account.recoverStart()).rejects.toThrow(code("not-registered"));
    await expect(account.delete()).rejects.toThrow(code("not-registered"));
  });

  test("makes a generation, and the same finish again gives the same answer", async () => {
    const { cookie } = await account.registerStart();
    const first = await account.registerFinish(cookie);
    expect(first).toMatchObject({ generation: 1, recordId: world.recordId(account.account) });
    expect(await account.status()).toStrictEqual({
      state: "active",
      generation: 1,
      attemptsLeft: 3,
      maxAttempts: 3,
      registeredAt: world.clock.now,
    });
    await account.recoverStart();
    const before = await stored();
    expect(await account.registerFinish(cookie)).toMatchObject({ generation: 1, recordId: first.recordId });
    expect(await stored()).toStrictEqual(before);
    expect(await account.status()).toMatchObject({ attemptsLeft: 2 });
  });

  test("knows a repeated finish however many attempts came between", async () => {
    const cookie = await register();
    for (let round = 0; round < 18; round++) {
      const begun = await account.recoverStart();
      await account.recoverFinish(begun.cookie);
    }
    expect(await account.registerFinish(cookie)).toMatchObject({ generation: 1 });
    expect((await stored())?.registration?.seq).toBe(18);
  });

  test("refuses the same cookie with other contents, and the loser of two registrations", async () => {
    const [one, two] = await Promise.all([account.registerStart(), account.registerStart()]);
    await account.registerFinish(one.cookie, 1);
    await expect(account.registerFinish(one.cookie, 2)).rejects.toThrow(code("conflict"));
    await expect(account.registerFinish(two.cookie, 1)).rejects.toThrow(code("conflict"));
    expect((await stored())?.registration?.sealedBackupKey).toStrictEqual(new Uint8Array(60).fill(1));
  });

  test("leaves the old registration valid, attempts and all, until the new one is finished", async () => {
    await register(1);
    const { cookie } = await account.registerStart();
    const attempt = await account.recoverStart();
    expect(attempt.generation).toBe(1);
    expect(await account.recoverFinish(attempt.cookie)).toMatchObject({
      sealedBackupKey: new Uint8Array(60).fill(1),
    });
    const late = await account.recoverStart();
    await account.registerFinish(cookie, 2);
    await expect(account.recoverFinish(late.cookie)).rejects.toThrow(code("conflict"));
    expect(await account.status()).toMatchObject({ generation: 2, attemptsLeft: 3 });
  });

  test("refuses an expired cookie", async () => {
    const { cookie } = await account.registerStart();
    world.clock.now += COOKIE_LIFETIME_MS + 1;
    await expect(account.registerFinish(cookie)).rejects.toThrow(code("expired"));
  });

  test("never calls a registration expired that is there: the first answer may have been lost", async () => {
    const cookie = await register();
    world.clock.now += COOKIE_LIFETIME_MS + 1;
    expect(await account.registerFinish(cookie)).toMatchObject({ generation: 1 });
    await expect(account.registerFinish(cookie, 2)).rejects.toThrow(code("expired"));
  });

  test("refuses points that are none, and charges nothing for them", async () => {
    const bad = new Uint8Array(33).fill(0xff);
    bad[0] = 2;
    const ask = { op: "register-start", accountToken: "t" } as const;
    const point = randomPoint();
    await expect(account.ask({ ...ask, blindedElement: bad, receiptPublicKey: point })).rejects.toThrow(
      code("point-invalid"),
    );
    await expect(account.ask({ ...ask, blindedElement: point, receiptPublicKey: bad })).rejects.toThrow(
      code("point-invalid"),
    );
    await expect(account.recoverStart(bad)).rejects.toThrow(code("point-invalid"));
    expect(await stored()).toBeUndefined();
    expect(world.token.counts.runs).toBe(0);
  });
});

describe("recover", () => {
  test("counts, and gives back on proof", async () => {
    await register();
    expect(await account.recoverStart()).toMatchObject({ generation: 1, seq: 1, attemptsLeft: 2 });
    const second = await account.recoverStart();
    expect(second).toMatchObject({ seq: 2, attemptsLeft: 1 });
    const done = { sealedBackupKey: new Uint8Array(60).fill(1), attemptsLeft: 3 };
    expect(await account.recoverFinish(second.cookie)).toStrictEqual(done);
    const before = await stored();
    expect(before?.registration).toMatchObject({ seq: 2, base: 2 });
    expect(await account.recoverFinish(second.cookie)).toStrictEqual(done);
    expect(await stored()).toStrictEqual(before);
  });

  test("an older success gives back only what came before it", async () => {
    await register();
    const first = await account.recoverStart();
    await account.recoverStart();
    expect(await account.recoverFinish(first.cookie)).toMatchObject({ attemptsLeft: 2 });
  });

  test("refuses a wrong KE3 and a wrong receipt, and gives nothing back", async () => {
    await register();
    const { cookie } = await account.recoverStart();
    await expect(account.recoverFinish(cookie, false)).rejects.toThrow(code("unauthorized"));
    const { expectedClientMac } = world.recoverCookie(account.account, cookie);
    const wrongReceipt = { op: "recover-finish", accountToken: "t", cookie, ke3: expectedClientMac } as const;
    await expect(account.ask({ ...wrongReceipt, receipt: new Uint8Array(64).fill(1) })).rejects.toThrow(
      code("unauthorized"),
    );
    expect(await account.status()).toMatchObject({ attemptsLeft: 2 });
  });

  test("a repeated request is the same attempt, and pays from the budget alone", async () => {
    await register();
    const element = randomPoint();
    const first = await account.recoverStart(element);
    const budget = (await stored())?.budgetAt ?? 0;
    const again = await account.recoverStart(element);
    expect(again).toMatchObject({ seq: 1, attemptsLeft: 2 });
    expect(again.ke2.slice(0, 33)).toStrictEqual(first.ke2.slice(0, 33));
    expect((await stored())?.budgetAt).toBeGreaterThan(budget);
  });

  test("repetitions of two attempts that come in turn, as somebody held them back, count no more", async () => {
    await register();
    const elements = [randomPoint(), randomPoint()];
    for (const element of elements) await account.recoverStart(element);
    const before = await stored();
    // At either site, and with one attempt left or none.
    for (let n = 0; n < 3; n++)
      await expect(account.recoverStart(elements[0])).rejects.toThrow(code("conflict"));
    expect(await stored()).toStrictEqual(before);
    const last = randomPoint();
    const { cookie } = await account.recoverStart(last);
    for (const element of elements)
      await expect(account.recoverStart(element)).rejects.toThrow(code("conflict"));
    expect(await account.recoverStart(last)).toMatchObject({ seq: 3, attemptsLeft: 0 });
    expect(await account.recoverFinish(cookie)).toMatchObject({ attemptsLeft: 3 });
    for (const element of elements)
      await expect(account.recoverStart(element)).rejects.toThrow(code("conflict"));
  });

  test("of a record's earlier attempts nine are known, in any generation only its own", async () => {
    await register();
    const elements = Array.from({ length: 11 }, randomPoint);
    for (const element of elements) {
      const { cookie } = await account.recoverStart(element);
      await account.recoverFinish(cookie);
      world.clock.now += 3_600_000;
    }
    for (const element of elements.slice(1, 10))
      await expect(account.recoverStart(element)).rejects.toThrow(code("conflict"));
    expect((await stored())?.registration?.seq).toBe(11);
    expect(await account.recoverStart(elements[0])).toMatchObject({ seq: 12 });
    await register();
    expect(await account.recoverStart(elements[5])).toMatchObject({ seq: 1 });
  });

  test("what is overdue is destroyed, also by a repetition of an earlier attempt", async () => {
    await register();
    const element = randomPoint();
    await account.recoverStart(element);
    for (let n = 1; n < POLICY.maxAttempts; n++) await account.recoverStart();
    world.clock.now += COOKIE_LIFETIME_MS + 1;
    await expect(account.recoverStart(element)).rejects.toThrow(code("destroyed"));
    expect((await stored())?.state).toBe("destroyed");
  });

  test("refuses expired, foreign, forged and misused cookies", async () => {
    const registerCookie = (await account.registerStart()).cookie;
    await account.registerFinish(registerCookie);
    const { cookie } = await account.recoverStart();
    const ask = {
      op: "recover-finish",
      accountToken: "t",
      ke3: new Uint8Array(32),
      receipt: new Uint8Array(64),
    } as const;
    for (const bad of [registerCookie, new Uint8Array(1), new Uint8Array(200), cookie.slice(0, -1)])
      await expect(account.ask({ ...ask, cookie: bad })).rejects.toThrow(code("invalid-request"));
    const other = new OmniscientAccount(world, `other ${serial}`);
    await expect(other.ask({ ...ask, cookie })).rejects.toThrow(code("invalid-request"));
    await expect(account.registerFinish(cookie)).rejects.toThrow(code("invalid-request"));
    world.clock.now += COOKIE_LIFETIME_MS + 1;
    await expect(account.recoverFinish(cookie)).rejects.toThrow(code("expired"));
  });

  test("says when there will be budget again", async () => {
    await register();
    const element = randomPoint();
    for (let n = 1; n < POLICY.evaluationBurst; n++) await account.recoverStart(element);
    await expect(account.recoverStart(element)).rejects.toThrow(
      expect.objectContaining({ code: "rate-limited", details: { retryAfter: 3600 } }),
    );
    await expect(account.registerStart()).rejects.toThrow(code("rate-limited"));
    world.clock.now += 3_600_000;
    expect(await account.recoverStart(element)).toMatchObject({ seq: 1 });
  });
});

describe("exhaustion", () => {
  test("the next attempt destroys the record, and the right code is of no use", async () => {
    await register();
    await exhaust();
    await expect(account.recoverStart()).rejects.toThrow(code("destroyed"));
    expect(await stored()).toMatchObject({ state: "destroyed", generation: 1 });
    expect(await stored()).not.toHaveProperty("registration");
    await expect(account.recoverStart()).rejects.toThrow(code("destroyed"));
    expect(await account.status()).toMatchObject({ state: "destroyed", generation: 1, attemptsLeft: 0 });
    expect(world.evaluations).toHaveLength(POLICY.maxAttempts);
  });

  test("the last attempt may still be the right one", async () => {
    await register();
    await account.recoverStart();
    await account.recoverStart();
    const element = randomPoint();
    await account.recoverStart(element);
    const repeated = await account.recoverStart(element);
    expect(repeated).toMatchObject({ seq: 3, attemptsLeft: 0 });
    world.clock.now += COOKIE_LIFETIME_MS;
    expect(await account.recoverFinish(repeated.cookie)).toMatchObject({ attemptsLeft: 3 });
  });

  test("repeating the last attempt gains no time", async () => {
    await register();
    await account.recoverStart();
    await account.recoverStart();
    const element = randomPoint();
    await account.recoverStart(element);
    world.clock.now += COOKIE_LIFETIME_MS - 1;
    const { cookie } = await account.recoverStart(element);
    world.clock.now += 2;
    await expect(account.recoverFinish(cookie)).rejects.toThrow(code("destroyed"));
    expect((await stored())?.state).toBe("destroyed");
  });

  test.each([
    ["ahead", 1],
    ["behind", -1],
  ])(
    "a site whose clock is %s takes neither a right last attempt nor a registration for over",
    async (_, sign) => {
      world.clock.ahead = sign * SITE_CLOCK_SKEW_MS;
      for (const elsewhere of [false, true]) {
        const begun = await account.registerStart();
        world.clock.now += 120_000;
        await account.registerFinish(begun.cookie);
        // Requests go to the sites in turn: the last attempt begins at one, and then at the other.
        if (elsewhere) await account.status();
        await account.recoverStart();
        await account.recoverStart();
        const element = randomPoint();
        await account.recoverStart(element);
        world.clock.now += 120_000;
        for (let n = 0; n < 2; n++)
          expect(await account.status()).toMatchObject({ state: "active", attemptsLeft: 0 });
        const { cookie } = await account.recoverStart(element);
        expect(await account.recoverFinish(cookie)).toMatchObject({ attemptsLeft: 3 });
        world.clock.now += 86_400_000;
      }
    },
  );

  test("status destroys what is overdue", async () => {
    await register();
    await exhaust();
    expect(await account.status()).toMatchObject({ state: "active", attemptsLeft: 0 });
    world.clock.now += COOKIE_LIFETIME_MS + 1;
    expect(await account.status()).toMatchObject({ state: "destroyed" });
    expect((await stored())?.registration).toBeUndefined();
  });

  test("a timer destroys what nobody asks for again", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await register();
      await exhaust();
      world.clock.now += COOKIE_LIFETIME_MS + 1000;
      vi.advanceTimersByTime(COOKIE_LIFETIME_MS + 1000);
    } finally {
      vi.useRealTimers();
    }
    await vi.waitFor(async () => expect((await stored())?.state).toBe("destroyed"));
    expect(world.events).toContain("destroyed");
  });

  test("a new registration begins a new generation beside the destroyed one", async () => {
    await register();
    await exhaust();
    await expect(account.recoverStart()).rejects.toThrow(code("destroyed"));
    await register(2);
    expect(await account.status()).toMatchObject({ state: "active", generation: 2, attemptsLeft: 3 });
  });
});

describe("delete", () => {
  test("leaves a tombstone that keeps the budget, and is gone for every operation", async () => {
    await register();
    const begun = await account.recoverStart();
    const budget = (await stored())?.budgetAt;
    expect(await account.delete()).toStrictEqual({ generation: 2 });
    expect(await stored()).toMatchObject({ state: "deleted", budgetAt: budget });
    expect(await stored()).not.toHaveProperty("registration");
    await expect(account.status()).rejects.toThrow(code("not-registered"));
    await expect(account.recoverStart()).rejects.toThrow(code("not-registered"));
    await expect(account.recoverFinish(begun.cookie)).rejects.toThrow(code("not-registered"));
  });

  test("that comes late or again leaves alone what was registered since", async () => {
    await register();
    expect(await account.delete(1)).toStrictEqual({ generation: 2 });
    expect(await account.delete(1)).toStrictEqual({ generation: 2 });
    await register(2);
    await expect(account.delete(1)).rejects.toThrow(code("conflict"));
    await expect(account.delete(4)).rejects.toThrow(code("conflict"));
    expect(await account.status()).toMatchObject({ state: "active", generation: 3 });
    await account.delete(3);
    await expect(account.delete(1)).rejects.toThrow(code("not-registered"));
  });

  test("no registration that was begun before it can bring the record back", async () => {
    const finished = await register();
    const { cookie } = await account.registerStart();
    await account.delete();
    await expect(account.registerFinish(cookie)).rejects.toThrow(code("conflict"));
    await expect(account.registerFinish(finished)).rejects.toThrow(code("conflict"));
    await register();
    expect(await account.status()).toMatchObject({ generation: 3 });
  });
});

describe("faults", () => {
  test("a write whose answer is lost counts once", async () => {
    await register();
    world.storeFaults.push("lost-after", "lost-after");
    expect(await account.recoverStart()).toMatchObject({ seq: 1, attemptsLeft: 2 });
    world.storeFaults.push("lost-before");
    expect(await account.recoverStart()).toMatchObject({ seq: 2, attemptsLeft: 1 });
  });

  test("one that the store itself sent again, and that was overtaken meanwhile, counts once", async () => {
    await register();
    const swap = store.compareAndSwap.bind(store);
    // As etcd answers where a member applied the write and died, and another site wrote before the repetition.
    const overtaken = vi
      .spyOn(store, "compareAndSwap")
      .mockImplementationOnce(async (id, expected, value) => {
        await swap(id, expected, value);
        expect(await account.recoverStart()).toMatchObject({ seq: 2, attemptsLeft: 1 });
        return { swapped: false, current: await store.get(id) };
      });
    expect(await account.recoverStart()).toMatchObject({ seq: 1, attemptsLeft: 2 });
    overtaken.mockRestore();
    expect(await account.status()).toMatchObject({ attemptsLeft: 1 });
  });

  test("one that cannot be resolved fails, is not evaluated, and counts if it happened", async () => {
    await register();
    world.storeFaults.push(...Array.from({ length: 6 }, () => "lost-after" as const));
    await expect(account.recoverStart()).rejects.toThrow(code("store-ambiguous"));
    expect(world.evaluations).toHaveLength(0);
    expect(await account.status()).toMatchObject({ attemptsLeft: 2 });
  });

  test("a refused write evaluates nothing and costs nothing", async () => {
    await register();
    world.storeFaults.push("refused");
    await expect(account.recoverStart()).rejects.toThrow(code("store-full"));
    expect(world.evaluations).toHaveLength(0);
    expect(await account.status()).toMatchObject({ attemptsLeft: 3 });
  });

  test("dying before the evaluation costs the attempt, and repeating it does not cost another", async () => {
    await register();
    const element = randomPoint();
    world.crashes.push("before-evaluation");
    await expect(account.recoverStart(element)).rejects.toThrow(code("token-absent"));
    expect(await account.status()).toMatchObject({ attemptsLeft: 2 });
    expect(await account.recoverStart(element)).toMatchObject({ seq: 1, attemptsLeft: 2 });
  });

  test("of thirty requests at once, exactly as many as there are attempts are evaluated", async () => {
    await register();
    await account.delete();
    world = vaultWorld(store, { maxAttempts: 10, evaluationBurst: 1000, evaluationsPerDay: 24 });
    account = new OmniscientAccount(world, `account ${serial++}`);
    await register();
    const results = await Promise.allSettled(Array.from({ length: 30 }, () => account.recoverStart()));
    expect(results.filter((one) => one.status === "fulfilled")).toHaveLength(10);
    for (const one of results)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "destroyed" });
    expect(new Set(world.evaluations.map((one) => one.seq)).size).toBe(10);
  });
});

test("keys and products are wiped when a request ends, whichever way it ends", async () => {
  const secrets: Uint8Array[] = [];
  const run = world.token.run.bind(world.token) as (steps: readonly TokenStep[]) => Promise<unknown[]>;
  const isId = (step: TokenStep): boolean =>
    step.op === "hmac" && equal(step.data.subarray(4, 6), utf8("id"));
  vi.spyOn(world.token, "run").mockImplementation((async (steps: readonly TokenStep[]) => {
    const results = await run(steps);
    for (const [i, step] of steps.entries()) {
      if (step.op !== "ecdh" && (step.op !== "hmac" || isId(step))) continue;
      secrets.push(...([results[i]].flat() as Uint8Array[]));
    }
    return results;
  }) as typeof world.token.run);
  const leavesNothing = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    secrets.length = 0;
    await work().catch(() => undefined);
    expect(secrets.length, what).toBeGreaterThan(0);
    expect(secrets.filter((bytes) => bytes.some((byte) => byte !== 0)).length, what).toBe(0);
  };
  await leavesNothing("no registration", () => account.recoverStart());
  await leavesNothing("a registration", () => register());
  await leavesNothing("a forged cookie", () => account.registerFinish(new Uint8Array(99).fill(1)));
  await leavesNothing("an attempt", () => account.recoverStart());
  const { cookie } = await account.recoverStart();
  await leavesNothing("a wrong finish", () => account.recoverFinish(cookie, false));
  await leavesNothing("a right finish", () => account.recoverFinish(cookie));
  world.crashes.push("before-evaluation");
  await leavesNothing("an evaluation that failed", () => account.recoverStart());
  world.storeFaults.push("refused");
  await leavesNothing("a write that was refused", () => account.recoverStart());
  await leavesNothing("a status", () => account.status());
  const found = await store.get(world.recordId(account.account));
  const broken = Uint8Array.from(found?.value ?? []).fill(7, 60);
  await store.compareAndSwap(world.recordId(account.account), found?.revision, broken);
  await leavesNothing("a record that does not open", () => account.recoverStart());
});

describe("a record that was tampered with", () => {
  const evaluationSteps = (): number =>
    world.token.counts.steps.filter((op) => op === "evaluate-share").length;

  test.each<[string, (record: VaultRecord) => VaultRecord]>([
    [
      "more attempts",
      (record) => ({
        ...record,
        registration: record.registration && { ...record.registration, maxAttempts: 100 },
      }),
    ],
    [
      "another receipt key",
      (record) => ({
        ...record,
        registration: record.registration && { ...record.registration, receiptPublicKey: randomPoint() },
      }),
    ],
    ["another generation", (record) => ({ ...record, generation: 9 })],
  ])("(%s) is not evaluated", async (_, change) => {
    await register();
    await plant(change);
    const before = evaluationSteps();
    await expect(account.recoverStart()).rejects.toThrow(
      expect.objectContaining({ code: "record-corrupt", wire: "unavailable" }),
    );
    expect(evaluationSteps()).toBe(before);
  });

  test("(another account's shares) is not evaluated", async () => {
    await register();
    const theirs = (await stored())?.registration?.shares;
    account = new OmniscientAccount(world, `account ${serial++}`);
    await register();
    await plant((record) => ({
      ...record,
      registration: record.registration && { ...record.registration, shares: theirs ?? [] },
    }));
    await expect(account.recoverStart()).rejects.toThrow(code("record-corrupt"));
    expect(evaluationSteps()).toBe(0);
  });

  test("(moved to another account) does not open", async () => {
    await register();
    const found = await store.get(world.recordId(account.account));
    account = new OmniscientAccount(world, `account ${serial++}`);
    await store.compareAndSwap(world.recordId(account.account), undefined, found?.value ?? new Uint8Array());
    await expect(account.status()).rejects.toThrow(code("record-corrupt"));
  });
});

test("each operation costs as few messages to the token as the vault says", async () => {
  const costs: Record<string, number> = {};
  const measured = async <T>(operation: string, ask: () => Promise<T>): Promise<T> => {
    const before = world.token.counts.runs;
    const answer = await ask();
    costs[operation] = world.token.counts.runs - before;
    return answer;
  };
  const { cookie } = await measured("register-start", () => account.registerStart());
  await measured("register-finish", () => account.registerFinish(cookie));
  const begun = await measured("recover-start", () => account.recoverStart());
  await measured("recover-finish", () => account.recoverFinish(begun.cookie));
  await measured("status", () => account.status());
  await measured("delete", () => account.delete());
  expect(costs).toStrictEqual({
    // Each of the two sites asks once for the record id; from then on it knows it.
    "register-start": 3,
    "register-finish": 3,
    "recover-start": 2,
    "recover-finish": 1,
    status: 1,
    delete: 1,
  });
});

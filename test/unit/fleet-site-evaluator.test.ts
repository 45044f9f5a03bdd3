/** What a site checks before it does anything for a coordinator, and in which order. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { addPoints, decompressPoint, GENERATOR } from "../../src/crypto/node/p256.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import type { Share } from "../../src/vault/record.ts";
import { code } from "../support/codes.ts";
import { type FleetWorld, fleetWorld, Owner, type WorldSite } from "../support/fleet-world.ts";
import { openTables, type Tables } from "../support/tables.ts";
import { randomPoint } from "../support/vault-world.ts";

const refusal = (reason: string) => code("guard-refused", { reason });

let opened: Tables;
let store: RecordStore;
let world: FleetWorld;
let site: WorldSite;
let owner: Owner;
/** The owner's shares that site 0 holds. */
let held: readonly Share[];
let serial = 0;

beforeAll(async () => {
  opened = await openTables(4);
});
afterAll(() => opened.remove());
beforeEach(async () => {
  const [first, ...tables] = opened.tables;
  if (!first) throw new Error("no store");
  store = first;
  world = fleetWorld(2, store, tables);
  site = world.site(0);
  owner = new Owner(world, `person ${serial++}`);
  await owner.register(world.evaluator(0));
  const numbers = sharesOf(0, world.sets);
  held = owner.shares.filter(({ share }) => numbers.includes(share));
  site.steps.length = 0;
});
afterEach(() => vi.restoreAllMocks());

const evaluated = (): number => site.steps.filter(({ op }) => op === "evaluate-share").length;
const spoilt = (shares: readonly Share[]): readonly Share[] =>
  shares.map((share, i) => (i === 0 ? { ...share, tag: new Uint8Array(32) } : share));
const announcement = () => ({ ...owner.policy(), shares: held });
const attempt = (changes = {}) => owner.attempt({ shares: held, ...changes });

describe("evaluate", () => {
  test("adds up its shares, and remembers the attempt", async () => {
    const request = await attempt({ blindedElement: GENERATOR });
    const { partial } = await site.service.evaluate(request);
    const [a, b] = held;
    expect(partial).toStrictEqual(addPoints(a?.publicKey ?? GENERATOR, b?.publicKey ?? GENERATOR));
    const other = owner.request({ shares: held, accountToken: owner.issue("recover") });
    await expect(site.service.evaluate(other)).rejects.toThrow(refusal("used"));
    expect(await site.service.evaluate(request)).toStrictEqual({ partial });
  });

  test("wants the account's own token, for this purpose", async () => {
    const stranger = new Owner(world, `person ${serial++}`);
    const wrong = [stranger.issue("recover"), owner.issue("register")];
    for (const accountToken of wrong)
      await expect(site.service.evaluate(await attempt({ accountToken }))).rejects.toThrow(
        code("unauthorized"),
      );
    expect(evaluated()).toBe(0);
  });

  test("lets a token authorise one attempt, whatever its signature looks like", async () => {
    const request = await attempt();
    await site.service.evaluate(request);
    const accountToken = request.accountToken.replace(".signature", ".another");
    await expect(site.service.evaluate(await attempt({ accountToken }))).rejects.toThrow(
      code("unauthorized"),
    );
  });

  test("wants shares that it holds, each once and in order", async () => {
    const [first, second] = held;
    if (!first || !second) throw new Error("too few shares");
    const lists = [[], [second, first], [first, first], owner.shares];
    for (const shares of lists)
      await expect(site.service.evaluate(owner.request({ shares, seq: 1 }))).rejects.toThrow(
        code("invalid-request"),
      );
    expect(site.steps.filter(({ op }) => op !== "hmac")).toStrictEqual([]);
  });

  test("wants numbers and points that can be", async () => {
    const asked = owner.request({ shares: held, seq: 1 });
    for (const changes of [{ generation: 0 }, { maxAttempts: 101 }, { maxAttempts: 0 }, { generation: 0.5 }])
      await expect(site.service.evaluate({ ...asked, ...changes })).rejects.toThrow(code("invalid-request"));
    const off = Uint8Array.from(GENERATOR).fill(1, 40);
    await expect(site.service.evaluate({ ...asked, blindedElement: off })).rejects.toThrow(
      code("point-invalid"),
    );
    expect(site.steps).toStrictEqual([]);
  });

  test("takes no share and no policy whose tag does not verify", async () => {
    await site.service.announce(announcement());
    const one = held.slice(0, 1);
    const forged = [
      await attempt({ shares: spoilt(held) }),
      owner.request({ shares: spoilt(one) }),
      owner.request({ shares: held, generation: 2 }),
      owner.request({ shares: held, maxAttempts: 4 }),
      owner.request({ shares: held, receiptPublicKey: randomPoint() }),
    ];
    for (const request of forged)
      await expect(site.service.evaluate(request)).rejects.toThrow(StrongroomError);
    expect(evaluated()).toBe(0);
    await site.service.evaluate(owner.request({ shares: held, seq: 2 }));
    expect(evaluated()).toBe(2);
  });

  test.each(["store-unavailable", "store-full", "store-ambiguous"] as const)(
    "evaluates nothing while its guard cannot be written (%s)",
    async (failure) => {
      await site.service.announce(announcement());
      const [, table] = opened.tables;
      if (!table) throw new Error("no table");
      const request = await attempt();
      vi.spyOn(table, "compareAndSwap").mockRejectedValueOnce(new StrongroomError(failure, "injected"));
      await expect(site.service.evaluate(request)).rejects.toThrow(code(failure));
      expect(evaluated()).toBe(0);
      await site.service.evaluate(request);
      expect(evaluated()).toBe(2);
    },
  );

  test("evaluates nothing for a damaged entry", async () => {
    await site.service.announce(announcement());
    const [, table] = opened.tables;
    const found = await table?.get(owner.id);
    await table?.compareAndSwap(owner.id, found?.revision, new Uint8Array(40));
    await expect(site.service.evaluate(await attempt())).rejects.toThrow(code("record-corrupt"));
    await expect(site.service.announce(announcement())).rejects.toThrow(code("record-corrupt"));
    expect(evaluated()).toBe(0);
  });

  test("of requests at the same time for one number lets one through", async () => {
    await site.service.announce(announcement());
    const requests = [await attempt(), ...Array.from({ length: 4 }, () => owner.request({ shares: held }))];
    const done = await Promise.allSettled(requests.map((request) => site.service.evaluate(request)));
    expect(done.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(evaluated()).toBe(2);
  });
});

describe("a record that the guard has not met", () => {
  test("is looked up in the store", async () => {
    await attempt();
    const second = await attempt();
    await site.service.evaluate(second);
    const first = owner.request({ shares: held, seq: 1 });
    await expect(site.service.evaluate(first)).rejects.toThrow(refusal("used"));
    await expect(site.service.evaluate(await attempt())).resolves.toBeDefined();
  });

  test("needs to be there and active, of that generation and policy", async () => {
    const request = await attempt();
    await expect(site.service.evaluate({ ...request, seq: 2 })).rejects.toThrow(refusal("skipped"));
    await owner.store({ generation: 2 });
    await expect(site.service.evaluate(request)).rejects.toThrow(refusal("generation"));
    for (const state of ["destroyed", "deleted"] as const) {
      await owner.store({ state, registration: undefined });
      await expect(site.service.evaluate(request)).rejects.toThrow(refusal("record"));
    }
    await owner.put(new Uint8Array(10));
    await expect(site.service.evaluate(request)).rejects.toThrow(code("record-corrupt"));
    const unknown = new Owner(world, `person ${serial++}`);
    const nothing = { ...request, recordId: unknown.id, accountToken: unknown.issue("recover") };
    await expect(site.service.evaluate(nothing)).rejects.toThrow(refusal("record"));
    expect(evaluated()).toBe(0);
  });

  test("is believed only with the tags of all shares that the site holds, and not remembered before", async () => {
    const [, table] = opened.tables;
    const genuine = owner.shares;
    const one = held.slice(0, 1);
    owner.shares = genuine.map((share) =>
      share === held[1] ? { ...share, tag: new Uint8Array(32) } : share,
    );
    await expect(site.service.evaluate(await attempt({ shares: one }))).rejects.toThrow(
      code("record-corrupt"),
    );
    owner.shares = genuine.filter((share) => share !== held[1]);
    await expect(site.service.evaluate(await attempt({ shares: one }))).rejects.toThrow(
      code("record-corrupt"),
    );
    expect(await table?.get(owner.id)).toBeUndefined();
    expect(evaluated()).toBe(0);
    owner.shares = genuine;
    await site.service.evaluate(await attempt({ shares: one }));
  });

  test("may be of a generation that was never announced here", async () => {
    await site.service.evaluate(await attempt());
    await owner.register(world.evaluator(0));
    held = owner.shares.filter(({ share }) => sharesOf(0, world.sets).includes(share));
    const request = await attempt();
    await owner.put(new Uint8Array(10));
    await expect(site.service.evaluate(request)).rejects.toThrow(code("record-corrupt"));
    await owner.store();
    await site.service.evaluate(request);
  });

  test("is not evaluated while the store is away", async () => {
    const request = await attempt();
    vi.spyOn(store, "get").mockRejectedValueOnce(new StrongroomError("store-unavailable", "injected"));
    await expect(site.service.evaluate(request)).rejects.toThrow(code("store-unavailable"));
    expect(evaluated()).toBe(0);
  });

  test("may be one whose guard was lost", async () => {
    await site.service.evaluate(await attempt());
    await site.service.evaluate(await attempt());
    site.loseGuard();
    const third = await attempt();
    await expect(site.service.evaluate({ ...third, seq: 1 })).resolves.toBeDefined();
    await expect(site.service.evaluate(owner.request({ shares: held, seq: 2 }))).rejects.toThrow(
      refusal("used"),
    );
  });
});

describe("announce", () => {
  test("ends lower generations", async () => {
    const old = { ...(await attempt()) };
    await site.service.evaluate(old);
    await owner.register(world.evaluator(0));
    held = owner.shares.filter(({ share }) => sharesOf(0, world.sets).includes(share));
    await site.service.announce(announcement());
    await expect(site.service.evaluate(old)).rejects.toThrow(refusal("generation"));
    await site.service.evaluate(await attempt());
  });

  test("is believed only with the tags of shares that the site holds", async () => {
    const missing = owner.shares.filter((share) => !held.includes(share));
    await expect(site.service.announce({ ...owner.policy(), shares: missing })).rejects.toThrow(
      code("invalid-request"),
    );
    // Any other holder of that one could have tagged it for any generation.
    const part = { ...announcement(), shares: held.slice(0, 1) };
    await expect(site.service.announce(part)).rejects.toThrow(code("invalid-request"));
    for (const forged of [
      { ...announcement(), shares: spoilt(held) },
      { ...announcement(), generation: 9 },
      { ...announcement(), maxAttempts: 4 },
    ])
      await expect(site.service.announce(forged)).rejects.toThrow(code("record-corrupt"));
  });

  test("costs the token nothing once it is known", async () => {
    await site.service.announce(announcement());
    site.steps.length = 0;
    await site.service.announce(announcement());
    expect(site.steps).toStrictEqual([]);
  });
});

describe("create", () => {
  const request = () => ({
    ...owner.policy(2),
    blindedElement: decompressPoint(randomPoint()),
    accountToken: owner.issue("register"),
    numbers: held.map(({ share }) => share),
  });

  test("makes shares whose tags hold for this policy", async () => {
    const { shares } = await site.service.create(request());
    expect(shares.map(({ share }) => share)).toStrictEqual(held.map(({ share }) => share));
    await site.service.announce({ ...owner.policy(2), shares });
  });

  test("wants the account's token, and numbers that the site holds", async () => {
    for (const accountToken of [owner.issue("recover"), new Owner(world, "stranger").issue("register")])
      await expect(site.service.create({ ...request(), accountToken })).rejects.toThrow(code("unauthorized"));
    for (const numbers of [[], [0, 1, 2], [2, 1], [0]])
      await expect(site.service.create({ ...request(), numbers })).rejects.toThrow(code("invalid-request"));
    expect(site.steps.filter(({ op }) => op === "create-share")).toStrictEqual([]);
  });

  test("makes none for more attempts than the fleet promises, whoever coordinates", async () => {
    for (const maxAttempts of [4, 100])
      await expect(site.service.create({ ...request(), maxAttempts })).rejects.toThrow(
        code("invalid-request"),
      );
    expect(site.steps.filter(({ op }) => op === "create-share")).toStrictEqual([]);
    await site.service.create({ ...request(), maxAttempts: 2 });
  });

  test("makes none for a generation that is complete already: nobody would ever evaluate them", async () => {
    await site.service.announce(announcement());
    await expect(site.service.create({ ...request(), generation: 1 })).rejects.toThrow(refusal("generation"));
    await site.service.create(request());
  });
});

test("status says what the site is doing", async () => {
  expect(await site.service.status()).toMatchObject({ site: "site-0", inFlight: 0, now: world.clock.now });
  const working = site.service.evaluate(await attempt());
  expect(await site.service.status()).toMatchObject({ inFlight: 1 });
  await working;
  expect(await site.service.status()).toMatchObject({ inFlight: 0 });
});

/** The coordinator: whom it asks, what it does with sites that are slow, dead, or refuse, and what it says then. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { equal } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { createSharedEvaluator } from "../../src/fleet/shared-evaluator.ts";
import type { SiteService } from "../../src/fleet/site-service.ts";
import { holderSets, sharesOf } from "../../src/keys/holder-sets.ts";
import type { Evaluator } from "../../src/vault/evaluator.ts";
import { code } from "../support/codes.ts";
import { type FleetWorld, fleetWorld, Owner } from "../support/fleet-world.ts";
import { openTables, type Tables } from "../support/tables.ts";

const away = new StrongroomError("peer-unavailable", "injected");
const refusing = new StrongroomError("guard-refused", "injected", { details: { reason: "used" } });

let opened: Tables;
let world: FleetWorld;
let owner: Owner;
let evaluator: Evaluator;
let replaced: { readonly why: string; readonly site: number }[];
let serial = 0;

beforeAll(async () => {
  opened = await openTables(6);
});
afterAll(() => opened.remove());

/** A fleet of so many sites with a registered account; site 0 coordinates. */
async function begin(sites: number, threshold: number, patienceMs = 10_000): Promise<void> {
  const [store, ...tables] = opened.tables;
  if (!store) throw new Error("no store");
  world = fleetWorld(threshold, store, tables.slice(0, sites));
  replaced = [];
  evaluator = world.evaluator(0, { patienceMs, observe: (why, site) => replaced.push({ why, site }) });
  owner = new Owner(world, `coordinated ${serial++}`);
  await owner.register(evaluator);
  forgetCalls();
}

function forgetCalls(): void {
  for (const site of world.sites) site.calls.length = 0;
}

/** The sites that were asked to evaluate, and for which shares. */
const asked = (): Map<number, readonly number[]> =>
  new Map(
    world.sites.flatMap(({ calls }, index) => {
      const shares = calls.filter(({ op }) => op === "evaluate").flatMap((call) => call.shares);
      return shares.length > 0 ? [[index, shares]] : [];
    }),
  );

/** The one of the other sites that the coordinator asks, in a fleet of three. */
async function partner(): Promise<number> {
  await evaluator.evaluate(await owner.attempt());
  const found = [...asked().keys()].find((site) => site !== 0);
  if (found === undefined) throw new Error("nobody was asked");
  forgetCalls();
  return found;
}

describe("a fleet of five, three of which evaluate", () => {
  beforeEach(() => begin(5, 3));

  test("has each share evaluated once, by three sites, itself among them", async () => {
    await evaluator.evaluate(await owner.attempt());
    const shares = [...asked().values()].flat().sort((a, b) => a - b);
    expect(shares).toStrictEqual(world.sets.map(({ share }) => share));
    expect(asked().size).toBe(3);
    expect(asked().has(0)).toBe(true);
    expect([...asked().values()].map(({ length }) => length).sort((a, b) => a - b)).toStrictEqual([3, 3, 4]);
  });

  test("asks the same sites for the same account again, and no peer that is far or not live", async () => {
    world.site(1).live = false;
    world.site(3).expectedMs = 80;
    for (let n = 0; n < 3; n++) {
      await evaluator.evaluate(await owner.attempt());
      expect([...asked().keys()]).toStrictEqual([0, 2, 4]);
    }
  });

  test("gives the same point whoever coordinates, and whoever is away", async () => {
    const request = await owner.attempt();
    const points = await Promise.all(world.sites.map((_, at) => world.evaluator(at).evaluate(request)));
    for (const [first, second] of [
      [0, 1],
      [1, 4],
      [2, 3],
    ]) {
      for (const [index, site] of world.sites.entries())
        site.fault = index === first || index === second ? away : undefined;
      points.push(await world.evaluator(first === 0 ? 2 : 0).evaluate(request));
    }
    for (const point of points) expect(point).toStrictEqual(points[0]);
  });

  test("cannot do with two", async () => {
    for (const site of [1, 2, 3]) world.site(site).fault = away;
    await expect(evaluator.evaluate(await owner.attempt())).rejects.toMatchObject({
      code: "peer-unavailable",
      retryable: true,
    });
    for (const site of [1, 2, 3]) world.site(site).live = false;
    await expect(evaluator.evaluate(await owner.attempt())).rejects.toThrow(code("peer-unavailable"));
  });

  test("says so where most sites refuse, and why", async () => {
    for (const site of world.sites) site.fault = refusing;
    await expect(evaluator.evaluate(await owner.attempt())).rejects.toMatchObject({
      code: "guard-refused",
      details: { reason: "used" },
    });
    const unauthorized = new StrongroomError("unauthorized", "injected");
    for (const site of world.sites) site.fault = unauthorized;
    await expect(evaluator.evaluate(await owner.attempt())).rejects.toThrow(code("unauthorized"));
  });

  test("wants all shares of the fleet in the record, in order", async () => {
    const request = await owner.attempt();
    const [first, second, ...others] = request.shares;
    if (!first || !second) throw new Error("no shares");
    for (const shares of [[], request.shares.slice(1), [second, first, ...others]])
      await expect(evaluator.evaluate({ ...request, shares })).rejects.toThrow(code("record-corrupt"));
    expect(asked().size).toBe(0);
  });
});

describe("a fleet of three, two of which evaluate", () => {
  // Long enough that nothing is slow here but what is made so, on a busy machine too.
  beforeEach(() => begin(3, 2, 500));

  test("a dead peer is replaced, and the attempt stays the same one", async () => {
    const first = await partner();
    world.site(first).fault = away;
    const request = await owner.attempt();
    const point = await evaluator.evaluate(request);
    expect(replaced).toContainEqual({ why: "failed", site: first });
    world.site(first).fault = undefined;
    expect(await evaluator.evaluate(request)).toStrictEqual(point);
  });

  test("a peer that never answers is not waited for, and not asked again until it has", async () => {
    const first = await partner();
    const third = 3 - first;
    world.site(first).fault = "silent";
    await evaluator.evaluate(await owner.attempt());
    expect(replaced).toContainEqual({ why: "slow", site: first });
    forgetCalls();
    await evaluator.evaluate(await owner.attempt());
    expect(asked().has(first)).toBe(false);
    expect(asked().has(third)).toBe(true);
  });

  test("a slow peer is used again once it has answered", async () => {
    const first = await partner();
    world.site(first).fault = 2_000;
    await evaluator.evaluate(await owner.attempt());
    expect(replaced).toContainEqual({ why: "slow", site: first });
    world.site(first).fault = undefined;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    forgetCalls();
    await evaluator.evaluate(await owner.attempt());
    expect(asked().has(first)).toBe(true);
  });

  test("a slow answer counts where the replacement fails", async () => {
    const first = await partner();
    world.site(first).fault = 1_500;
    world.site(3 - first).fault = refusing;
    await expect(evaluator.evaluate(await owner.attempt())).resolves.toBeDefined();
  });

  test("a peer that usually takes long is given its time", async () => {
    const first = await partner();
    for (const site of world.sites) site.expectedMs = 1_000;
    world.site(first).fault = 1_000;
    await evaluator.evaluate(await owner.attempt());
    expect(replaced.filter(({ site }) => site === first)).toStrictEqual([]);
  });

  test.each(["guard-refused", "record-corrupt", "unauthorized", "token-absent"] as const)(
    "what one site answers with %s another may evaluate",
    async (failure) => {
      const first = await partner();
      world.site(first).fault = new StrongroomError(failure, "injected");
      await expect(evaluator.evaluate(await owner.attempt())).resolves.toBeDefined();
      expect(asked().has(3 - first)).toBe(true);
    },
  );

  test("the site itself may be the one that fails, or is slow", async () => {
    for (const fault of [new StrongroomError("token-absent", "injected"), "silent" as const]) {
      world.site(0).fault = fault;
      await expect(evaluator.evaluate(await owner.attempt())).resolves.toBeDefined();
    }
  });

  test("every site that is asked sees one number and one element", async () => {
    const first = await partner();
    world.site(first).fault = away;
    const request = await owner.attempt();
    const seen: object[] = [];
    const watch = (service: SiteService): SiteService => ({
      ...service,
      evaluate(given) {
        seen.push({ seq: given.seq, element: given.blindedElement });
        return service.evaluate(given);
      },
    });
    const coordinator = createSharedEvaluator({
      self: watch(world.site(0).service),
      selfIndex: 0,
      peers: new Map(
        [1, 2].map((index) => [
          index,
          { service: watch(world.site(index).service), live: () => true, expectedMs: () => 1 },
        ]),
      ),
      sets: world.sets,
      threshold: 2,
    });
    await coordinator.evaluate(request);
    expect(seen.length).toBeGreaterThan(1);
    for (const one of seen) expect(one).toStrictEqual({ seq: request.seq, element: request.blindedElement });
  });

  test("a registration is made by two sites, and another takes a dead one's place", async () => {
    world.site(1).fault = away;
    await owner.register(evaluator);
    expect(owner.shares.map(({ share }) => share)).toStrictEqual([0, 1, 2]);
    await expect(evaluator.evaluate(await owner.attempt())).resolves.toBeDefined();
  });

  test("shares that were not asked for are no shares", async () => {
    const lying = (service: SiteService): SiteService => ({
      ...service,
      async create(request) {
        const created = await service.create(request);
        return { ...created, shares: created.shares.map((share) => ({ ...share, share: share.share + 1 })) };
      },
    });
    const coordinator = createSharedEvaluator({
      self: world.site(0).service,
      selfIndex: 0,
      peers: new Map(
        [1, 2].map((index) => [
          index,
          { service: lying(world.site(index).service), live: () => true, expectedMs: () => 1 },
        ]),
      ),
      sets: world.sets,
      threshold: 2,
    });
    await expect(owner.register(coordinator)).rejects.toThrow(code("record-corrupt"));
  });

  test("an announcement reaches every site with the shares that it holds", async () => {
    const registered = { ...owner.policy(), shares: owner.shares };
    await evaluator.announce?.(registered);
    for (const [index, { calls }] of world.sites.entries())
      expect(calls).toStrictEqual([{ op: "announce", shares: sharesOf(index, world.sets) }]);
    forgetCalls();
    world.site(1).fault = away;
    await expect(evaluator.announce?.(registered)).rejects.toThrow(code("peer-unavailable"));
    expect(world.sites.map(({ calls }) => calls.length)).toStrictEqual([1, 1, 1]);
  });
});

test("where the threshold is one, nobody else is asked", async () => {
  await begin(3, 1);
  await evaluator.evaluate(await owner.attempt());
  expect(asked()).toStrictEqual(new Map([[0, [0]]]));
  world.site(0).fault = new StrongroomError("token-absent", "injected");
  await expect(evaluator.evaluate(await owner.attempt())).resolves.toBeDefined();
});

test("over many accounts the load is even", async () => {
  await begin(5, 3);
  const peers = new Map([1, 2, 3, 4].map((index) => [index, 0]));
  const silent: SiteService = {
    create: ({ numbers }) => Promise.reject(new StrongroomError("internal", `${numbers.length}`)),
    evaluate: () => Promise.reject(away),
    announce: () => Promise.reject(away),
    status: () => Promise.reject(away),
  };
  const coordinator = createSharedEvaluator({
    self: silent,
    selfIndex: 0,
    peers: new Map(
      [...peers.keys()].map((index) => [
        index,
        {
          service: {
            ...silent,
            evaluate() {
              peers.set(index, (peers.get(index) ?? 0) + 1);
              return new Promise<never>(() => undefined);
            },
          },
          live: () => true,
          expectedMs: () => 10_000,
        },
      ]),
    ),
    sets: holderSets(5, 3),
    threshold: 3,
  });
  const request = await owner.attempt();
  for (let n = 0; n < 400; n++) {
    const recordId = crypto.getRandomValues(new Uint8Array(32));
    void coordinator.evaluate({ ...request, recordId }).catch(() => undefined);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  const counts = [...peers.values()];
  expect(Math.min(...counts)).toBeGreaterThan(0.5 * Math.max(...counts));
  expect(equal(request.recordId, owner.id)).toBe(true);
});

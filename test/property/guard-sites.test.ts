/**
 * Whole sites under attack, guards on disk: an account registers, recovers and is attacked by somebody who drives
 * t − 1 sites and the store. Counted is what the tokens of the honest sites evaluated for him or anybody else.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { decompressPoint } from "../../src/crypto/node/p256.ts";
import type { EvaluateShares } from "../../src/fleet/site-service.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import type { Share } from "../../src/vault/record.ts";
import { type FleetWorld, fleetWorld, Owner } from "../support/fleet-world.ts";
import { openTables, type Tables } from "../support/tables.ts";
import { randomPoint } from "../support/vault-world.ts";

/** What the records of these tests allow. */
const MAX = 3;

let opened: Tables;
let serial = 0;
beforeAll(async () => {
  opened = await openTables(6);
});
afterAll(() => opened.remove());

type Step =
  | { readonly op: "register"; readonly announce: boolean }
  | { readonly op: "recover"; readonly at: number; readonly right: boolean }
  | {
      readonly op: "attack";
      readonly site: number;
      readonly seq: number;
      readonly base: number;
      readonly generations: number;
      readonly freshToken: boolean;
      readonly receipt: "right" | "older" | "none";
      readonly element: number;
    }
  | { readonly op: "roll-back"; readonly to: number }
  | { readonly op: "old-announcement"; readonly site: number; readonly back: number }
  | { readonly op: "lose-guard"; readonly site: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ op: fc.constant("register" as const), announce: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant("recover" as const), at: fc.nat(4), right: fc.boolean() }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      op: fc.constant("attack" as const),
      site: fc.nat(4),
      seq: fc.nat(7),
      base: fc.nat(4),
      generations: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -1, max: 1 }) },
      ),
      freshToken: fc.oneof(
        { weight: 3, arbitrary: fc.constant(true) },
        { weight: 1, arbitrary: fc.boolean() },
      ),
      receipt: fc.constantFrom("right" as const, "older" as const, "none" as const),
      element: fc.nat(9),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("roll-back" as const), to: fc.nat(12) }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("old-announcement" as const), site: fc.nat(4), back: fc.nat(2) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("lose-guard" as const), site: fc.nat(4) }) },
);

interface Generation {
  readonly shares: readonly Share[];
  /** Numbers of proved attempts, ascending. */
  readonly proven: number[];
}

class Attack {
  readonly world: FleetWorld;
  readonly owner: Owner;
  readonly honest: readonly number[];
  readonly elements = Array.from({ length: 10 }, () => decompressPoint(randomPoint()));
  readonly generations = new Map<number, Generation>();
  readonly snapshots: Uint8Array[] = [];
  /** By site and generation: each evaluated element with its numbers. Begins anew with the site's guard. */
  readonly evaluated = new Map<string, Map<string, Set<number>>>();
  lastToken = "";
  answers = 0;
  refusals = 0;

  constructor(threshold: number, sites: number) {
    const [store, ...tables] = opened.tables;
    if (!store) throw new Error("no store");
    this.world = fleetWorld(threshold, store, tables.slice(0, sites));
    this.owner = new Owner(this.world, `attacked ${serial++}`);
    this.honest = this.world.sites.map((_, index) => index).slice(threshold - 1);
  }

  async #keep(): Promise<void> {
    const found = await this.world.store.get(this.owner.id);
    if (found) this.snapshots.unshift(found.value);
  }

  #honestSite(index: number): number {
    return this.honest[index % this.honest.length] ?? 0;
  }

  async take(next: Step): Promise<void> {
    try {
      await this.#perform(next);
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      expect(["internal", "token-failed", "key-missing"]).not.toContain(error.code);
      this.refusals++;
    }
    await this.#keep();
  }

  async #perform(next: Step): Promise<void> {
    const { owner, world } = this;
    switch (next.op) {
      case "register": {
        await owner.register(world.evaluator(this.#honestSite(0)));
        this.generations.set(owner.generation, { shares: owner.shares, proven: [] });
        if (next.announce) await this.#announce(owner.generation);
        return;
      }
      case "recover": {
        if (owner.seq - owner.base >= MAX) return;
        const request = await owner.attempt();
        this.lastToken = request.accountToken;
        for (const site of this.honest) this.#note(site, request);
        await world.evaluator(this.#honestSite(next.at)).evaluate(request);
        this.answers++;
        if (!next.right) return;
        await owner.prove();
        this.generations.get(owner.generation)?.proven.push(owner.seq);
        return;
      }
      case "attack":
        return this.#attack(next);
      case "roll-back": {
        const old = this.snapshots[next.to];
        if (old) await owner.put(old);
        return;
      }
      case "old-announcement":
        return this.#announce(owner.generation - next.back, [this.#honestSite(next.site)]);
      case "lose-guard": {
        const site = this.#honestSite(next.site);
        world.site(site).loseGuard();
        for (const key of this.evaluated.keys()) if (key.startsWith(`${site} `)) this.evaluated.delete(key);
        return;
      }
    }
  }

  async #announce(generation: number, sites: readonly number[] = this.honest): Promise<void> {
    const shares = this.generations.get(generation)?.shares;
    if (!shares) return;
    for (const site of sites) {
      const numbers = sharesOf(site, this.world.sets);
      const held = shares.filter(({ share }) => numbers.includes(share));
      await this.world.site(site).service.announce({ ...this.owner.policy(generation), shares: held });
    }
  }

  async #attack(next: Extract<Step, { op: "attack" }>): Promise<void> {
    const { owner } = this;
    const site = this.#honestSite(next.site);
    const generation = Math.max(1, owner.generation + next.generations);
    const shares = this.generations.get(generation)?.shares ?? owner.shares;
    const proven = this.generations.get(generation)?.proven ?? [];
    // Receipts that were never given cannot be shown; those that were can be shown for any base.
    const base = next.base === 4 ? (proven.at(-1) ?? 0) : next.base;
    const shown = { right: base, older: base - 1, none: 0 }[next.receipt];
    const receipt = proven.includes(shown) ? owner.receipt(shown, generation) : new Uint8Array(64);
    const numbers = sharesOf(site, this.world.sets);
    const token = next.freshToken ? owner.issue("recover") : this.lastToken;
    const request: EvaluateShares = {
      ...owner.policy(generation),
      shares: shares.filter(({ share }) => numbers.includes(share)),
      base,
      seq: next.seq + (next.base === 4 ? base : 0),
      lastReceipt: base === 0 ? new Uint8Array(0) : receipt,
      blindedElement: this.elements[next.element] ?? expect.fail(),
      accountToken: token,
    };
    this.#note(site, request);
    await this.world.site(site).service.evaluate(request);
    this.answers++;
  }

  /** Which number an element may turn up under at the token of `site`. */
  readonly #asked = new Map<string, number>();
  #note(site: number, { generation, seq, blindedElement }: EvaluateShares): void {
    this.#asked.set(`${site} ${generation} ${toHex(blindedElement)}`, seq);
  }

  /** Reads off the tokens what was evaluated since the last look, and checks the bound. */
  check(): void {
    for (const site of this.honest) {
      for (const one of this.world.site(site).steps.splice(0)) {
        if (one.op !== "evaluate-share" || !one.tag) continue;
        const tag = toHex(one.tag.value);
        const element = toHex(one.points[0] ?? expect.fail());
        const [generation] =
          [...this.generations].find(([, { shares }]) => shares.some((share) => toHex(share.tag) === tag)) ??
          expect.fail();
        const seq = this.#asked.get(`${site} ${generation} ${element}`) ?? expect.fail();
        const key = `${site} ${generation}`;
        const known = this.evaluated.get(key) ?? new Map<string, Set<number>>();
        known.set(element, (known.get(element) ?? new Set()).add(seq));
        this.evaluated.set(key, known);
      }
    }
    for (const [key, elements] of this.evaluated) {
      const proven = this.generations.get(Number(key.split(" ")[1]))?.proven ?? [];
      const latest = proven.at(-1) ?? 0;
      const since = [...elements.values()].filter((seqs) => [...seqs].some((seq) => seq > latest));
      expect(since.length, key).toBeLessThanOrEqual(MAX);
      expect(elements.size, key).toBeLessThanOrEqual(latest + MAX);
    }
  }
}

test.each([
  [3, 2],
  [5, 3],
])("n = %i, t = %i: no honest site evaluates more than its guard allows", async (sites, threshold) => {
  let answers = 0;
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
      const attack = new Attack(threshold, sites);
      await attack.take({ op: "register", announce: true });
      for (const next of steps) {
        await attack.take(next);
        attack.check();
      }
      answers += attack.answers;
      refusals += attack.refusals;
    }),
    // Shrinking would take minutes; the steps that are printed say enough.
    { numRuns: 20, endOnFailure: true },
  );
  // What was to be tried did happen.
  expect(answers).toBeGreaterThan(60);
  expect(refusals).toBeGreaterThan(100);
});

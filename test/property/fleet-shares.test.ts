/** Share assignment for every fleet: nothing is left out, nobody gets much more than another, nothing is random. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assignShares, type Candidate, chooseSites, rankSites } from "../../src/fleet/shares.ts";
import { type HolderSet, holderSets, majority } from "../../src/keys/holder-sets.ts";
import { code } from "../support/codes.ts";

interface Fleet {
  readonly n: number;
  readonly t: number;
  readonly sets: readonly HolderSet[];
}

const fleets: readonly Fleet[] = [1, 3, 5, 7].flatMap((n) =>
  Array.from({ length: majority(n) }, (_, i) => ({ n, t: i + 1, sets: holderSets(n, i + 1) })),
);
const anyFleet = fc.constantFrom(...fleets);
const anySpread = fc.nat(2 ** 24 - 1);
const sitesOf = (n: number): number[] => Array.from({ length: n }, (_, site) => site);
const numbersOf = (sets: readonly HolderSet[]): number[] => sets.map(({ share }) => share);

/** Some of `sites`, in any order, so many. */
const some = (sites: readonly number[], size: number): fc.Arbitrary<number[]> =>
  fc.shuffledSubarray([...sites], { minLength: size, maxLength: size });

function subsets(sites: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return sites.flatMap((site, i) => subsets(sites.slice(i + 1), size - 1).map((rest) => [site, ...rest]));
}

describe.each(fleets)("n = $n, t = $t", ({ n, t, sets }) => {
  test("any t sites can be given all shares, any t − 1 miss one", () => {
    for (const sites of subsets(sitesOf(n), t)) {
      const dealt = assignShares(sets, sites, 0).flatMap(({ shares }) => shares);
      expect([...dealt].sort((a, b) => a - b)).toStrictEqual(numbersOf(sets));
    }
    for (const sites of subsets(sitesOf(n), t - 1)) {
      expect(() => assignShares(sets, sites, 0)).toThrow(code("peer-unavailable"));
      expect(() => chooseSites(sets, sites, t)).toThrow(code("peer-unavailable"));
    }
  });
});

test("each share goes to one holder that takes part, and no site gets two more than another", () => {
  const chosen = anyFleet.chain((fleet) =>
    fc
      .integer({ min: fleet.t, max: fleet.n })
      .chain((size) => some(sitesOf(fleet.n), size))
      .map((sites) => ({ ...fleet, sites })),
  );
  fc.assert(
    fc.property(chosen, anySpread, ({ sets, sites, t }, spread) => {
      const assigned = assignShares(sets, sites, spread);
      expect(assignShares(sets, sites, spread)).toStrictEqual(assigned);
      const dealt = assigned.flatMap(({ shares }) => shares);
      expect([...dealt].sort((a, b) => a - b)).toStrictEqual(numbersOf(sets));
      for (const { site, shares } of assigned) {
        expect(sites).toContain(site);
        expect(shares).toStrictEqual([...shares].sort((a, b) => a - b));
        for (const share of shares) expect(sets[share]?.holders).toContain(site);
      }
      if (t === 1) return;
      const loads = sites.map((site) => assigned.find((one) => one.site === site)?.shares.length ?? 0);
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
    }),
    { numRuns: 2_000 },
  );
});

/** The least that the fullest site can have, by trying: for few shares and sites. */
function leastMost(sets: readonly HolderSet[], sites: readonly number[]): number {
  const loads = new Map(sites.map((site) => [site, 0]));
  let least = sets.length;
  const place = (at: number): void => {
    const most = Math.max(...loads.values());
    if (most >= least) return;
    const set = sets[at];
    if (!set) {
      least = most;
      return;
    }
    for (const site of sites.filter((one) => set.holders.includes(one))) {
      loads.set(site, (loads.get(site) ?? 0) + 1);
      place(at + 1);
      loads.set(site, (loads.get(site) ?? 0) - 1);
    }
  };
  place(0);
  return least;
}

test("shares of a site that failed are dealt to the others as evenly as their holders allow", () => {
  const part = anyFleet
    .filter(({ t }) => t > 1)
    .chain((fleet) =>
      fc.record({
        fleet: fc.constant(fleet),
        left: fc.subarray([...fleet.sets], { minLength: 1, maxLength: Math.min(7, fleet.sets.length) }),
        sites: fc.integer({ min: 1, max: fleet.n - 1 }).chain((size) => some(sitesOf(fleet.n), size)),
      }),
    );
  fc.assert(
    fc.property(part, anySpread, ({ left, sites }, spread) => {
      const missing = left.some(({ holders }) => !holders.some((site) => sites.includes(site)));
      if (missing) {
        expect(() => assignShares(left, sites, spread)).toThrow(code("peer-unavailable"));
        return;
      }
      const most = Math.max(...assignShares(left, sites, spread).map(({ shares }) => shares.length));
      expect(most).toBe(leastMost(left, sites));
    }),
    { numRuns: 1_000 },
  );
});

test("over many records every site gets the same", () => {
  const sets = holderSets(5, 3);
  const loads = new Map<number, number>();
  for (let spread = 0; spread < 6_000; spread++)
    for (const { site, shares } of assignShares(sets, [4, 0, 2], spread))
      loads.set(site, (loads.get(site) ?? 0) + shares.length);
  for (const load of loads.values()) expect(load).toBe(20_000);
});

describe("rank", () => {
  const candidate: fc.Arbitrary<Omit<Candidate, "site">> = fc.record({
    live: fc.boolean(),
    expectedMs: fc.double({ min: 0, max: 500, noNaN: true }),
  });

  test("has every site once, and nobody who is not live before one who is", () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 7 }), anySpread, (list, spread) => {
        const candidates = list.map((one, site) => ({ ...one, site }));
        const ranked = rankSites(candidates, spread);
        expect([...ranked].sort((a, b) => a - b)).toStrictEqual(candidates.map(({ site }) => site));
        const live = ranked.map((site) => candidates[site]?.live ?? false);
        expect(live).toStrictEqual([...live].sort((a, b) => Number(b) - Number(a)));
      }),
    );
  });

  test("takes near peers in turn, and far ones by distance", () => {
    const candidates = [2, 3, 80, 4, 30].map((expectedMs, site) => ({ site, live: true, expectedMs }));
    expect(rankSites(candidates, 0)).toStrictEqual([0, 1, 3, 4, 2]);
    expect(rankSites(candidates, 1)).toStrictEqual([1, 3, 0, 4, 2]);
    expect(rankSites(candidates, 2)).toStrictEqual([3, 0, 1, 4, 2]);
  });
});

test("no more sites are chosen than the shares need, and never fewer than the threshold", () => {
  const sets = holderSets(5, 3);
  expect(chooseSites(sets, [3, 1, 4, 0], 3)).toStrictEqual([3, 1, 4]);
  const [first] = sets;
  if (!first) throw new Error("no share");
  expect(first.excluded).toStrictEqual([0, 1]);
  expect(chooseSites([first], [0, 1, 4, 2], 1)).toStrictEqual([0, 1, 4]);
});

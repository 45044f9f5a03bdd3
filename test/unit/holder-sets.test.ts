/** Holder sets: for every fleet, any t sites hold every share and any t−1 miss exactly one. */
import { describe, expect, test } from "vitest";
import { fleetKeys, keysOfSite } from "../../src/keys/fleet-keys.ts";
import { holderSets, majority, sharesOf } from "../../src/keys/holder-sets.ts";

const fleets = [1, 3, 5, 7].flatMap((sites) =>
  Array.from({ length: majority(sites) }, (_, i) => [sites, i + 1] as const),
);

/** Every subset of the sites, as ascending indices. */
const subsets = (sites: number): number[][] =>
  Array.from({ length: 1 << sites }, (_, bits) =>
    Array.from({ length: sites }, (__, site) => site).filter((site) => (bits >> site) & 1),
  );

describe.each(fleets)("%i sites, threshold %i", (sites, threshold) => {
  const sets = holderSets(sites, threshold);
  const held = (group: readonly number[]): Set<number> =>
    new Set(group.flatMap((site) => sharesOf(site, sets)));

  test("any t sites hold every share, any t−1 miss exactly the one that excludes them", () => {
    for (const group of subsets(sites)) {
      if (group.length === threshold) expect(held(group).size).toBe(sets.length);
      if (group.length !== threshold - 1) continue;
      const missed = sets.filter(({ share }) => !held(group).has(share));
      expect(missed.map(({ excluded }) => excluded)).toEqual([group]);
    }
  });

  test("shares are numbered in the lexicographic order of E; holders are the rest", () => {
    expect(sets.map(({ share }) => share)).toEqual(sets.map((_, i) => i));
    const texts = sets.map(({ excluded }) => excluded.join(""));
    expect(texts).toEqual([...texts].sort());
    for (const { excluded, holders } of sets)
      expect([...excluded, ...holders].sort((a, b) => a - b)).toEqual(
        Array.from({ length: sites }, (_, i) => i),
      );
  });

  test("every key that travels is made by one of its holders, the lead site makes ake and record", () => {
    const names = Array.from({ length: sites }, (_, i) => `site-${i}`);
    const shape = { fleet: "f", sites: names, threshold };
    const keys = fleetKeys(shape);
    expect(keys.length).toBe(2 + 2 * sets.length);
    for (const { spec, origin, holders } of keys) {
      expect(origin).toBe(holders[0]);
      const having = names.flatMap((_, site) =>
        keysOfSite(shape, site).some(({ name }) => name === spec.name) ? [site] : [],
      );
      expect(having).toEqual(holders);
      if (!spec.name.startsWith("share")) expect(holders.length).toBe(sites);
    }
  });
});

test("the numbers of design §3", () => {
  expect(
    [holderSets(1, 1), holderSets(3, 2), holderSets(5, 3), holderSets(7, 4)].map((s) => s.length),
  ).toEqual([1, 3, 10, 35]);
  expect(holderSets(3, 2)).toEqual([
    { share: 0, excluded: [0], holders: [1, 2] },
    { share: 1, excluded: [1], holders: [0, 2] },
    { share: 2, excluded: [2], holders: [0, 1] },
  ]);
});

test.each([
  [0, 1],
  [2, 1],
  [4, 2],
  [9, 5],
  [3, 0],
  [3, 3],
  [5, 4],
  [5, 1.5],
  [3, Number.NaN],
])("%d sites with threshold %d are refused", (sites, threshold) => {
  expect(() => holderSets(sites, threshold)).toThrowError(
    expect.objectContaining({ code: "config-invalid" }),
  );
});

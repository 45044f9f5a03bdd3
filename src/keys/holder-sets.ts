/**
 * Which sites hold which share (design §3). For every set E of t−1 sites there is one share, held by the sites
 * that are not in E: any t sites hold all shares between them, and any t−1 sites are the E of one that they miss.
 * Sites and shares are counted from 0; shares go by the lexicographic order of E.
 */
import { StrongroomError } from "../base/errors.ts";
import { FLEET_SIZES } from "../wire/manifest.ts";

export interface HolderSet {
  readonly share: number;
  /** E: the t−1 sites that never have it, ascending. */
  readonly excluded: readonly number[];
  /** All other sites, ascending. */
  readonly holders: readonly number[];
}

/** Sites that are a majority: the largest threshold, and the usual one. */
export function majority(sites: number): number {
  return Math.floor(sites / 2) + 1;
}

/** The subsets of `size` of the numbers from `first` below `end`, each ascending, in lexicographic order. */
function subsets(first: number, end: number, size: number): readonly (readonly number[])[] {
  if (size === 0) return [[]];
  const starts = Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
  return starts.flatMap((start) => subsets(start + 1, end, size - 1).map((rest) => [start, ...rest]));
}

/**
 * @param sites 1, 3, 5 or 7
 * @param threshold t: 1 (every site holds the only share) to the majority
 * @returns C(sites, threshold − 1) sets, in the order of their shares
 * @throws config-invalid
 */
export function holderSets(sites: number, threshold: number): readonly HolderSet[] {
  if (!FLEET_SIZES.includes(sites))
    throw new StrongroomError("config-invalid", `a fleet cannot have ${sites} sites`, {
      hint: `write ${FLEET_SIZES.slice(0, -1).join(", ")} or ${FLEET_SIZES.at(-1)}`,
    });
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > majority(sites))
    throw new StrongroomError("config-invalid", `${sites} sites cannot have the threshold ${threshold}`, {
      hint: `write a whole number from 1 to ${majority(sites)}`,
    });
  const all = Array.from({ length: sites }, (_, site) => site);
  return subsets(0, sites, threshold - 1).map((excluded, share) => ({
    share,
    excluded,
    holders: all.filter((site) => !excluded.includes(site)),
  }));
}

/** The shares that a site holds, ascending. */
export function sharesOf(site: number, sets: readonly HolderSet[]): readonly number[] {
  return sets.filter(({ holders }) => holders.includes(site)).map(({ share }) => share);
}

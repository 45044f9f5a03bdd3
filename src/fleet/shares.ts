/**
 * Who evaluates which share of a request: each share goes to exactly one of the sites that take part, and none
 * gets two more than another where the holder sets allow it. The same record and the same sites give the same
 * assignment, so that a repetition meets the sites that know it already; another record gets another one, so that
 * the odd share and the choice between equally near peers spread over all sites.
 */
import { StrongroomError } from "../base/errors.ts";
import type { HolderSet } from "../keys/holder-sets.ts";

/** What a coordinator knows of a site when it chooses whom to ask. */
export interface Candidate {
  readonly site: number;
  /** It is expected to answer, and owes no overdue answer. */
  readonly live: boolean;
  /** How long an answer usually takes, milliseconds. */
  readonly expectedMs: number;
}

export interface Assignment {
  readonly site: number;
  /** Ascending numbers; never empty. */
  readonly shares: readonly number[];
}

/** Peers within this of the nearest are as good as the nearest: asking them in turn spreads the load. */
const NEAR = { factor: 2, milliseconds: 2 } as const;

/** A number that differs from record to record: the first bytes of its id, which is a MAC. */
export function spreadOf(recordId: Uint8Array): number {
  return (recordId[0] ?? 0) * 65_536 + (recordId[1] ?? 0) * 256 + (recordId[2] ?? 0);
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** Near peers in an order that varies with `spread`, then the others by distance, then those that are not live. */
export function rankSites(candidates: readonly Candidate[], spread: number): readonly number[] {
  const live = candidates.filter((one) => one.live);
  const nearest = Math.min(...live.map(({ expectedMs }) => expectedMs));
  const limit = NEAR.factor * nearest + NEAR.milliseconds;
  const bySite = (a: Candidate, b: Candidate): number => a.site - b.site;
  const near = live.filter(({ expectedMs }) => expectedMs <= limit).sort(bySite);
  const far = live.filter((one) => !near.includes(one));
  const rest = candidates.filter((one) => !one.live).sort(bySite);
  far.sort((a, b) => a.expectedMs - b.expectedMs || bySite(a, b));
  return [...rotated(near, spread), ...far, ...rotated(rest, spread)].map(({ site }) => site);
}

/**
 * Moves one share along a chain of sites from the fullest to one that has two less, each link a share that the next
 * site holds as well. Without such a chain the loads are as even as the sets allow.
 *
 * @returns whether there was one
 */
function levelOnce(owners: Map<HolderSet, number>, sites: readonly number[]): boolean {
  const load = new Map(sites.map((site) => [site, 0]));
  for (const owner of owners.values()) load.set(owner, (load.get(owner) ?? 0) + 1);
  const loadOf = (site: number): number => load.get(site) ?? 0;
  const most = Math.max(...load.values());
  for (const fullest of sites.filter((site) => loadOf(site) === most)) {
    /** How each site was reached: the share that it would take, and from whom. */
    const reached = new Map<number, { readonly set: HolderSet; readonly from: number }>();
    const queue = [fullest];
    for (let from = queue.shift(); from !== undefined; from = queue.shift()) {
      if (loadOf(from) <= most - 2) {
        for (let site = from; site !== fullest; ) {
          const step = reached.get(site);
          if (!step) break;
          owners.set(step.set, site);
          site = step.from;
        }
        return true;
      }
      for (const [set, owner] of owners) {
        if (owner !== from) continue;
        for (const site of sites) {
          if (site === fullest || reached.has(site) || !set.holders.includes(site)) continue;
          reached.set(site, { set, from });
          queue.push(site);
        }
      }
    }
  }
  return false;
}

/**
 * Deals the shares of `sets` to `sites`, the first of which are preferred where the choice is free.
 *
 * @param sets  the shares to be dealt
 * @param sites those that take part
 * @returns who gets something, in the order of `sites`
 * @throws peer-unavailable where a share has no holder among the sites
 */
export function assignShares(
  sets: readonly HolderSet[],
  sites: readonly number[],
  spread: number,
): readonly Assignment[] {
  const order = rotated(sites, spread);
  const owners = new Map<HolderSet, number>();
  const count = new Map(sites.map((site) => [site, 0]));
  const choice = (set: HolderSet): readonly number[] => order.filter((site) => set.holders.includes(site));
  const scarcestFirst = [...sets].sort((a, b) => choice(a).length - choice(b).length || a.share - b.share);
  for (const set of scarcestFirst) {
    const [first, ...others] = choice(set);
    if (first === undefined)
      throw new StrongroomError("peer-unavailable", `no site that answers holds share ${set.share}`);
    const loadOf = (site: number): number => count.get(site) ?? 0;
    const owner = others.reduce((best, site) => (loadOf(site) < loadOf(best) ? site : best), first);
    owners.set(set, owner);
    count.set(owner, loadOf(owner) + 1);
  }
  while (levelOnce(owners, sites));
  return sites.flatMap((site) => {
    const shares = sets.filter((set) => owners.get(set) === site).map(({ share }) => share);
    return shares.length === 0 ? [] : [{ site, shares }];
  });
}

/**
 * The sites that take part, `ranked` being all that may: as few of the first ones as hold all of `sets` between
 * them, and at least `threshold`, since with fewer sites the shares would not be spread.
 *
 * @throws peer-unavailable where all of them together miss a share
 */
export function chooseSites(
  sets: readonly HolderSet[],
  ranked: readonly number[],
  threshold: number,
): readonly number[] {
  const held = (sites: readonly number[]): boolean =>
    sets.every(({ holders }) => holders.some((site) => sites.includes(site)));
  for (let size = Math.min(threshold, ranked.length); size <= ranked.length; size++)
    if (held(ranked.slice(0, size))) return ranked.slice(0, size);
  throw new StrongroomError("peer-unavailable", "too few sites answer to hold every share between them");
}

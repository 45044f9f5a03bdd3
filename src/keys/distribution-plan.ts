/**
 * What is left to be done in a fleet's tokens, decided from what they hold: so a distribution that was interrupted
 * anywhere goes on where it stopped, and one that can never be completed is refused before anything is touched.
 */
import { StrongroomError } from "../base/errors.ts";
import type { KeyName } from "../token/token.ts";
import { type FleetKey, type FleetShape, fleetKeys } from "./fleet-keys.ts";
import type { KeyReport } from "./provision.ts";
import { ROLES } from "./roles.ts";
import type { SiteSurvey } from "./survey.ts";

/** One key that still has to reach some of its holders. */
export interface Delivery {
  readonly key: FleetKey;
  /** Its original is not there yet. */
  readonly make: boolean;
  /** Indices of the sites that it has to be brought to. */
  readonly to: readonly number[];
}

/** Names of keys to be destroyed, by the index of the site. */
export type Discards = readonly (readonly KeyName[])[];

export interface DistributionPlan {
  /** Sites that lack keys which never leave a token. */
  readonly siteKeys: readonly number[];
  readonly deliveries: readonly Delivery[];
  /** What an interrupted run left unfit, and can be had again. */
  readonly discardKeys: Discards;
  readonly discardOriginals: Discards;
  /** Originals, transport keys or trusted copies are there. */
  readonly unsealed: boolean;
}

/** Is there nothing to do? */
export function isComplete({ siteKeys, deliveries, unsealed }: DistributionPlan): boolean {
  return siteKeys.length === 0 && deliveries.length === 0 && !unsealed;
}

const ERASE =
  "for a fleet that is not in use yet: erase its tokens (`strongroom token init --force-erase LABEL`) and begin again";

function stateOf(reports: readonly KeyReport[], name: KeyName): KeyReport["state"] {
  return reports.find((report) => report.name === name)?.state ?? "missing";
}
const unfit = (state: KeyReport["state"]): boolean => state !== "ok" && state !== "missing";

/**
 * @param surveys one per site, in their order
 * @throws key-drift where a token holds something that the fleet's plan does not explain; key-missing where a key is
 *   sealed already and a holder lacks it
 */
export function planDistribution(shape: FleetShape, surveys: readonly SiteSurvey[]): DistributionPlan {
  const nameOf = (site: number): string => shape.sites[site] ?? `${site}`;
  for (const [site, { foreign }] of surveys.entries())
    if (foreign.length > 0)
      throw new StrongroomError(
        "key-drift",
        `${nameOf(site)} holds what it must not: ${foreign.join(", ")}`,
        {
          hint: `another order of the sites, or another threshold? nothing was made or changed; ${ERASE}`,
        },
      );
  const travelling = shape.sites.length === 1 ? [] : fleetKeys(shape);
  const kept = surveys.map(({ keys }) =>
    keys.filter(({ name }) => !travelling.some(({ spec }) => spec.name === name)),
  );
  for (const [site, reports] of kept.entries())
    for (const report of reports) if (!isHalfMade(report)) requireFit(nameOf(site), report);

  const discardKeys: KeyName[][] = surveys.map(() => []);
  const discardOriginals: KeyName[][] = surveys.map(() => []);
  const deliveries = travelling.flatMap((key): Delivery[] => {
    const { spec, origin, holders } = key;
    const states = holders.map((site) => ({ site, state: stateOf(surveys[site]?.keys ?? [], spec.name) }));
    const without = states.filter(({ state }) => state !== "ok");
    const original = stateOf(surveys[origin]?.originals ?? [], spec.name);
    if (original !== "ok") {
      if (without.length === 0) {
        if (unfit(original)) discardOriginals[origin]?.push(spec.name);
        return [];
      }
      const wrong = states.find(({ state }) => unfit(state));
      const report = surveys[wrong?.site ?? 0]?.keys.find(({ name }) => name === spec.name);
      if (wrong && report) requireFit(nameOf(wrong.site), report);
      if (without.length < holders.length)
        throw new StrongroomError(
          "key-missing",
          `${without.map(({ site }) => nameOf(site)).join(", ")} lack ${spec.name}, which is sealed at other sites`,
          { hint: `a sealed key can be brought to no other token; ${ERASE}`, details: { key: spec.name } },
        );
      if (unfit(original)) discardOriginals[origin]?.push(spec.name);
      return [{ key, make: true, to: holders }];
    }
    // With the original there, what an interrupted import left can be had again.
    for (const { site, state } of without) if (unfit(state)) discardKeys[site]?.push(spec.name);
    return without.length === 0 ? [] : [{ key, make: false, to: without.map(({ site }) => site) }];
  });
  return {
    siteKeys: kept.flatMap((reports, site) =>
      reports.some((report) => report.state === "missing" || isHalfMade(report)) ? [site] : [],
    ),
    deliveries,
    discardKeys,
    discardOriginals,
    unsealed: surveys.some(
      ({ originals, temporary }) =>
        temporary.length > 0 || originals.some(({ state }) => state !== "missing"),
    ),
  };
}

/**
 * A public half whose private one was never written: the token was stopped in the middle of making a pair. There is
 * nothing in it to lose, so it may be made again, unless it was published.
 */
export function isHalfMade({ state, absent }: KeyReport): boolean {
  return state === "broken" && absent === "private key";
}

function requireFit(site: string, { name, state, drift, problem }: KeyReport): void {
  if (!unfit(state)) return;
  const how = problem ?? [...new Set(drift.map(({ attribute }) => attribute))].join(", ");
  throw new StrongroomError(
    "key-drift",
    `${site}: the key ${name} is not as it should be: ${state}, ${how}`,
    {
      hint: `nothing was made or changed; \`strongroom token inventory\` shows the token; ${ERASE}`,
      details: { site, key: name },
    },
  );
}

/** EC keys need a carrier. */
export function needsCarrier({ key }: Delivery): boolean {
  return ROLES[key.spec.role].type === "ec-p256";
}

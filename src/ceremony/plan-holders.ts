/** Who holds which keys of the fleet, for people who approve a plan. */
import { fleetKeys } from "../keys/fleet-keys.ts";
import { holderSets } from "../keys/holder-sets.ts";
import { type CeremonyPlan, membersOf } from "./plan.ts";
import { shapeOf } from "./steps.ts";

export interface KeyHolders {
  /** `share 3`, or `fleet keys` for those that everybody holds. */
  readonly what: string;
  /** The names of the keys. */
  readonly keys: readonly string[];
  /** The site that makes them. */
  readonly origin: string;
  /** Sites and spares. */
  readonly holders: readonly string[];
  /** Sites that never have them. */
  readonly without: readonly string[];
}

/** First the keys of everybody, then one entry for each share, in their order. */
export function holdersOf(plan: CeremonyPlan): readonly KeyHolders[] {
  const members = membersOf(plan);
  const sites = plan.sites.map(({ name }) => name);
  const keys = fleetKeys(shapeOf(plan));
  const entry = (what: string, holds: (key: string) => boolean, seats: readonly number[]): KeyHolders => ({
    what,
    keys: keys.filter(({ spec }) => holds(spec.name)).map(({ spec }) => spec.name),
    origin: sites[seats[0] ?? 0] ?? "",
    holders: members.filter(({ seat }) => seats.includes(seat)).map(({ name }) => name),
    without: sites.filter((_, seat) => !seats.includes(seat)),
  });
  return [
    entry(
      "fleet keys",
      (key) => !key.includes("."),
      sites.map((_, seat) => seat),
    ),
    ...holderSets(plan.sites.length, plan.threshold).map(({ share, holders }) =>
      entry(`share ${share}`, (key) => key.endsWith(`.${share}`), holders),
    ),
  ];
}

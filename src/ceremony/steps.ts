/**
 * The steps of a ceremony, in order, decided by the plan alone. Each is taken at one station (one token) and leaves one
 * signed statement; the files of the statements that it needs are all that passes between stations, so stations may
 * be far apart and without a network. Script, dry run, run and verifier read the same list.
 */
import { StrongroomError } from "../base/errors.ts";
import type { FleetShape } from "../keys/fleet-keys.ts";
import { fleetKeys } from "../keys/fleet-keys.ts";
import { type CeremonyPlan, type Member, membersOf, ROOT } from "./plan.ts";

export type ActionName =
  /** Tool, module and token as they are found. */
  | "open"
  /** C_InitToken and C_InitPIN: destroys what was there. The new PINs are tried. */
  | "initialise"
  /** The root's pair and its certificate. */
  | "make-root"
  /** Identity and session pairs; the inventory before and after. */
  | "make-site-keys"
  /** At the root: certificates for identities, after officers compared fingerprints; the challenge of all proofs. */
  | "certify"
  | "make-transport"
  /** As security officer, after officers compared fingerprints: transport keys of the destinations are trusted. */
  | "trust"
  | "make-originals"
  | "export"
  | "import"
  /** At the root, when all have imported: nonce and points that nobody could know before. */
  | "challenge"
  /** Every key answers the challenge. */
  | "prove"
  /** At the root: the answers agree, possession is proved; only then anything is sealed. */
  | "compare"
  /** Destroys originals, by the proofs. */
  | "destroy-originals"
  | "remove-transport"
  | "remove-trusted"
  /** What sealed keys must refuse is tried; the inventory and every attribute are read. */
  | "verify"
  /** The security officer's PIN becomes one that nobody knows, or that custodians know together. */
  | "seal-credentials"
  /** At the retired site: its fleet keys are destroyed. */
  | "destroy-keys"
  /** At the root: the manifest, signed. */
  | "manifest"
  /** The transcript ends; its head is signed. */
  | "close";

export interface CeremonyStep {
  /** `07.site-b.import`: unique, and in the order of the list. */
  readonly id: string;
  readonly action: ActionName;
  /** `root`, or the name of a site or spare. */
  readonly station: string;
  /** Ids of the steps whose statements it reads, beside those of its own station. */
  readonly needs: readonly string[];
}

/** What has gone before, for `needs`. */
class StepList {
  readonly steps: CeremonyStep[] = [];

  add(action: ActionName, stations: readonly string[], needs: readonly ActionName[] = []): void {
    const required = this.steps.filter((step) => needs.includes(step.action)).map(({ id }) => id);
    for (const station of stations) {
      const number = String(this.steps.length + 1).padStart(3, "0");
      this.steps.push({ id: `${number}.${station}.${action}`, action, station, needs: required });
    }
  }
}

export function shapeOf(plan: CeremonyPlan): FleetShape {
  const { fleet, threshold, sites } = plan;
  const spares = membersOf(plan)
    .filter(({ isSpare }) => isSpare)
    .map(({ name, seat }) => ({ name, seat }));
  return { fleet, threshold, sites: sites.map(({ name }) => name), spares };
}

/** Members that wrap keys for others: the sites at which some fleet key is made. */
export function originsOf(plan: CeremonyPlan): readonly Member[] {
  if (isAlone(plan)) return [];
  const origins = new Set(fleetKeys(shapeOf(plan)).map(({ origin }) => origin));
  return membersOf(plan).filter(({ seat, isSpare }) => !isSpare && origins.has(seat));
}

/** A fleet of one token: its keys are born sealed, and nothing travels. */
export function isAlone(plan: CeremonyPlan): boolean {
  return membersOf(plan).length === 1;
}

function create(plan: CeremonyPlan): StepList {
  const list = new StepList();
  const members = membersOf(plan).map(({ name }) => name);
  const origins = originsOf(plan).map(({ name }) => name);
  const everywhere = [ROOT, ...members];
  list.add("open", everywhere);
  list.add("initialise", everywhere);
  list.add("make-root", [ROOT]);
  list.add("make-site-keys", members);
  list.add("certify", [ROOT], ["make-site-keys"]);
  if (!isAlone(plan)) {
    list.add("make-transport", members, ["certify"]);
    list.add("trust", origins, ["make-transport", "certify"]);
    list.add("make-originals", origins);
    list.add("export", origins, ["make-transport", "certify"]);
    list.add("import", members, ["export", "certify"]);
  }
  list.add("challenge", [ROOT], ["import"]);
  list.add("prove", members, ["challenge"]);
  list.add("compare", [ROOT], ["prove"]);
  if (!isAlone(plan)) {
    list.add("destroy-originals", origins, ["compare", "challenge", "prove"]);
    list.add("remove-transport", members, ["compare"]);
    list.add("remove-trusted", origins, ["compare"]);
  }
  list.add("verify", members, ["compare"]);
  list.add("seal-credentials", everywhere);
  list.add("manifest", [ROOT], ["verify", "prove", "make-site-keys", "seal-credentials"]);
  list.add("close", everywhere, ["manifest"]);
  return list;
}

/** The other sites go on serving; one of them that answers is enough to show that the spare has the fleet's keys. */
function replace(plan: CeremonyPlan): StepList {
  const list = new StepList();
  const spare = plan.change?.spare ?? "";
  list.add("open", [ROOT, spare]);
  list.add("challenge", [ROOT]);
  list.add("prove", [spare], ["challenge"]);
  list.add("compare", [ROOT], ["prove"]);
  list.add("verify", [spare], ["compare"]);
  list.add("manifest", [ROOT], ["verify", "prove"]);
  list.add("close", [ROOT, spare], ["manifest"]);
  return list;
}

/** The manifest goes first: the fleet must know that it lives without the site before the keys are gone. */
function retire(plan: CeremonyPlan): StepList {
  const list = new StepList();
  const site = plan.change?.site ?? "";
  list.add("open", [ROOT, site]);
  list.add("manifest", [ROOT], ["open"]);
  list.add("destroy-keys", [site], ["manifest"]);
  list.add("close", [ROOT, site], ["destroy-keys"]);
  return list;
}

const STEPS = { create, replace, retire } as const;

/** @param plan one that `checkPlan` has passed */
export function stepsOf(plan: CeremonyPlan): readonly CeremonyStep[] {
  return STEPS[plan.kind](plan).steps;
}

/** All, or those of one station. @throws usage for a station that takes no step */
export function stepsAt(
  steps: readonly CeremonyStep[],
  station: string | undefined,
): readonly CeremonyStep[] {
  const own = steps.filter((step) => station === undefined || step.station === station);
  if (own.length > 0) return own;
  throw new StrongroomError("usage", `${station} takes no step of this ceremony`, {
    hint: `its stations: ${[...new Set(steps.map((step) => step.station))].join(", ")}`,
  });
}

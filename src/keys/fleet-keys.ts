/**
 * The keys of a fleet of several sites: which travel, where each is made, who holds it, and what everything that
 * exists only for the distribution is called. All of it is under `strongroom/<fleet>/`, so that what an interrupted
 * distribution left behind is found by its label.
 */
import { type HolderSet, holderSets, sharesOf } from "./holder-sets.ts";
import { type KeySpec, ROLES, vaultKeys } from "./roles.ts";

/**
 * Sites are named in the manifest's order; a site's index in it is its number in holder sets. A spare is a token that
 * gets what the site of its seat gets, so that it can take its place; sites and spares together are the members.
 */
export interface FleetShape {
  readonly fleet: string;
  readonly sites: readonly string[];
  readonly threshold: number;
  readonly spares?: readonly Spare[] | undefined;
}

export interface Spare {
  readonly name: string;
  /** Index of the site whose keys it holds. */
  readonly seat: number;
}

/** One key that travels. */
export interface FleetKey {
  readonly spec: KeySpec;
  /** The site that makes it: the first of its holders, so that a site without it never had it. */
  readonly origin: number;
  /** Every site that shall have it, its origin too, ascending; so shall the spares of these sites. */
  readonly holders: readonly number[];
}

/** Is there one token only? Its keys are born sealed, and nothing travels. */
export function isAlone({ sites, spares = [] }: FleetShape): boolean {
  return sites.length + spares.length === 1;
}

/** Names of the members that shall have a key: the sites in their order, then the spares in theirs. */
export function holdersOf({ sites, spares = [] }: FleetShape, { holders }: FleetKey): readonly string[] {
  return [
    ...sites.filter((_, site) => holders.includes(site)),
    ...spares.filter(({ seat }) => holders.includes(seat)).map(({ name }) => name),
  ];
}

/** @throws config-invalid for a number of sites or a threshold that no fleet can have */
function setsOf({ sites, threshold }: FleetShape): readonly HolderSet[] {
  return holderSets(sites.length, threshold);
}

/** What the token of a site holds in the running fleet. */
export function keysOfSite(shape: FleetShape, site: number): readonly KeySpec[] {
  return vaultKeys(shape.fleet, sharesOf(site, setsOf(shape)));
}

/** Every key of the fleet that lives in more than one token: made by the lead site, or by the first of a holder set. */
export function fleetKeys(shape: FleetShape): readonly FleetKey[] {
  const sets = setsOf(shape);
  const all = shape.sites.map((_, site) => site);
  return vaultKeys(
    shape.fleet,
    sets.map(({ share }) => share),
  )
    .filter(({ role }) => ROLES[role].life === "sealed")
    .map((spec) => {
      const holders = sets.find(({ share }) => spec.name.endsWith(`.${share}`))?.holders ?? all;
      return { spec, origin: holders[0] ?? 0, holders };
    });
}

/** The open original of a key that travels: a label of its own, so that no vault ever takes it for the sealed key. */
export function originalOf(spec: KeySpec): KeySpec {
  return { ...spec, label: `${spec.label}/original` };
}

/** The RSA pair under whose public half keys come to a site. */
export function transportKey(fleet: string): KeySpec {
  return { name: "transport", role: "transport", label: `strongroom/${fleet}/transport` };
}

/** CKA_LABEL, in the token of an origin, of the trusted copy of a site's transport public key. */
export function trustedLabel(fleet: string, site: string): string {
  return `strongroom/${fleet}/transport/${site}`;
}

/** CKA_LABEL, in the token of an origin, of the one-time AES key that carries EC keys to a site. */
export function carrierLabel(fleet: string, site: string): string {
  return `strongroom/${fleet}/carrier/${site}`;
}

/** All labels of trusted copies and carriers that a distribution of this shape makes. */
export function trustedLabels({ fleet, sites, spares = [] }: FleetShape): readonly string[] {
  return [...sites, ...spares.map(({ name }) => name)].flatMap((member) => [
    trustedLabel(fleet, member),
    carrierLabel(fleet, member),
  ]);
}

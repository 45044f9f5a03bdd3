/** What a site's token holds of a fleet, looked at without changing anything: where a distribution stands. */
import type { Profile } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import {
  type FleetShape,
  fleetKeys,
  keysOfSite,
  originalOf,
  transportKey,
  trustedLabels,
} from "./fleet-keys.ts";
import { objectsOfFleet } from "./fleet-objects.ts";
import { type KeyReport, provision } from "./provision.ts";
import { stageInService } from "./templates.ts";

export interface SiteSurvey {
  readonly token: { readonly label: string; readonly serial: string };
  /** The keys that the site shall hold. */
  readonly keys: readonly KeyReport[];
  /** The originals that the site makes, under the names of their keys. */
  readonly originals: readonly KeyReport[];
  /** Labels of transport keys, trusted copies and carriers. */
  readonly temporary: readonly string[];
  /** Labels under the fleet's prefix that nothing accounts for, such as a share of sites that this one is not of. */
  readonly foreign: readonly string[];
}

/** @param session logged in as the user @param site the site's index @throws token errors */
export function surveySite(
  session: TokenSession,
  profile: Profile,
  shape: FleetShape,
  site: number,
): SiteSurvey {
  const { fleet } = shape;
  const own = keysOfSite(shape, site);
  const keys = provision(session, profile, own, {
    dryRun: true,
    stage: ({ role }) => stageInService(role, shape.sites.length),
  });
  const made = shape.sites.length === 1 ? [] : fleetKeys(shape).filter(({ origin }) => origin === site);
  const originals = provision(
    session,
    profile,
    made.map(({ spec }) => originalOf(spec)),
    { dryRun: true, stage: () => "open" },
  );
  const labels = [...new Set(objectsOfFleet(session, fleet).map(({ label }) => label))].sort();
  const trusted = trustedLabels(shape);
  const isTemporary = (label: string): boolean =>
    label === transportKey(fleet).label || trusted.includes(label);
  const known = new Set([...keys, ...originals].map(({ label }) => label));
  const { label, serial } = session.info();
  return {
    token: { label, serial },
    keys,
    originals,
    temporary: labels.filter(isTemporary),
    foreign: labels.filter((other) => !known.has(other) && !isTemporary(other)),
  };
}

/** What the token of one site must hold, by the fleet's manifest: for those who check a token that is in service. */
import { StrongroomError } from "../base/errors.ts";
import type { Manifest } from "../wire/manifest.ts";
import { keysOfSite } from "./fleet-keys.ts";
import type { KeySpec } from "./roles.ts";
import { type Stage, stageInService } from "./templates.ts";

export interface MemberKeys {
  readonly keys: readonly KeySpec[];
  readonly stage: (key: KeySpec) => Stage;
}

/** @param site its name; not needed in a fleet of one @throws usage where the manifest has no such site */
export function memberKeys(manifest: Manifest, site?: string): MemberKeys {
  const { fleet, policy, sites } = manifest;
  const names = sites.map(({ name }) => name);
  const index = site === undefined && names.length === 1 ? 0 : names.indexOf(site ?? "");
  if (index < 0)
    throw new StrongroomError("usage", `the manifest has no site ${site ?? "without a name"}`, {
      hint: `name one by --site: ${names.join(", ")}`,
    });
  return {
    keys: keysOfSite({ fleet, sites: names, threshold: policy.threshold }, index),
    stage: ({ role }) => stageInService(role, names.length),
  };
}

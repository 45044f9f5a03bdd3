/**
 * The page's build puts this in the place of src/token/profile-file.ts: the profiles of hsm-config/profiles as they were
 * when the page was built. A plan that names a profile by path is not one that anybody elsewhere can check.
 */
import { StrongroomError } from "../../base/errors.ts";
import type { Profile } from "../../token/profile.ts";
import { parseProfile } from "../../token/profile-schema.ts";

/** YAML texts by name; the build writes them here. */
declare const STRONGROOM_PROFILES: Readonly<Record<string, string>>;

/** @throws profile-invalid */
export function loadProfile(name: string): Profile {
  const text = Object.hasOwn(STRONGROOM_PROFILES, name) ? STRONGROOM_PROFILES[name] : undefined;
  if (text !== undefined) return parseProfile(text, `hsm-config/profiles/${name}.yaml`);
  throw new StrongroomError("profile-invalid", `no token profile ${name}`, {
    hint: `known profiles: ${Object.keys(STRONGROOM_PROFILES).join(", ")}`,
  });
}

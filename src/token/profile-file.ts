/** Reads a profile: by name from hsm-config/profiles, or by path. */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { StrongroomError } from "../base/errors.ts";
import type { Profile } from "./profile.ts";
import { parseProfile } from "./profile-schema.ts";

/** From src/token as from dist/token, the package's root is two folders up. */
const DIRECTORY: URL = new URL("../../hsm-config/profiles/", import.meta.url);

/** The names that `loadProfile` knows. */
export function profileNames(): readonly string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/**
 * @param nameOrPath `softhsm2`, or the path of a YAML file (anything with a slash or ending in .yaml)
 * @throws profile-invalid
 */
export function loadProfile(nameOrPath: string): Profile {
  const isPath = nameOrPath.includes("/") || nameOrPath.endsWith(".yaml");
  const file = isPath ? nameOrPath : fileURLToPath(new URL(`${nameOrPath}.yaml`, DIRECTORY));
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new StrongroomError("profile-invalid", `no token profile ${nameOrPath}`, {
      cause,
      hint: `known profiles: ${profileNames().join(", ")}; or give the path of a YAML file`,
    });
  }
  return parseProfile(text, isPath ? file : `hsm-config/profiles/${basename(file)}`);
}

/**
 * The profile for a module by the name of its file, for those who did not say `--profile`.
 * @throws profile-invalid where no profile, or more than one, knows such a file
 */
export function profileForModule(path: string): Profile {
  const found = profileNames()
    .map(loadProfile)
    .filter(({ modules }) => {
      const known = modules.value === "unknown" ? [] : modules.value;
      return known.some((candidate) => basename(candidate) === basename(path));
    });
  const [profile, other] = found;
  if (profile && !other) return profile;
  throw new StrongroomError("profile-invalid", `no single token profile is about ${basename(path)}`, {
    hint: `name one by --profile: ${(other ? found.map(({ name }) => name) : profileNames()).join(", ")}`,
  });
}

/**
 * `initFleet` for tokens that can all be reached from this machine, which is right for test fleets only: whoever has
 * all PINs in one place has the fleet. So it is refused for hardware; there the ceremony takes the same steps.
 */
import { existsSync } from "node:fs";
import { StrongroomError } from "../base/errors.ts";
import { loadProfile } from "../token/profile-file.ts";
import type { Manifest } from "../wire/manifest.ts";
import { type FleetInitOptions, type FleetInitResult, initFleet } from "./fleet-init.ts";
import type { FleetShape } from "./fleet-keys.ts";
import { type ManifestFile, publishManifest } from "./manifest-file.ts";
import { manifestOf } from "./manifest-of.ts";
import { SiteProcess, type SiteToken } from "./site-process.ts";
import { SOFTWARE } from "./software-tokens.ts";

export interface FleetTokenSite {
  readonly name: string;
  /** Where clients reach the site. */
  readonly url: string;
  readonly token: SiteToken & {
    /** What its PKCS#11 module needs in the environment, e.g. SOFTHSM2_CONF. */
    readonly env?: Readonly<Record<string, string>> | undefined;
  };
}

export interface FleetTokens {
  readonly fleet: string;
  readonly threshold: number;
  readonly maxAttempts: number;
  /** Path of the manifest, which is written when all is sealed and equal. */
  readonly manifest: string;
  /** In the order that numbers them in holder sets. */
  readonly sites: readonly FleetTokenSite[];
}

export interface FleetTokensResult extends FleetInitResult {
  /** What was written, or was there; undefined in a dry run. */
  readonly published: { readonly manifest: Manifest; readonly file: ManifestFile } | undefined;
}

/** @throws token-unsuitable */
function requireSoftware(site: FleetTokenSite): void {
  const { name, device } = loadProfile(site.token.profile);
  if (SOFTWARE.includes(name)) return;
  throw new StrongroomError("token-unsuitable", `the token of ${site.name} is hardware (${device})`, {
    hint: "`fleet init` is for test fleets on software tokens; a key ceremony takes hardware through the same steps",
  });
}

/**
 * @throws token-unsuitable for hardware; what `initFleet` and `publishManifest` throw
 */
export async function initFleetTokens(
  config: FleetTokens,
  options: Omit<FleetInitOptions, "published"> = {},
): Promise<FleetTokensResult> {
  for (const site of config.sites) requireSoftware(site);
  const { fleet, threshold, maxAttempts } = config;
  const shape: FleetShape = { fleet, threshold, sites: config.sites.map(({ name }) => name) };
  const processes: SiteProcess[] = [];
  try {
    for (const [site, { token }] of config.sites.entries()) {
      const { uri, soPinSource, profile, env } = token;
      processes.push(new SiteProcess({ token: { uri, soPinSource, profile }, shape, site }, env));
    }
    const published = existsSync(config.manifest);
    const result = await initFleet(shape, processes, { ...options, published });
    if (options.dryRun) return { ...result, published: undefined };
    const manifest = manifestOf({
      fleet,
      threshold,
      maxAttempts,
      createdAt: Date.now(),
      sites: config.sites.map(({ name, url }, site) => ({
        name,
        url,
        tokenSerial: result.surveys[site]?.token.serial ?? "",
        publicKeys: result.publicKeys[site] ?? new Map(),
      })),
    });
    return { ...result, published: { manifest, file: await publishManifest(config.manifest, manifest) } };
  } finally {
    await Promise.all(processes.map((process) => process.close()));
  }
}

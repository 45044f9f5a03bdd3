/** What a configuration and the files that it names say together: the site's place in its fleet. */
import { readFileSync } from "node:fs";
import { StrongroomError } from "../base/errors.ts";
import { readJwksFile } from "../vault/issuer-keys.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { type SiteKeys, siteKeys } from "./key-proof.ts";

export interface Site {
  readonly manifest: Manifest;
  /** As read: what /v1/fleet serves and clients pin. */
  readonly manifestBytes: Uint8Array;
  readonly keys: SiteKeys;
  /** The shares whose keys this site's token holds. */
  readonly shares: readonly number[];
}

/** `details.key` names the key of the configuration that is to be mended. */
function disagreement(key: string, message: string, hint: string): StrongroomError {
  return new StrongroomError("config-invalid", `${key}: ${message}`, { hint, details: { key } });
}

function readManifest(path: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (cause) {
    throw new StrongroomError("config-invalid", `manifest: ${path} cannot be read`, {
      cause,
      hint: "strongroom token provision writes the manifest of a fleet of one",
      details: { key: "manifest" },
    });
  }
}

/** @throws config-invalid, manifest-invalid */
export async function readSite(config: ServiceConfig): Promise<Site> {
  const manifestBytes = readManifest(config.manifest);
  const manifest = decodeManifest(manifestBytes);
  const { fleet, site, policy } = config;
  if (manifest.fleet !== fleet)
    throw disagreement(
      "fleet",
      `the manifest is of the fleet ${manifest.fleet}`,
      "use this fleet's manifest",
    );
  if (!manifest.sites.some(({ name }) => name === site)) {
    const names = manifest.sites.map(({ name }) => name).join(", ");
    throw disagreement("site", "the manifest has no such site", `it has: ${names}`);
  }
  if (manifest.sites.length !== 1)
    throw disagreement(
      "manifest",
      `a fleet of ${manifest.sites.length} sites`,
      "this version serves fleets of one",
    );
  if (manifest.policy.maxAttempts !== policy.maxAttempts)
    throw disagreement(
      "policy.maxAttempts",
      `the manifest promises ${manifest.policy.maxAttempts} attempts`,
      `write maxAttempts: ${manifest.policy.maxAttempts}`,
    );
  for (const { jwksFile } of config.issuers) if (jwksFile !== undefined) await readJwksFile(jwksFile);
  return { manifest, manifestBytes, keys: siteKeys(manifest, site), shares: [0] };
}

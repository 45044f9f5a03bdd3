/** What a configuration and the files that it names say together: the site's place in its fleet. */
import { readFileSync } from "node:fs";
import { StrongroomError } from "../base/errors.ts";
import { type HolderSet, holderSets, sharesOf } from "../keys/holder-sets.ts";
import { readJwksFile } from "../vault/issuer-keys.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { type SiteKeys, siteKeys } from "./key-proof.ts";

export interface Site {
  readonly manifest: Manifest;
  /** As read: what /v1/manifest serves and clients pin. */
  readonly manifestBytes: Uint8Array;
  readonly keys: SiteKeys;
  /** The site's place among the manifest's sites, from 0; holder sets name sites by it. */
  readonly index: number;
  /** Every share of the fleet, and who holds it. */
  readonly sets: readonly HolderSet[];
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

/** What a site among several needs, and only such a site. @throws config-invalid */
function checkFleetParts({ store, guard, peers, site }: ServiceConfig, manifest: Manifest): void {
  const { sites, policy } = manifest;
  if (sites.length > 1 && store.etcd === undefined)
    throw disagreement(
      "store",
      `a fleet of ${sites.length} sites keeps its records in etcd`,
      "write store: {etcd: …}; hsm-config/etcd/store.yaml is an example",
    );
  if (policy.threshold > 1 && guard === undefined)
    throw disagreement("guard", "is missing", "write guard: {path: ./guard}, a directory on a local disk");
  for (const name of Object.keys(peers))
    if (name === site || !sites.some((one) => one.name === name))
      throw disagreement(
        "peers",
        name === site ? `${name} is this site itself` : `the manifest has no site ${name}`,
        `other sites are: ${sites.flatMap((one) => (one.name === site ? [] : [one.name])).join(", ") || "none"}`,
      );
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
  const names = manifest.sites.map(({ name }) => name);
  const index = names.indexOf(site);
  if (index < 0) throw disagreement("site", "the manifest has no such site", `it has: ${names.join(", ")}`);
  checkFleetParts(config, manifest);
  if ((config.bundles === undefined) !== (config.pins === undefined))
    throw disagreement(
      config.bundles === undefined ? "bundles" : "pins",
      "is missing",
      "bundles and pins go together: a site serves what it has verified",
    );
  if (manifest.policy.maxAttempts !== policy.maxAttempts)
    throw disagreement(
      "policy.maxAttempts",
      `the manifest promises ${manifest.policy.maxAttempts} attempts`,
      `write maxAttempts: ${manifest.policy.maxAttempts}`,
    );
  for (const { jwksFile } of config.issuers) if (jwksFile !== undefined) await readJwksFile(jwksFile);
  const sets = holderSets(names.length, manifest.policy.threshold);
  const keys = siteKeys(manifest, site);
  return { manifest, manifestBytes, keys, index, sets, shares: sharesOf(index, sets) };
}

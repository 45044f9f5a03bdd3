/** The manifest of a fleet of one: what its token's public keys say, and what the operator says about it. */

import { toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { keyId } from "../crypto/key-id.ts";
import type { KeyName } from "../token/token.ts";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  type ManifestKey,
  type ManifestRole,
} from "../wire/manifest.ts";

export interface ManifestFacts {
  readonly fleet: string;
  readonly site: string;
  /** Where clients reach the site. */
  readonly url: string;
  readonly tokenSerial: string;
  readonly maxAttempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  /** From `readPublicKeys`: identity, session and ake are needed. */
  readonly publicKeys: ReadonlyMap<KeyName, Uint8Array>;
}

/** @throws manifest-invalid where a fact is not what a manifest may hold; key-missing */
export function manifestOf(facts: ManifestFacts): Manifest {
  const key = (role: ManifestRole, site?: string): ManifestKey => {
    const point = facts.publicKeys.get(role);
    if (!point) throw new StrongroomError("key-missing", `no public key for ${role}`);
    return {
      kid: toHex(keyId(point)),
      role,
      ...(site === undefined ? {} : { site }),
      algorithm: "P-256",
      publicKey: toHex(point),
    };
  };
  const { fleet, site, url, tokenSerial, maxAttempts, createdAt } = facts;
  const manifest: Manifest = {
    type: "strongroom/fleet-manifest/v1",
    fleet,
    createdAt,
    policy: { threshold: 1, maxAttempts },
    sites: [{ name: site, url, tokenSerial }],
    keys: [key("identity", site), key("session", site), key("ake")],
  };
  // What is written must be readable: the decoder's schema is the only definition.
  return decodeManifest(encodeManifest(manifest));
}

/**
 * In what two manifests differ, apart from when they were made: names of fields for people, empty if nothing.
 */
export function manifestDifferences(a: Manifest, b: Manifest): readonly string[] {
  const fields: readonly (readonly [string, (m: Manifest) => unknown])[] = [
    ["the fleet's name", (m) => m.fleet],
    ["the policy", (m) => [m.policy.threshold, m.policy.maxAttempts]],
    ["the site's name", (m) => m.sites.map((site) => site.name)],
    ["the site's url", (m) => m.sites.map((site) => site.url)],
    ["the token's serial", (m) => m.sites.map((site) => site.tokenSerial)],
    ...(["identity", "session", "ake"] as const).map(
      (role) =>
        [
          `the ${role} key`,
          (m: Manifest) =>
            m.keys.filter((key) => key.role === role).map((key) => [key.site ?? "", key.kid, key.publicKey]),
        ] as const,
    ),
  ];
  return fields
    .filter(([, pick]) => JSON.stringify(pick(a)) !== JSON.stringify(pick(b)))
    .map(([name]) => name);
}

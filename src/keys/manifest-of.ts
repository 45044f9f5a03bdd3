/** The manifest of a fleet: what its tokens' public keys say, and what the operator says about it. */

import { equal, toHex } from "../base/bytes.ts";
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

export interface ManifestSiteFacts {
  readonly name: string;
  /** Where clients reach the site. */
  readonly url: string;
  readonly tokenSerial: string;
  /** From `readPublicKeys`: identity, session and ake are needed; of a retired site none. */
  readonly publicKeys: ReadonlyMap<KeyName, Uint8Array>;
  readonly retired?: true | undefined;
}

export interface ManifestFacts {
  readonly fleet: string;
  /** SHA-256 (hex) of the manifest that it takes the place of. */
  readonly predecessor?: string | undefined;
  readonly threshold: number;
  readonly maxAttempts: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  /** In the order that numbers them in holder sets. */
  readonly sites: readonly ManifestSiteFacts[];
}

function publicKeyOf({ name, publicKeys }: ManifestSiteFacts, role: ManifestRole): Uint8Array {
  const point = publicKeys.get(role);
  if (point) return point;
  throw new StrongroomError("key-missing", `no public key for ${role} of ${name}`);
}

/** @throws manifest-invalid where a fact is not what a manifest may hold; key-missing; key-drift (two ake keys) */
export function manifestOf(facts: ManifestFacts): Manifest {
  const { fleet, predecessor, threshold, maxAttempts, createdAt, sites } = facts;
  const serving = sites.filter(({ retired }) => !retired);
  const key = (point: Uint8Array, role: ManifestRole, site?: string): ManifestKey => ({
    kid: toHex(keyId(point)),
    role,
    ...(site === undefined ? {} : { site }),
    algorithm: "P-256",
    publicKey: toHex(point),
  });
  const [ake, ...others] = serving.map((site) => publicKeyOf(site, "ake"));
  if (ake && !others.every((other) => equal(ake, other)))
    throw new StrongroomError("key-drift", "the sites have different ake keys");
  const manifest: Manifest = {
    type: "strongroom/fleet-manifest/v1",
    fleet,
    ...(predecessor === undefined ? {} : { predecessor }),
    createdAt,
    policy: { threshold, maxAttempts },
    sites: sites.map(({ name, url, tokenSerial, retired }) => ({
      name,
      url,
      tokenSerial,
      ...(retired ? { retired } : {}),
    })),
    keys: [
      ...serving.flatMap((site) =>
        (["identity", "session"] as const).map((role) => key(publicKeyOf(site, role), role, site.name)),
      ),
      ...(ake ? [key(ake, "ake")] : []),
    ],
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
    ["its predecessor", (m) => m.predecessor ?? ""],
    ["the sites' names", (m) => m.sites.map((site) => [site.name, site.retired ?? false])],
    ["the sites' urls", (m) => m.sites.map((site) => site.url)],
    ["the tokens' serials", (m) => m.sites.map((site) => site.tokenSerial)],
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

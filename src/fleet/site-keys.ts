/** The sites of a manifest with the keys that their channels need, checked once. */
import { StrongroomError } from "../base/errors.ts";
import { keyId } from "../crypto/key-id.ts";
import { manifestPoint } from "../crypto/manifest-point.ts";
import { checkPoint } from "../crypto/node/p256.ts";
import { type Manifest, type ManifestRole, servingSites } from "../wire/manifest.ts";

export interface SiteKeys {
  readonly name: string;
  /** Its place among the manifest's sites. */
  readonly index: number;
  readonly url: string;
  /** Of the session key, 8 bytes. */
  readonly kid: Uint8Array;
  /** Uncompressed, 65 bytes. */
  readonly session: Uint8Array;
  readonly identity: Uint8Array;
}

/** Of the sites that serve, by name, in the manifest's order. @throws manifest-invalid */
export function siteKeys(manifest: Manifest): ReadonlyMap<string, SiteKeys> {
  const point = (role: ManifestRole, site: string): Uint8Array => {
    const bytes = manifestPoint(manifest, role, site);
    try {
      checkPoint(bytes);
    } catch (cause) {
      throw new StrongroomError("manifest-invalid", `${site}'s ${role} key is no point of P-256`, { cause });
    }
    return bytes;
  };
  return new Map(
    servingSites(manifest).map(({ name, url, index }) => {
      const session = point("session", name);
      return [name, { name, index, url, kid: keyId(session), session, identity: point("identity", name) }];
    }),
  );
}

/** @throws config-invalid for a site that the manifest does not name */
export function ownKeys(sites: ReadonlyMap<string, SiteKeys>, self: string): SiteKeys {
  const found = sites.get(self);
  if (found) return found;
  throw new StrongroomError("config-invalid", `the manifest does not name the site ${self}`);
}

/** The keys of a manifest as points. Runs in browsers. */
import { equal, fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { type Manifest, type ManifestRole, manifestKey } from "../wire/manifest.ts";
import { keyId } from "./key-id.ts";

/**
 * The key of a role (and site, for keys of one site): uncompressed, 65 bytes, not checked to be on the curve. Its kid is
 * checked: a site would otherwise be asked for one key and sealed to with another, and its answer mislead whoever
 * reads it.
 * @throws manifest-invalid
 */
export function manifestPoint(manifest: Manifest, role: ManifestRole, site?: string): Uint8Array {
  const { kid, publicKey } = manifestKey(manifest, role, site);
  const point = fromHex(publicKey);
  if (equal(keyId(point), fromHex(kid))) return point;
  const whose = site === undefined ? "the" : `${site}'s`;
  throw new StrongroomError("manifest-invalid", `the kid of ${whose} ${role} key is not that key's`);
}

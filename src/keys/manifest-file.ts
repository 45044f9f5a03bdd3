/**
 * The manifest on disk. Clients pin the hash of its exact bytes, so a file that says the same is left alone,
 * and one that says something else is never overwritten.
 */

import { StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../wire/manifest.ts";
import { manifestDifferences } from "./manifest-of.ts";

export interface ManifestFile {
  readonly state: "created" | "unchanged";
  /** SHA-256 of the file's bytes, hex: what clients pin. */
  readonly sha256: string;
}

/** @returns undefined where there is no such file @throws file-failed, manifest-invalid */
export async function readManifest(path: string): Promise<Manifest | undefined> {
  const bytes = await readIfThere(path);
  return bytes && decodeManifest(bytes);
}

/**
 * Writes the manifest, or finds that the file already says the same.
 * @throws manifest-invalid where the file says something else or is no manifest; file-failed
 */
export async function publishManifest(path: string, manifest: Manifest): Promise<ManifestFile> {
  const old = await readIfThere(path);
  if (old) {
    const differences = manifestDifferences(decodeManifest(old), manifest);
    if (differences.length === 0) return { state: "unchanged", sha256: sha256HexOf(old) };
    throw new StrongroomError("manifest-invalid", `${path} says otherwise about ${differences.join(", ")}`, {
      hint: "nothing was written; check the token, the sites, their urls and the policy, or give another file",
    });
  }
  const bytes = encodeManifest(manifest);
  await writeDurably(path, bytes);
  return { state: "created", sha256: sha256HexOf(bytes) };
}

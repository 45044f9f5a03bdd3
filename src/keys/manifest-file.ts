/**
 * The manifest on disk. Clients pin the hash of its exact bytes, so a file that says the same is left alone,
 * and one that says something else is never overwritten.
 */
import { createHash, randomBytes } from "node:crypto";
import { open, readFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../wire/manifest.ts";
import { manifestDifferences } from "./manifest-of.ts";

export interface ManifestFile {
  readonly state: "created" | "unchanged";
  /** SHA-256 of the file's bytes, hex: what clients pin. */
  readonly sha256: string;
}

const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** @returns undefined where there is no such file @throws file-failed, manifest-invalid */
export async function readManifest(path: string): Promise<Manifest | undefined> {
  const bytes = await existing(path);
  return bytes && decodeManifest(bytes);
}

async function existing(path: string): Promise<Uint8Array | undefined> {
  try {
    return Uint8Array.from(await readFile(path));
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new StrongroomError("file-failed", `cannot read the manifest ${path}`, { cause });
  }
}

/**
 * Writes the manifest, or finds that the file already says the same.
 * @throws manifest-invalid where the file says something else or is no manifest; file-failed
 */
export async function publishManifest(path: string, manifest: Manifest): Promise<ManifestFile> {
  const old = await existing(path);
  if (old) {
    const differences = manifestDifferences(decodeManifest(old), manifest);
    if (differences.length === 0) return { state: "unchanged", sha256: hash(old) };
    throw new StrongroomError("manifest-invalid", `${path} says otherwise about ${differences.join(", ")}`, {
      hint: "nothing was written; check the token, the sites, their urls and the policy, or give another file",
    });
  }
  const bytes = encodeManifest(manifest);
  await writeAtomically(path, bytes);
  return { state: "created", sha256: hash(bytes) };
}

/** A reader sees the whole file or none, also after a power failure. */
async function writeAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const directory = await open(dirname(path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw new StrongroomError("file-failed", `cannot write the manifest ${path}`, {
      cause,
      hint: "its directory must exist and be writable",
    });
  }
}

/** What the `bundle` and `auditor` commands read and write: files, and the places where published bundles lie. */
import { readFileSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { type BundleSources, bundleSources } from "../client/bundle-sources.ts";
import { type Contradiction, decodeContradiction } from "../trust/contradiction.ts";
import { decodePins, type Pins } from "../trust/pins.ts";
import { type Announcement, decodeAnnouncement } from "../wire/announcement.ts";
import { type Bundle, decodeBundle, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { fileFailed } from "./client-run.ts";

const TIMEOUT_MS = 15_000;

/** SHA-256, hex: what announcements and evidence are known by. */
export function digestOf(bytes: Uint8Array): string {
  return sha256HexOf(bytes);
}

/** @throws file-failed */
export function readBytes(path: string, what: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (error) {
    throw fileFailed(`cannot read ${what} ${path}`, error);
  }
}

/** What a file holds; an error says which file, and where such a file comes from. */
function decoded<T>(path: string, what: string, decode: (bytes: Uint8Array) => T, hint: string): T {
  const bytes = readBytes(path, what);
  try {
    return decode(bytes);
  } catch (cause) {
    if (!isStrongroomError(cause)) throw cause;
    throw new StrongroomError(cause.code, `${path}: ${cause.message}`, {
      cause,
      details: cause.details,
      hint,
    });
  }
}

/** @throws file-failed, config-invalid */
export function readPins(path: string): Pins {
  return decoded(path, "the pins", decodePins, "pins are what `strongroom bundle pins` prints");
}

/** With its bytes, for whoever verifies them. @throws file-failed, decode-failed */
export function readBundle(path: string): { readonly bytes: Uint8Array; readonly bundle: Bundle } {
  const hint = "a bundle is what `strongroom bundle countersign` and `strongroom auditor log` write";
  return decoded(path, "the bundle", (bytes) => ({ bytes, bundle: decodeBundle(bytes) }), hint);
}

/** With its bytes, which are what is signed. @throws file-failed, decode-failed */
export function readAnnouncement(path: string): {
  readonly bytes: Uint8Array;
  readonly announcement: Announcement;
} {
  const hint = "an announcement is what `strongroom bundle propose` writes";
  const decode = (bytes: Uint8Array) => ({ bytes, announcement: decodeAnnouncement(bytes) });
  return decoded(path, "the announcement", decode, hint);
}

/** @throws file-failed, decode-failed */
export function readProof(path: string): Contradiction {
  const hint = "a proof is what `strongroom audit verify` and `follow` keep in --proofs";
  return decoded(path, "the proof", decodeContradiction, hint);
}

/** Files that are published never change. @throws usage where another one is there; file-failed, store-full */
export async function writeOnce(path: string, bytes: Uint8Array): Promise<void> {
  const there = await readFile(path).catch(() => undefined);
  if (there && Buffer.compare(there, bytes) === 0) return;
  if (there)
    throw new StrongroomError("usage", `${path} exists, and is another one`, {
      hint: "keep it; write to another place with --out",
    });
  await writeDurably(path, bytes);
}

/** Where bundles are, by URL (a site's, an auditor's, a mirror's) or as a directory. */
export interface BundlePlace {
  /** @throws file-failed where there is none */
  newest(): Promise<Uint8Array>;
  bundleOf(epoch: number): Promise<Uint8Array | undefined>;
}

/**
 * @param from a URL; or a directory: an auditor's public files, or just `<epoch>.json`
 * @throws usage
 */
export function bundlePlace(from: string, namespace: string): BundlePlace {
  if (/^https?:\/\//.test(from))
    return urlPlace(from, bundleSources({ namespace, urls: [from], timeoutMs: TIMEOUT_MS }));
  if (!statSync(from, { throwIfNoEntry: false })?.isDirectory())
    throw new StrongroomError("usage", `${from} is neither a URL nor a directory`);
  const inTree = join(from, "log", namespace, "bundles");
  const dir = statSync(inTree, { throwIfNoEntry: false })?.isDirectory() ? inTree : from;
  return directoryPlace(dir);
}

const noBundle = (from: string): StrongroomError =>
  new StrongroomError("file-failed", `${from} has no bundle`, {
    hint: "is it the right address and the right namespace?",
  });

function urlPlace(from: string, sources: BundleSources): BundlePlace {
  return {
    async newest() {
      for await (const bytes of sources.newest()) return bytes;
      throw noBundle(from);
    },
    bundleOf: sources.bundleOf,
  };
}

/** Epochs of which a directory has a bundle, ascending. @throws file-failed */
export async function epochsIn(dir: string): Promise<readonly number[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    throw fileFailed(`cannot read ${dir}`, error);
  });
  return names
    .flatMap((name) => /^([1-9]\d{0,15})\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function directoryPlace(dir: string): BundlePlace {
  async function bundleOf(epoch: number): Promise<Uint8Array | undefined> {
    const path = join(dir, `${epoch}.json`);
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined || size > MAX_BUNDLE_BYTES) return undefined;
    return readBytes(path, "the bundle");
  }
  return {
    async newest() {
      const last = (await epochsIn(dir)).at(-1);
      const bytes = last === undefined ? undefined : await bundleOf(last);
      if (bytes) return bytes;
      throw noBundle(dir);
    },
    bundleOf,
  };
}

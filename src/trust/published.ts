/**
 * Fetches all that a log published of a namespace, as far as its newest checkpoint says that it goes: bundles,
 * announcements, entries and tiles. What they are worth is judged in walk.ts. Runs in browsers.
 */
import { equal, fromUtf8, utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { parseCheckpoint } from "../merkle/checkpoint.ts";
import { EMPTY_EDGE, grow } from "../merkle/growth.ts";
import { MAX_NOTE_CHARACTERS, parseNote } from "../merkle/note.ts";
import { decodeEntries, TILE_WIDTH, tilePath, tileReader, tileWidth } from "../merkle/tiles.ts";
import { type Announcement, decodeAnnouncement, MAX_ANNOUNCEMENT_BYTES } from "../wire/announcement.ts";
import { type Bundle, decodeBundle, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { refused } from "./refusal.ts";
import type { TrustSource } from "./source.ts";

export interface PublishedEpoch {
  readonly epoch: number;
  /** `bundles/<epoch>.json`; undefined where there is none. */
  readonly bytes: Uint8Array | undefined;
  /** As far as it can be read. */
  readonly bundle: Bundle | undefined;
  /** What the bundle says, as far as it can be read. */
  readonly announcement: Announcement | undefined;
  /** `announcements/<digest>.json` is there, and has the very bytes of the bundle. */
  readonly artifact: "same" | "other" | "missing";
}

export type Progress = (done: number, all: number) => void;

/** What a log says of itself: its newest checkpoint, and how many epochs that claims. */
export interface ClaimedHead {
  /** With its signatures. */
  readonly note: string;
  readonly size: number;
}

/** Nobody announces that often; and whoever serves a log must not be able to keep a reader busy for a day. */
const MAX_EPOCHS = 5_000;
/** Files that are asked for together. */
const AT_ONCE = 8;

/** Undefined for what cannot be read. */
export function readable<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

/** A file that is larger than it can be is as good as none. */
async function fetched(source: TrustSource, path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  try {
    return await source.get(path, maxBytes);
  } catch (error) {
    if (isStrongroomError(error, "decode-failed")) return undefined;
    throw error;
  }
}

/** @returns undefined where nothing was ever published of that namespace @throws bundle-refused (malformed); what the source throws */
export async function readHead(source: TrustSource, namespace: string): Promise<ClaimedHead | undefined> {
  const bytes = await source.get(`log/${namespace}/checkpoint`, 4 * MAX_NOTE_CHARACTERS);
  if (!bytes) return undefined;
  const note = readable(() => fromUtf8(bytes));
  const claimed = note === undefined ? undefined : readable(() => parseCheckpoint(parseNote(note).text));
  if (note === undefined || !claimed) throw refused("malformed", "the log's newest checkpoint");
  if (claimed.size > MAX_EPOCHS)
    throw refused("malformed", `the log claims ${claimed.size} epochs, and more than ${MAX_EPOCHS} are none`);
  return { note, size: claimed.size };
}

async function readEpoch(source: TrustSource, folder: string, epoch: number): Promise<PublishedEpoch> {
  const bytes = await fetched(source, `${folder}/bundles/${epoch}.json`, MAX_BUNDLE_BYTES);
  const bundle = bytes && readable(() => decodeBundle(bytes));
  if (!bundle) return { epoch, bytes, bundle, announcement: undefined, artifact: "missing" };
  const text = utf8(bundle.announcement);
  const path = `${folder}/announcements/${bundle.audit.digest}.json`;
  const artifact = await fetched(source, path, MAX_ANNOUNCEMENT_BYTES);
  return {
    epoch,
    bytes,
    bundle,
    announcement: readable(() => decodeAnnouncement(text)),
    artifact: !artifact ? "missing" : equal(artifact, text) ? "same" : "other",
  };
}

/** Epochs 1 to `size`, as they come. @throws what the source throws */
export async function* readEpochs(
  source: TrustSource,
  namespace: string,
  size: number,
): AsyncGenerator<PublishedEpoch, void, undefined> {
  for (let first = 1; first <= size; first += AT_ONCE) {
    const wanted = Array.from({ length: Math.min(AT_ONCE, size - first + 1) }, (_, at) => first + at);
    yield* await Promise.all(wanted.map((epoch) => readEpoch(source, `log/${namespace}`, epoch)));
  }
}

/**
 * The entries of a tree of that size, from its tiles, and that the tiles of hashes are those of these entries.
 * @throws bundle-refused (unlogged) where they are not there or contradict each other; what the source throws
 */
export async function readEntries(
  source: TrustSource,
  namespace: string,
  size: number,
): Promise<readonly Uint8Array[]> {
  const read = tileReader((path) => source.get(`log/${namespace}/${path}`));
  const entries: Uint8Array[] = [];
  try {
    for (let index = 0; index * TILE_WIDTH < size; index++) {
      const width = tileWidth("entries", index, size);
      entries.push(...decodeEntries(await read({ level: "entries", index, width }), width));
    }
    for (const { tile, bytes } of grow(EMPTY_EDGE, entries).tiles)
      if (tile.level !== "entries" && !equal(await read(tile), bytes))
        throw refused("unlogged", `${tilePath(tile)} does not hold the hashes of the entries`);
  } catch (error) {
    if (isStrongroomError(error, "log-invalid") || isStrongroomError(error, "decode-failed"))
      throw refused("unlogged", error.message, error);
    throw error;
  }
  return entries;
}

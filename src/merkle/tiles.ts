/**
 * C2SP tlog-tiles: a log's tree and entries as static files. A tile of level L holds up to 256 hashes of the perfect
 * subtrees of 256^L entries; an entry bundle holds the entries of a tile of level 0. Names and bytes have one form
 * each. Runs in browsers.
 */
import { concat, uintBE } from "../base/bytes.ts";
import { logInvalid } from "./fault.ts";
import type { HashReader } from "./proofs.ts";
import { HASH_BYTES, type NodeId, rootOf } from "./tree.ts";

export const TILE_WIDTH = 256;
/** log2 of the width: how many levels of the tree a tile spans. */
export const TILE_HEIGHT = 8;
/** What a bundle's length prefix allows. */
export const MAX_ENTRY_BYTES = 0xffff;
export const MAX_BUNDLE_FILE_BYTES: number = TILE_WIDTH * (2 + MAX_ENTRY_BYTES);

/** A file of the log: hashes of a level, or entries. */
export interface Tile {
  readonly level: number | "entries";
  readonly index: number;
  /** 1 … 256; fewer than 256 is a partial tile. */
  readonly width: number;
}

/** The name below the log's prefix, e.g. `tile/0/x001/x234/067.p/12`. */
export function tilePath({ level, index, width }: Tile): string {
  const groups: string[] = [];
  let rest = index;
  do {
    groups.unshift(`${rest % 1000}`.padStart(3, "0"));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const name = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${name}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

/** How many hashes of a level a tree of `size` entries has: floor(size / 256^level). */
export function hashesAt(level: number, size: number): number {
  let count = size;
  for (let at = 0; at < level && count > 0; at++) count = Math.floor(count / TILE_WIDTH);
  return count;
}

/** How wide a tile is in a tree of `size` entries; 0 where it has none there. */
export function tileWidth(level: number | "entries", index: number, size: number): number {
  const count = hashesAt(level === "entries" ? 0 : level, size);
  return Math.max(0, Math.min(TILE_WIDTH, count - index * TILE_WIDTH));
}

/**
 * The files that a log writes when it grows from `before` to `after` entries: entry bundles first, then the levels from
 * below, each from the left, as every file may be looked for once the one above it is there.
 */
export function newTiles(before: number, after: number): readonly Tile[] {
  const tiles: Tile[] = [];
  const add = (level: number | "entries", from: number, to: number): void => {
    for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < to; index++)
      tiles.push({ level, index, width: Math.min(TILE_WIDTH, to - index * TILE_WIDTH) });
  };
  if (after <= before) return tiles;
  add("entries", before, after);
  for (let level = 0; hashesAt(level, after) > hashesAt(level, before); level++)
    add(level, hashesAt(level, before), hashesAt(level, after));
  return tiles;
}

export function encodeTile(hashes: readonly Uint8Array[]): Uint8Array {
  return concat(...hashes);
}

/** @throws log-invalid (not-canonical) for another length than that of `width` hashes */
export function decodeTile(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  if (bytes.length !== width * HASH_BYTES)
    throw logInvalid("not-canonical", `a tile of ${width} hashes has not ${bytes.length} bytes`);
  return Array.from({ length: width }, (_, at) => bytes.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES));
}

/** @throws log-invalid (too-large) for an entry of more than 65,535 bytes */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return concat(
    ...entries.flatMap((entry) => {
      if (entry.length > MAX_ENTRY_BYTES)
        throw logInvalid("too-large", `an entry has ${entry.length} bytes; ${MAX_ENTRY_BYTES} fit`);
      return [uintBE(entry.length, 2), entry];
    }),
  );
}

/** @throws log-invalid (not-canonical) where the bytes are not exactly `width` entries */
export function decodeEntries(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (entries.length < width) {
    const start = at + 2;
    const end = start + ((bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0));
    if (start > bytes.length || end > bytes.length)
      throw logInvalid("not-canonical", `an entry bundle ends within entry ${entries.length} of ${width}`);
    entries.push(bytes.slice(start, end));
    at = end;
  }
  if (at !== bytes.length)
    throw logInvalid("not-canonical", `an entry bundle of ${width} entries has bytes after the last`);
  return entries;
}

/** Reads a file of the log as it is in the tree that is read. @throws log-invalid (missing) where it is not there */
export type TileReader = (tile: Tile) => Promise<Uint8Array>;

/**
 * Reads files of a log by their names. A partial tile may be gone once the full one is there: then it is cut from that.
 * @param get undefined where there is no such file
 * @returns a reader that throws log-invalid (missing, not-canonical); what `get` throws
 */
export function tileReader(get: (path: string) => Promise<Uint8Array | undefined>): TileReader {
  return async (tile) => {
    const bytes = await get(tilePath(tile));
    if (bytes) return bytes;
    const full = tile.width < TILE_WIDTH ? await get(tilePath({ ...tile, width: TILE_WIDTH })) : undefined;
    if (!full) throw logInvalid("missing", tilePath(tile));
    return tile.level === "entries"
      ? encodeEntries(decodeEntries(full, TILE_WIDTH).slice(0, tile.width))
      : encodeTile(decodeTile(full, TILE_WIDTH).slice(0, tile.width));
  };
}

/** The entry at `index` of a tree of `size` entries. @throws log-invalid: wrong-size; what `read` throws */
export async function readEntry(index: number, size: number, read: TileReader): Promise<Uint8Array> {
  const bundle = Math.floor(index / TILE_WIDTH);
  const width = tileWidth("entries", bundle, size);
  const bytes = width > 0 ? await read({ level: "entries", index: bundle, width }) : new Uint8Array(0);
  const entry = decodeEntries(bytes, width)[index % TILE_WIDTH];
  if (!entry) throw logInvalid("wrong-size", `a tree of ${size} entries has no index ${index}`);
  return entry;
}

/** Which tile holds a node, and which of its hashes are below it. */
function placeOf({ level, index }: NodeId): {
  readonly level: number;
  readonly first: number;
  readonly count: number;
} {
  const within = level % TILE_HEIGHT;
  const count = 2 ** within;
  return { level: (level - within) / TILE_HEIGHT, first: index * count, count };
}

/**
 * Reads node hashes from the tiles of a tree of `size` entries; every tile is read once for each request. The hashes are
 * only as good as the proof that is checked with them.
 * @returns a reader that throws log-invalid: wrong-size for a node that the tree has not; not-canonical; what `read` throws
 */
export function hashReader(size: number, read: TileReader): HashReader {
  return async (nodes) => {
    const tiles = new Map<string, Promise<readonly Uint8Array[]>>();
    const tileOf = (level: number, index: number): Promise<readonly Uint8Array[]> => {
      const tile: Tile = { level, index, width: tileWidth(level, index, size) };
      const path = tilePath(tile);
      const known = tiles.get(path);
      if (known) return known;
      const loading = read(tile).then((bytes) => decodeTile(bytes, tile.width));
      tiles.set(path, loading);
      return loading;
    };
    return Promise.all(
      nodes.map(async (node) => {
        const { level, first, count } = placeOf(node);
        if (first + count > hashesAt(level, size))
          throw logInvalid(
            "wrong-size",
            `a tree of ${size} entries has no node ${node.index} at level ${node.level}`,
          );
        const index = Math.floor(first / TILE_WIDTH);
        const hashes = await tileOf(level, index);
        const at = first - index * TILE_WIDTH;
        return rootOf(hashes.slice(at, at + count));
      }),
    );
  };
}

/**
 * How a log of tiles grows: from its right edge (the last, partial tile of each level, and the last entries) and new
 * entries come the files to write and the next edge. Nothing of what is already full is read or written again. Pure.
 */
import { equal } from "../base/bytes.ts";
import { logInvalid } from "./fault.ts";
import {
  decodeEntries,
  decodeTile,
  encodeEntries,
  encodeTile,
  hashesAt,
  hashReader,
  TILE_HEIGHT,
  TILE_WIDTH,
  type Tile,
  type TileReader,
} from "./tiles.ts";
import { Frontier, leafHash, peaksOf } from "./tree.ts";

export interface LogEdge {
  /** Never appended to in place: `grow` copies it. */
  readonly frontier: Frontier;
  /** The entries of the last, partial bundle. */
  readonly entries: readonly Uint8Array[];
  /** By level: the hashes of its last, partial tile. */
  readonly rows: readonly (readonly Uint8Array[])[];
}

export interface NewTile {
  readonly tile: Tile;
  readonly bytes: Uint8Array;
}

export const EMPTY_EDGE: LogEdge = { frontier: new Frontier(), entries: [], rows: [] };

/**
 * Reads the edge of a tree of `size` entries, and checks that its entries are those of its hashes. Whether its root is
 * the right one, the caller checks.
 * @throws log-invalid: missing, not-canonical, wrong-entry; what `read` throws
 */
export async function readEdge(size: number, read: TileReader): Promise<LogEdge> {
  const partial = async (level: number | "entries", count: number): Promise<Uint8Array> => {
    const width = count % TILE_WIDTH;
    return width === 0 ? new Uint8Array(0) : read({ level, index: Math.floor(count / TILE_WIDTH), width });
  };
  const rows: (readonly Uint8Array[])[] = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const count = hashesAt(level, size);
    rows.push(decodeTile(await partial(level, count), count % TILE_WIDTH));
  }
  const entries = decodeEntries(await partial("entries", size), size % TILE_WIDTH);
  for (const [at, hash] of (rows[0] ?? []).entries()) {
    const entry = entries[at];
    if (!entry || !equal(leafHash(entry), hash))
      throw logInvalid("wrong-entry", `entry ${size - entries.length + at}`);
  }
  const peaks = peaksOf(size);
  const hashes = peaks.length === 0 ? [] : await hashReader(size, read)(peaks);
  return { frontier: new Frontier(size, hashes), entries, rows };
}

/**
 * @returns the files in the order of `newTiles`, and the edge after them
 * @throws log-invalid (too-large) for an entry that does not fit
 */
export function grow(
  edge: LogEdge,
  entries: readonly Uint8Array[],
): { readonly edge: LogEdge; readonly tiles: readonly NewTile[] } {
  const frontier = edge.frontier.copy();
  const rows = edge.rows.map((row) => [...row]);
  const changed = new Set<number>();
  const bundles: NewTile[] = [];
  const levels: NewTile[][] = [];
  let bundle = [...edge.entries];

  /** The tile that ends with the newest hash of a level. */
  const tileOf = (level: number | "entries", width: number): Tile => {
    const count = hashesAt(level === "entries" ? 0 : level, frontier.size);
    return { level, index: Math.ceil(count / TILE_WIDTH) - 1, width };
  };
  const endRow = (level: number): void => {
    const row = rows[level] ?? [];
    levels[level] = levels[level] ?? [];
    levels[level]?.push({ tile: tileOf(level, row.length), bytes: encodeTile(row) });
    if (row.length === TILE_WIDTH) rows[level] = [];
    changed.delete(level);
  };
  const endBundle = (): void => {
    bundles.push({ tile: tileOf("entries", bundle.length), bytes: encodeEntries(bundle) });
    if (bundle.length === TILE_WIDTH) bundle = [];
  };

  for (const entry of entries) {
    bundle.push(entry);
    frontier.append(leafHash(entry), ({ level }, hash) => {
      if (level % TILE_HEIGHT !== 0) return;
      const at = level / TILE_HEIGHT;
      rows[at] = rows[at] ?? [];
      rows[at]?.push(hash);
      changed.add(at);
    });
    if (bundle.length === TILE_WIDTH) endBundle();
    for (const level of [...changed]) if (rows[level]?.length === TILE_WIDTH) endRow(level);
  }
  if (entries.length > 0 && bundle.length > 0) endBundle();
  for (const level of [...changed]) endRow(level);
  return { edge: { frontier, entries: bundle, rows }, tiles: [...bundles, ...levels.flat()] };
}

/** C2SP tlog-tiles: names, widths and bytes, against the text's own examples and a tree that another language built. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { logFaultOf } from "../../src/merkle/fault.ts";
import { EMPTY_EDGE, grow, readEdge } from "../../src/merkle/growth.ts";
import {
  consistencyProof,
  inclusionProof,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "../../src/merkle/proofs.ts";
import {
  decodeEntries,
  decodeTile,
  encodeEntries,
  hashReader,
  MAX_ENTRY_BYTES,
  newTiles,
  readEntry,
  TILE_WIDTH,
  tilePath,
  tileReader,
} from "../../src/merkle/tiles.ts";
import { leafHash } from "../../src/merkle/tree.ts";

const golden = JSON.parse(readFileSync("test/vectors/golden-log.json", "utf8")) as {
  readonly entries: number;
  readonly root100: string;
  readonly tiles: Readonly<Record<string, string>>;
};
const entry = (at: number): Uint8Array => utf8(`entry ${at}`);
const entries = (from: number, to: number): readonly Uint8Array[] =>
  Array.from({ length: to - from }, (_, at) => entry(from + at));
const faultOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return logFaultOf(error);
  }
};

/** A log in memory that grows by the given sizes. */
function logOf(...sizes: readonly number[]): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let edge = EMPTY_EDGE;
  for (const size of sizes) {
    const { edge: next, tiles } = grow(edge, entries(edge.frontier.size, size));
    for (const { tile, bytes } of tiles) files.set(tilePath(tile), bytes);
    edge = next;
  }
  return files;
}
const readerOf = (files: ReadonlyMap<string, Uint8Array>): ReturnType<typeof tileReader> =>
  tileReader((path) => Promise.resolve(files.get(path)));

describe("names", () => {
  test.each([
    [{ level: 0, index: 0, width: 256 }, "tile/0/000"],
    [{ level: 3, index: 1234067, width: 256 }, "tile/3/x001/x234/067"],
    [{ level: 63, index: 1000, width: 1 }, "tile/63/x001/000.p/1"],
    [{ level: "entries", index: 999, width: 255 }, "tile/entries/999.p/255"],
  ] as const)("%o is %s", (tile, path) => {
    expect(tilePath(tile)).toBe(path);
  });
});

test("a tree of 70,000 entries has the tiles that the text says, and one of 256 too", () => {
  const hashes = newTiles(0, 70_000).filter(({ level }) => level !== "entries");
  const full = (level: number): number =>
    hashes.filter((tile) => tile.level === level && tile.width === TILE_WIDTH).length;
  const partial = hashes.filter(({ width }) => width < TILE_WIDTH).map(tilePath);
  expect([full(0), full(1), full(2)]).toEqual([273, 1, 0]);
  expect(partial).toEqual(["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
  expect(newTiles(0, 256).map(tilePath)).toEqual(["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
  expect(newTiles(0, 0)).toEqual([]);
});

test("every file of a log of 300 entries is the golden one, byte for byte", () => {
  const files = logOf(golden.entries);
  const hashes = [...files].map(([path, bytes]) => [path, createHash("sha256").update(bytes).digest("hex")]);
  expect(Object.fromEntries(hashes)).toEqual(golden.tiles);
});

test("however it grows, a log writes just the new files, has all that its size needs, and the same bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 4 }),
      async (steps) => {
        const sizes = steps.map((_, at) => steps.slice(0, at + 1).reduce((sum, step) => sum + step, 0));
        let edge = EMPTY_EDGE;
        for (const size of sizes) {
          const before = edge.frontier.size;
          const { edge: next, tiles } = grow(edge, entries(before, size));
          expect(tiles.map(({ tile }) => tilePath(tile))).toEqual(newTiles(before, size).map(tilePath));
          edge = next;
        }
        const size = sizes.at(-1) ?? 0;
        const files = logOf(...sizes);
        for (const [path, bytes] of logOf(size)) expect(files.get(path)).toEqual(bytes);
        const reloaded = await readEdge(size, readerOf(files));
        expect(reloaded.rows).toEqual(edge.rows);
        expect(reloaded.entries).toEqual(edge.entries);
        expect(reloaded.frontier.root()).toEqual(edge.frontier.root());
      },
    ),
    { numRuns: 15 },
  );
});

describe("reading", () => {
  const size = 66_000;
  const files = logOf(100, size);
  const read = hashReader(size, readerOf(files));

  test("proofs made from tiles hold, over three levels of them", async () => {
    const root = await rootAt(size, read);
    for (const index of [0, 255, 256, 32_767, 65_535, 65_536, size - 1])
      verifyInclusion({ size, root }, index, leafHash(entry(index)), await inclusionProof(index, size, read));
    expect(toHex(await rootAt(100, read))).toBe(golden.root100);
    for (const from of [1, 100, 255, 256, 257, 65_535, 65_536, 65_537])
      verifyConsistency(
        { size: from, root: await rootAt(from, read) },
        { size, root },
        await consistencyProof(from, size, read),
      );
  });
  test("an entry of any bundle", async () => {
    for (const index of [0, 255, 65_999])
      expect(await readEntry(index, size, readerOf(files))).toEqual(entry(index));
    await expect(readEntry(size, size, readerOf(files))).rejects.toMatchObject({
      details: { reason: "wrong-size" },
    });
  });
  test("a partial tile that is gone is cut from the full one", async () => {
    const without = new Map([...files].filter(([path]) => !path.includes(".p/100")));
    expect(without.size).toBe(files.size - 2);
    const old = hashReader(100, readerOf(without));
    expect(toHex(await rootAt(100, old))).toBe(golden.root100);
    expect(await readEntry(99, 100, readerOf(without))).toEqual(entry(99));
  });
  test("a file that is not there", async () => {
    const without = new Map([...files].filter(([path]) => path !== "tile/1/000"));
    await expect(inclusionProof(0, size, hashReader(size, readerOf(without)))).rejects.toMatchObject({
      code: "log-invalid",
      details: { reason: "missing" },
    });
  });
  test("a tile cut short, or with a hash more", async () => {
    const whole = files.get("tile/0/000") ?? new Uint8Array(0);
    for (const bytes of [whole.slice(0, -1), concat(whole, new Uint8Array(32)), new Uint8Array(0)]) {
      const bad = hashReader(size, readerOf(new Map(files).set("tile/0/000", bytes)));
      await expect(inclusionProof(0, size, bad)).rejects.toMatchObject({
        details: { reason: "not-canonical" },
      });
    }
  });
  test("a hash changed in any tile that a proof reads breaks the proof", async () => {
    const root = await rootAt(size, read);
    for (const path of ["tile/0/000", "tile/1/000", "tile/0/257.p/208", "tile/1/001.p/1"]) {
      const bytes = Uint8Array.from(files.get(path) ?? []);
      bytes[40 % bytes.length] = (bytes[40 % bytes.length] ?? 0) ^ 1;
      const bad = hashReader(size, readerOf(new Map(files).set(path, bytes)));
      const index = path === "tile/0/257.p/208" ? size - 1 : 0;
      const proof = await inclusionProof(index, size, bad);
      expect(faultOf(() => verifyInclusion({ size, root }, index, leafHash(entry(index)), proof))).toBe(
        "bad-proof",
      );
    }
  });
  test("a node outside the tree", async () => {
    await expect(read([{ level: 0, index: size }])).rejects.toMatchObject({
      details: { reason: "wrong-size" },
    });
  });
  test("an edge whose entries are not those of its hashes", async () => {
    const bad = new Map(files);
    const path = "tile/entries/257.p/208";
    bad.set(
      path,
      encodeEntries([utf8("other"), ...decodeEntries(files.get(path) ?? new Uint8Array(0), 208).slice(1)]),
    );
    await expect(readEdge(size, readerOf(bad))).rejects.toMatchObject({ details: { reason: "wrong-entry" } });
  });
});

describe("bytes", () => {
  test("entries of every size that fits come back, and no other form does", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), (list) => {
        const bytes = encodeEntries(list);
        expect(decodeEntries(bytes, list.length)).toEqual(list);
        expect(faultOf(() => decodeEntries(concat(bytes, fromHex("00")), list.length))).toBe("not-canonical");
        expect(faultOf(() => decodeEntries(bytes, list.length + 1))).toBe("not-canonical");
        if (list.length > 0) {
          expect(faultOf(() => decodeEntries(bytes.slice(0, -1), list.length))).toBe("not-canonical");
          expect(faultOf(() => decodeEntries(bytes, list.length - 1))).toBe("not-canonical");
        }
      }),
      { numRuns: 50 },
    );
  });
  test("an entry beyond what its length prefix can say", () => {
    const largest = new Uint8Array(MAX_ENTRY_BYTES);
    expect(decodeEntries(encodeEntries([largest]), 1)).toEqual([largest]);
    expect(faultOf(() => encodeEntries([new Uint8Array(MAX_ENTRY_BYTES + 1)]))).toBe("too-large");
  });
  test("a tile of another width than it is said to have", () => {
    expect(faultOf(() => decodeTile(new Uint8Array(64), 3))).toBe("not-canonical");
    expect(decodeTile(new Uint8Array(64), 2)).toHaveLength(2);
  });
});

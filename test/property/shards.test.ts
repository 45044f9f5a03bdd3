/** The shard map gives every record exactly one place, and operations stay in it. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import {
  clustersOfShards,
  formatShardRange,
  parseShardRange,
  SHARDS,
  type ShardMap,
} from "../../src/store/shard-map.ts";
import { shardedStore } from "../../src/store/sharded-store.ts";
import { parseStoreConfig } from "../../src/store/store-config.ts";

const clusterName = fc.constantFrom("a", "b", "c");

/** A map that covers every shard once: cuts, and a cluster for each piece, in any order. */
const wholeMap: fc.Arbitrary<ShardMap> = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 1, max: SHARDS - 1 }), { maxLength: 12 }),
    fc.array(clusterName, { minLength: 13, maxLength: 13 }),
    fc.integer({ min: 1, max: 1000 }),
    fc.boolean(),
  )
  .map(([cuts, names, version, reverse]) => {
    const starts = [0, ...cuts.toSorted((a, b) => a - b)];
    const ranges = starts.map((first, i) => ({
      first,
      last: (starts[i + 1] ?? SHARDS) - 1,
      cluster: names[i] ?? "a",
    }));
    return { version, ranges: reverse ? ranges.toReversed() : ranges };
  });

test("a map that covers every shard once gives each the cluster of its range", () => {
  fc.assert(
    fc.property(wholeMap, (map) => {
      const table = clustersOfShards(map, ["a", "b", "c"]);
      expect(table).toHaveLength(SHARDS);
      for (const { first, last, cluster } of map.ranges)
        for (let shard = first; shard <= last; shard++) expect(table[shard]).toBe(cluster);
    }),
  );
});

test("a map with a gap, an overlap or an unknown cluster is refused", () => {
  const refused = (map: ShardMap): void =>
    expect(() => clustersOfShards(map, ["a", "b", "c"])).toThrow(
      expect.objectContaining({ code: "config-invalid" }),
    );
  fc.assert(
    fc.property(wholeMap, fc.nat(), fc.nat(), (map, pick, shard) => {
      const at = pick % map.ranges.length;
      refused({ ...map, ranges: map.ranges.filter((_, i) => i !== at) });
      const first = shard % SHARDS;
      refused({ ...map, ranges: [...map.ranges, { first, last: first, cluster: "a" }] });
      refused({ ...map, ranges: map.ranges.map((r, i) => (i === at ? { ...r, cluster: "d" } : r)) });
    }),
  );
});

test("ranges of shards have one spelling", () => {
  fc.assert(
    fc.property(fc.nat(SHARDS - 1), fc.nat(SHARDS - 1), (a, b) => {
      const range = { first: Math.min(a, b), last: Math.max(a, b) };
      expect(parseShardRange(formatShardRange(range))).toEqual(range);
    }),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 6 }), (text) => {
      let range: ReturnType<typeof parseShardRange>;
      try {
        range = parseShardRange(text);
      } catch (error) {
        expect(error).toMatchObject({ code: "usage" });
        return;
      }
      expect(range.first).toBeLessThanOrEqual(range.last);
      expect(range.last).toBeLessThan(SHARDS);
    }),
  );
});

test("an operation reaches the store of its shard and no other", async () => {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-shards-"));
  const stores = new Map<string, RecordStore>();
  for (const name of ["a", "b", "c"]) stores.set(name, await openLmdbStore({ path: join(dir, name) }));
  const id = fc.uint8Array({ minLength: 32, maxLength: 32 });
  await fc.assert(
    fc.asyncProperty(wholeMap, fc.array(id, { maxLength: 20 }), async (map, ids) => {
      const store = shardedStore(map, stores);
      const table = clustersOfShards(map, stores.keys());
      for (const one of ids) {
        const value = Uint8Array.from(randomBytes(16));
        const before = await store.get(one);
        const others = [...stores].filter(([name]) => name !== table[one[0] ?? 0]);
        const untouched = await Promise.all(others.map(([, other]) => other.get(one)));
        const result = await store.compareAndSwap(one, before?.revision, value);
        expect(result.swapped).toBe(true);
        expect((await store.get(one))?.value).toEqual(value);
        expect((await stores.get(table[one[0] ?? 0] ?? "")?.get(one))?.value).toEqual(value);
        expect(await Promise.all(others.map(([, other]) => other.get(one)))).toEqual(untouched);
      }
    }),
    { numRuns: 20 },
  );
  await shardedStore({ version: 1, ranges: [{ first: 0, last: 255, cluster: "a" }] }, stores).check();
  // A cluster that is gone fails the check, and only the operations of its own shards.
  await stores.get("b")?.close();
  const half = shardedStore(
    {
      version: 1,
      ranges: [
        { first: 0, last: 127, cluster: "a" },
        { first: 128, last: 255, cluster: "b" },
      ],
    },
    stores,
  );
  await expect(half.check()).rejects.toMatchObject({ code: "store-unavailable" });
  expect((await half.compareAndSwap(new Uint8Array(32), undefined, Uint8Array.of(1))).swapped).toBeDefined();
  await expect(half.get(new Uint8Array(32).fill(255))).rejects.toMatchObject({ code: "store-unavailable" });
  await half.close();
  rmSync(dir, { recursive: true, force: true });
});

describe("the store section of a configuration", () => {
  const tls = { ca: "ca.crt", cert: "site.crt", key: "site.key" };
  const main = { endpoints: { "site-a": "https://10.0.0.1:2379", "site-b": "https://[fd00::1]:2379" } };
  const etcd = { prefix: "/strongroom/f/", tls, clusters: { main } };

  test("one cluster needs no map", () => {
    const config = parseStoreConfig({ etcd });
    expect(config.etcd?.shards).toEqual({ version: 1, ranges: [{ first: 0, last: 255, cluster: "main" }] });
    expect(config.etcd).toMatchObject({ electionTimeoutMs: 1000, channels: 1 });
  });

  test("the example is one", () => {
    const example = new URL("../../hsm-config/etcd/store.yaml", import.meta.url);
    const config = parseStoreConfig(parse(readFileSync(example, "utf8")).store);
    expect(Object.keys(config.etcd?.clusters.main?.endpoints ?? {})).toHaveLength(3);
  });

  test("several do", () => {
    const clusters = { main, second: main };
    expect(() => parseStoreConfig({ etcd: { ...etcd, clusters } })).toThrow(/shard map/);
    const shards = { version: 7, ranges: { "00-7f": "main", "80-ff": "second" } };
    expect(parseStoreConfig({ etcd: { ...etcd, clusters, shards } }).etcd?.shards.version).toBe(7);
  });

  test.each([
    ["no store", {}],
    ["two stores", { lmdb: { path: "x" }, etcd }],
    ["an unknown key", { etcd: { ...etcd, prefx: "/x/" } }],
    ["a prefix without a slash", { etcd: { ...etcd, prefix: "/strongroom" } }],
    ["the root as prefix", { etcd: { ...etcd, prefix: "/" } }],
    ["no cluster", { etcd: { ...etcd, clusters: {} } }],
    ["no member", { etcd: { ...etcd, clusters: { main: { endpoints: {} } } } }],
    ["http", { etcd: { ...etcd, clusters: { main: { endpoints: { a: "http://10.0.0.1:2379" } } } } }],
    ["no port", { etcd: { ...etcd, clusters: { main: { endpoints: { a: "https://10.0.0.1" } } } } }],
    ["a path", { etcd: { ...etcd, clusters: { main: { endpoints: { a: "https://h:1/x" } } } } }],
    ["a gap", { etcd: { ...etcd, shards: { version: 1, ranges: { "00-fe": "main" } } } }],
    ["an overlap", { etcd: { ...etcd, shards: { version: 1, ranges: { "00-ff": "main", "10": "main" } } } }],
    ["a range backwards", { etcd: { ...etcd, shards: { version: 1, ranges: { "ff-00": "main" } } } }],
    ["an unknown cluster", { etcd: { ...etcd, shards: { version: 1, ranges: { "00-ff": "other" } } } }],
  ])("%s is refused", (_, value) => {
    expect(() => parseStoreConfig(value)).toThrow(expect.objectContaining({ code: "config-invalid" }));
  });
});

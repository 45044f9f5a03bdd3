/** Moving shards between two real clusters, with the commands that an operator uses. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { storeCommand } from "../../src/cli/store.ts";
import { openStore } from "../../src/store/open-store.ts";
import { openRecordFile } from "../../src/store/record-file.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { parseStoreConfig } from "../../src/store/store-config.ts";
import { type EtcdCluster, PATIENT, startEtcdCluster } from "../support/etcd-cluster.ts";

let one: EtcdCluster;
let two: EtcdCluster;
let dir: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-transfer-"));
  [one, two] = await Promise.all([startEtcdCluster({ members: 3 }), startEtcdCluster({ members: 1 })]);
});
afterAll(async () => {
  await one?.close();
  await two?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A fleet's `store` section; each test has a prefix of its own. */
function section(prefix: string, version: number, ranges: Record<string, string>): unknown {
  const endpoints = (cluster: EtcdCluster): Record<string, string> =>
    Object.fromEntries(cluster.clientUrls.map((url, i) => [`site-${i}`, url]));
  return {
    etcd: {
      prefix,
      tls: one.vault,
      ...PATIENT,
      clusters: {
        old: { endpoints: endpoints(one) },
        new: { endpoints: endpoints(two), tls: two.vault },
      },
      shards: { version, ranges },
    },
  };
}

let files = 0;
function configFile(store: unknown): string {
  const path = join(dir, `site-${files++}.yaml`);
  writeFileSync(path, stringify({ fleet: "test", site: "site-0", store }));
  return path;
}
const newFile = (): string => join(dir, `records-${files++}.jsonl`);

/** Runs `strongroom store …`; returns what it prints on standard output. */
async function run(...args: readonly string[]): Promise<string> {
  let out = "";
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    await new Command("strongroom")
      .addCommand(storeCommand())
      .parseAsync(["node", "strongroom", "store", ...args]);
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
  return out;
}

const open = (store: unknown): Promise<RecordStore> => openStore(parseStoreConfig(store), "site-0");

interface Saved {
  readonly id: Uint8Array;
  readonly value: Uint8Array;
}

async function fill(store: RecordStore, count: number, shard?: number): Promise<Saved[]> {
  const saved = Array.from({ length: count }, () => {
    const id = Uint8Array.from(randomBytes(32));
    if (shard !== undefined) id[0] = shard;
    return { id, value: Uint8Array.from(randomBytes(300)) };
  });
  for (let i = 0; i < count; i += 100)
    await Promise.all(
      saved.slice(i, i + 100).map(({ id, value }) => store.compareAndSwap(id, undefined, value)),
    );
  return saved;
}

const WHOLE = { "00-ff": "old" };

describe("export", () => {
  test("has every record of the shards as they stood at one moment, and nobody else can read it", async () => {
    const store = await open(section("/strongroom/export/", 1, WHOLE));
    const saved = await fill(store, 1500);
    const config = configFile(section("/strongroom/export/", 1, WHOLE));
    const out = newFile();
    const result = JSON.parse(await run("export", "--config", config, "--out", out, "--json"));
    expect(result).toMatchObject({ cluster: "old", shards: "00-ff", records: 1500 });
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const file = await openRecordFile(out);
    const found = new Map<string, Uint8Array>();
    for await (const { id, value } of file.records()) found.set(Buffer.from(id).toString("hex"), value);
    await file.close();
    expect(found.size).toBe(1500);
    for (const { id, value } of saved) expect(found.get(Buffer.from(id).toString("hex"))).toEqual(value);

    const some = newFile();
    await run("export", "--config", config, "--shards", "40-7f", "--out", some);
    const quarter = await openRecordFile(some);
    expect(quarter.summary.records).toBe(
      saved.filter(({ id }) => (id[0] ?? 0) >= 0x40 && (id[0] ?? 0) < 0x80).length,
    );
    await quarter.close();
    await store.close();
  });

  test("never replaces a file, and leaves none behind that is not whole", async () => {
    const config = configFile(section("/strongroom/export/", 1, WHOLE));
    const out = newFile();
    writeFileSync(out, "mine");
    await expect(run("export", "--config", config, "--out", out)).rejects.toMatchObject({
      code: "file-failed",
    });
    expect(readFileSync(out, "utf8")).toBe("mine");
    await expect(run("export", "--config", config, "--out", join(dir, "no", "where"))).rejects.toMatchObject({
      code: "file-failed",
    });
  });
});

describe("moving shards", () => {
  const prefix = "/strongroom/move/";
  const oldMap = (): unknown => section(prefix, 1, WHOLE);
  const newMap = (): unknown => section(prefix, 2, { "00-7f": "old", "80-ff": "new" });

  test("no site serves them from the old place any more, and all are found at the new one", async () => {
    const lagging = await open(oldMap());
    const saved = await fill(lagging, 800);
    const out = newFile();
    // A writer that goes on during the move: whatever it was told is written must arrive.
    const id = Uint8Array.from(randomBytes(32)).fill(0x80, 0, 1);
    let acknowledged = 0;
    let revision: bigint | undefined;
    const writing = (async () => {
      for (let n = 1; ; n++) {
        const result = await lagging.compareAndSwap(id, revision, Uint8Array.of(n));
        if (!result.swapped) throw new Error("nobody else writes this record");
        acknowledged = n;
        revision = result.revision;
      }
    })();
    const stopped = expect(writing).rejects.toMatchObject({ code: "store-unavailable" });
    await expect.poll(() => acknowledged).toBeGreaterThan(5);
    await run("export", "--config", configFile(oldMap()), "--shards", "80-ff", "--fence", "--out", out);
    await stopped;

    const [moved, stayed] = [0x80, 0x00].map((bit) =>
      saved.filter(({ id: [first = 0] }) => (first & 0x80) === bit),
    );
    const [some] = moved ?? [];
    if (some === undefined || moved === undefined || stayed === undefined) throw new Error("no records");
    await expect(lagging.get(some.id)).rejects.toMatchObject({ code: "store-unavailable" });
    for (const { id, value } of stayed) expect((await lagging.get(id))?.value).toEqual(value);

    const config = configFile(newMap());
    await run("import", "--config", config, "--cluster", "new", "--in", out, "--dry-run");
    const early = await open(newMap());
    expect(await early.get(some.id)).toBeUndefined();
    const result = JSON.parse(
      await run("import", "--config", config, "--cluster", "new", "--in", out, "--json"),
    );
    expect(result).toMatchObject({ cluster: "new", shards: "80-ff", records: moved.length + 1 });
    for (const { id, value } of saved) expect((await early.get(id))?.value).toEqual(value);
    expect((await early.get(id))?.value).toEqual(Uint8Array.of(acknowledged));
    const swapped = await early.compareAndSwap(id, (await early.get(id))?.revision, Uint8Array.of(0));
    expect(swapped.swapped).toBe(true);
    // The site with the old map still gets nothing, above all not the old record.
    await expect(lagging.get(id)).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(lagging.compareAndSwap(id, revision, Uint8Array.of(1))).rejects.toMatchObject({
      code: "store-unavailable",
    });
    await expect(run("import", "--config", config, "--cluster", "new", "--in", out)).rejects.toMatchObject({
      code: "conflict",
    });
    await lagging.close();
    await early.close();
  });

  test("status shows members, sizes, records, closed shards, and sites with an old map", async () => {
    const site = await open(oldMap());
    await site.check();
    await site.close();
    const config = configFile(newMap());
    const { clusters } = JSON.parse(await run("status", "--config", config, "--json"));
    expect(clusters).toHaveLength(2);
    const [old, fresh] = clusters;
    expect(old).toMatchObject({ name: "old", serves: true, unnamed: [] });
    expect(old.members).toHaveLength(3);
    expect(old.members.filter((member: { role: string }) => member.role === "leader")).toHaveLength(1);
    expect(old.members[0]).toMatchObject({ site: "site-0", alarms: [], quotaBytes: 8 * 2 ** 30 });
    expect(old.members[0].dbBytes).toBeGreaterThan(old.members[0].dbBytesInUse / 2);
    expect(old.records).toBe(801);
    expect(old.fenced).toHaveLength(128);
    expect(old.sites).toMatchObject([{ site: "site-0", shards: 1 }]);
    expect(fresh).toMatchObject({ name: "new", serves: true, fenced: [] });
    const text = await run("status", "--config", config);
    expect(text).toContain("1, not 2");
    expect(text).toContain("leader");
    await run("check", "--config", config);
  });

  test("an import that was cut short goes on with its own file, and with no other", async () => {
    const interrupted = section("/strongroom/resume/", 1, WHOLE);
    const source = await open(interrupted);
    await fill(source, 300, 0x10);
    const [first, second] = [newFile(), newFile()];
    const config = configFile(interrupted);
    await run("export", "--config", config, "--shards", "10", "--fence", "--out", first);
    await run("export", "--config", config, "--shards", "10", "--out", second);
    // As an import leaves it that ended after its first records: its mark on the fence, and some of its records.
    const [, record = ""] = readFileSync(first, "utf8").split("\n");
    const { id, value } = JSON.parse(record);
    const { content } = JSON.parse(readFileSync(first, "utf8").trim().split("\n").at(-1) ?? "");
    const partial = await open(section("/strongroom/resume/", 2, { "00-ff": "new" }));
    await partial.compareAndSwap(
      Uint8Array.from(Buffer.from(id, "hex")),
      undefined,
      Uint8Array.from(Buffer.from(value, "base64url")),
    );
    await expect(run("import", "--config", config, "--cluster", "new", "--in", first)).rejects.toMatchObject({
      code: "conflict",
    });
    expect(await partial.get(Uint8Array.from(Buffer.from(id, "hex")))).toBeDefined();
    await two.etcdctl(["put", "/strongroom/resume/fences/10", `import ${content}`]);
    await run("import", "--config", config, "--cluster", "new", "--in", first);
    const { clusters } = JSON.parse(await run("status", "--config", config, "--json"));
    expect(clusters[1]).toMatchObject({ name: "new", records: 300, fenced: [] });
    await source.close();
    await partial.close();
  });

  test("an import that was cut short while it closed the shards takes none for empty that it had not reached", async () => {
    const store = section("/strongroom/reached/", 1, WHOLE);
    const source = await open(store);
    await fill(source, 5, 0x10);
    const file = newFile();
    const config = configFile(store);
    await run("export", "--config", config, "--shards", "00-ff", "--out", file);
    const { content } = JSON.parse(readFileSync(file, "utf8").trim().split("\n").at(-1) ?? "");
    await two.etcdctl(["put", "/strongroom/reached/fences/10", `import ${content}`]);
    const live = await open(section("/strongroom/reached/", 2, { "00-ff": "new" }));
    const [used] = await fill(live, 1, 0xf0);
    await expect(
      run("import", "--config", config, "--cluster", "new", "--in", file, "--unfenced"),
    ).rejects.toMatchObject({ message: expect.stringContaining("have 1 records already") });
    const { clusters } = JSON.parse(await run("status", "--config", config, "--json"));
    expect(clusters[1]).toMatchObject({ name: "new", records: 1 });
    expect(used).toBeDefined();
    await source.close();
    await live.close();
  });

  test("a file of shards that stayed open is taken only when that is asked for, another fleet's never", async () => {
    const store = section("/strongroom/open/", 1, WHOLE);
    const source = await open(store);
    const [before] = await fill(source, 1, 0x40);
    const file = newFile();
    const config = configFile(store);
    const exported = JSON.parse(
      await run("export", "--config", config, "--shards", "40", "--out", file, "--json"),
    );
    expect(exported).toMatchObject({ fenced: false });
    // In no file, and gone with the move, were the file taken for one of closed shards.
    const [after] = await fill(source, 1, 0x40);
    const args = ["import", "--config", config, "--cluster", "new", "--in", file];
    for (const more of [[], ["--dry-run"]])
      await expect(run(...args, ...more)).rejects.toMatchObject({ code: "conflict" });
    expect(await two.etcdctl(["get", "--prefix", "--keys-only", "/strongroom/open/"])).toBe("");

    const foreign = configFile(section("/strongroom/other/", 1, WHOLE));
    await expect(
      run("import", "--config", foreign, "--cluster", "new", "--in", file, "--unfenced"),
    ).rejects.toMatchObject({ code: "conflict" });
    expect(await two.etcdctl(["get", "--prefix", "--keys-only", "/strongroom/other/"])).toBe("");

    await run(...args, "--unfenced");
    const target = await open(section("/strongroom/open/", 2, { "00-ff": "new" }));
    if (before === undefined || after === undefined) throw new Error("no records");
    expect((await target.get(before.id))?.value).toEqual(before.value);
    expect(await target.get(after.id)).toBeUndefined();
    await source.close();
    await target.close();
  });

  test("a fence is set and lifted by hand", async () => {
    const store = section("/strongroom/fence/", 1, WHOLE);
    const site = await open(store);
    const [a] = await fill(site, 1, 0xff);
    const [b] = await fill(site, 1, 0x00);
    if (a === undefined || b === undefined) throw new Error("no records");
    const config = configFile(store);
    await run("fence", "--config", config, "--shards", "fe-ff");
    await expect(site.get(a.id)).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(site.compareAndSwap(a.id, 1n, a.value)).rejects.toMatchObject({ code: "store-unavailable" });
    expect((await site.get(b.id))?.value).toEqual(b.value);
    await run("fence", "--config", config, "--shards", "00-ff", "--lift");
    expect((await site.get(a.id))?.value).toEqual(a.value);
    await site.close();
  });
});

describe("files and arguments that are refused before anything is written", () => {
  test("every truncation, and a byte changed anywhere", async () => {
    const store = section("/strongroom/broken/", 1, WHOLE);
    const source = await open(store);
    await fill(source, 3, 0x20);
    const good = newFile();
    const config = configFile(store);
    await run("export", "--config", config, "--shards", "20", "--out", good);
    const bytes = readFileSync(good);
    const path = newFile();
    for (let length = 0; length < bytes.length; length += 7) {
      writeFileSync(path, bytes.subarray(0, length));
      await expect(openRecordFile(path)).rejects.toMatchObject({ code: "decode-failed" });
    }
    for (let at = 0; at < bytes.length; at += 5) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(path, changed);
      await expect(openRecordFile(path)).rejects.toMatchObject({ code: "decode-failed" });
    }
    for (const command of [[], ["--dry-run"]])
      await expect(
        run("import", "--config", config, "--cluster", "new", "--in", path, ...command),
      ).rejects.toMatchObject({ code: "decode-failed" });
    expect(await two.etcdctl(["get", "--prefix", "--keys-only", "/strongroom/broken/"])).toBe("");
    await source.close();
  });

  test("ranges, clusters and configurations that do not exist", async () => {
    const config = configFile(section("/strongroom/usage/", 1, { "00-7f": "old", "80-ff": "new" }));
    const refused = (args: string[], code: string): Promise<void> =>
      expect(run(...args, "--config", config)).rejects.toMatchObject({ code });
    await refused(["export", "--out", newFile()], "usage");
    await refused(["export", "--shards", "7f-80", "--out", newFile()], "usage");
    await refused(["export", "--shards", "80-7f", "--out", newFile()], "usage");
    await refused(["export", "--shards", "00", "--cluster", "none", "--out", newFile()], "config-invalid");
    await refused(["import", "--cluster", "new", "--in", join(dir, "none")], "file-failed");
    const lmdb = configFile({ lmdb: { path: "./lmdb" } });
    await expect(run("export", "--config", lmdb, "--out", newFile())).rejects.toMatchObject({
      code: "usage",
    });
    await run("check", "--config", lmdb);
    expect(await run("status", "--config", lmdb, "--json")).toContain('"ok"');
    await expect(run("status", "--config", join(dir, "none.yaml"))).rejects.toMatchObject({
      code: "config-invalid",
    });
  });
});

/** The LMDB store: compare-and-swap, durability under kill -9, full and missing disks, one writer. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { code } from "../support/codes.ts";

const CHILD = fileURLToPath(new URL("../support/store-child.ts", import.meta.url));
const id = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const value = (n: number): Uint8Array => new Uint8Array(1581).fill(n);

let directory: string;
let path: string;
const opened: RecordStore[] = [];

async function openStore(at: string = path): Promise<RecordStore> {
  const store = await openLmdbStore({ path: at });
  opened.push(store);
  return store;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "strongroom-store-"));
  path = join(directory, "store");
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("compare-and-swap", () => {
  test("creates, replaces, and shows what stood in the way", async () => {
    const store = await openStore();
    expect(await store.get(id(1))).toBeUndefined();
    expect(await store.compareAndSwap(id(1), undefined, value(1))).toStrictEqual({
      swapped: true,
      revision: 1n,
    });
    expect(await store.compareAndSwap(id(1), undefined, value(2))).toStrictEqual({
      swapped: false,
      current: { value: value(1), revision: 1n },
    });
    expect(await store.compareAndSwap(id(1), 1n, value(3))).toStrictEqual({ swapped: true, revision: 2n });
    expect(await store.compareAndSwap(id(1), 1n, value(4))).toStrictEqual({
      swapped: false,
      current: { value: value(3), revision: 2n },
    });
    expect(await store.compareAndSwap(id(2), 7n, value(5))).toStrictEqual({
      swapped: false,
      current: undefined,
    });
    expect(await store.get(id(1))).toStrictEqual({ value: value(3), revision: 2n });
    expect(await store.get(id(2))).toBeUndefined();
  });

  test("lets exactly one of many racing swaps win each revision", async () => {
    const store = await openStore();
    const wins = new Map<bigint, number>();
    await Promise.all(
      Array.from({ length: 20 }, async (_, worker) => {
        for (let round = 0; round < 20; round++) {
          const found = await store.get(id(1));
          const result = await store.compareAndSwap(id(1), found?.revision, value(worker));
          if (result.swapped) wins.set(result.revision, (wins.get(result.revision) ?? 0) + 1);
        }
      }),
    );
    expect(new Set(wins.values())).toStrictEqual(new Set([1]));
    expect((await store.get(id(1)))?.revision).toBe(BigInt(wins.size));
  });

  test("shows a read what an earlier swap of this process wrote", async () => {
    const store = await openStore();
    const swaps = Array.from({ length: 50 }, (_, n) => store.compareAndSwap(id(n), undefined, value(n)));
    expect(await store.get(id(49))).toStrictEqual({ value: value(49), revision: 1n });
    await Promise.all(swaps);
  });

  test("outlives closing and opening", async () => {
    const first = await openStore();
    await first.compareAndSwap(id(1), undefined, value(1));
    await first.close();
    await expect(first.get(id(1))).rejects.toThrow(code("store-unavailable"));
    const second = await openStore();
    expect(await second.get(id(1))).toStrictEqual({ value: value(1), revision: 1n });
    await second.check();
  });
});

function child(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", CHILD, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

describe("a killed process", () => {
  test("loses nothing that it was told is durable", async () => {
    const acknowledged = new Map<string, bigint>();
    for (const enough of [50, 500, 2000]) {
      const killed = child("hammer", path);
      if (!killed.stdout) throw new Error("no output");
      let lines = 0;
      for await (const line of createInterface({ input: killed.stdout })) {
        const [name, revision] = line.split(" ");
        if (name && revision) acknowledged.set(name, BigInt(revision));
        if (++lines === enough) killed.kill("SIGKILL");
      }
      if (killed.exitCode === null && killed.signalCode === null) await once(killed, "exit");
      expect(lines).toBeGreaterThanOrEqual(enough);
    }
    const store = await openStore();
    for (const [name, revision] of acknowledged) {
      const found = await store.get(Buffer.from(name, "hex"));
      expect(found?.revision).toBeGreaterThanOrEqual(revision);
    }
    expect(acknowledged.size).toBeGreaterThan(100);
  });
});

describe("one writer", () => {
  test("a second process is refused and told who has the store", async () => {
    const holder = child("hold", path);
    if (!holder.stdout) throw new Error("no output");
    await once(holder.stdout, "data");
    await expect(openStore()).rejects.toThrow(
      expect.objectContaining({
        code: "store-unavailable",
        message: expect.stringContaining(`process ${holder.pid}`),
      }),
    );
    holder.kill("SIGKILL");
    await once(holder, "exit");
    await (await openStore()).check();
  });

  test("the same process is refused, until it closes the store", async () => {
    const store = await openStore();
    await expect(openStore()).rejects.toThrow(code("store-unavailable"));
    await store.close();
    await openStore();
  });

  test.each([
    ["another boot", `${process.pid} 1 00000000-0000-0000-0000-000000000000`],
    ["a process that is gone", "4194304 1 x"],
    ["nobody", ""],
  ])("a lock left by %s does not keep anybody out", async (_, owner) => {
    mkdirSync(path);
    writeFileSync(join(path, "writer.pid"), owner);
    await (await openStore()).check();
    expect(readFileSync(join(path, "writer.pid"), "utf8")).toMatch(new RegExp(`^${process.pid} `));
  });
});

/** Runs the child in a mount namespace with a small tmpfs of its own: a disk that really fills up. */
function onSmallDisk(size: string, script: string): string {
  const namespace = process.getuid?.() === 0 ? "--mount" : "--user --map-root-user --mount";
  const mount = `mount -t tmpfs -o size=${size} tmpfs "$1" && exec "$2" --import tsx "$3" ${script}`;
  const outer = `exec unshare ${namespace} sh -c "$0" sh "$@"`;
  return execFileSync("sh", ["-c", outer, mount, directory, process.execPath, CHILD], { encoding: "utf8" });
}

describe("a full disk", () => {
  test("refuses writes, keeps what was acknowledged, and goes on when there is space", () => {
    const told = JSON.parse(onSmallDisk("6m", 'fill "$1/store" "$1/ballast"'));
    expect(Object.keys(told.full).sort()).toStrictEqual(["store-full", "swapped"]);
    expect(told.full.swapped).toBeGreaterThan(500);
    expect(told.checkWhenFull).toBe("store-full");
    expect(told.lostWhenFull).toBe(0);
    expect(told.freed).toStrictEqual({ swapped: 200 });
    expect(told.checkWhenFreed).toBe("ok");
    expect(told.lostAtTheEnd).toBe(0);
  });

  test("is told at once where there is no room to begin", () => {
    expect(onSmallDisk("200k", 'hold "$1/store"')).toBe("store-full");
  });
});

describe("a missing disk", () => {
  test("takes no write while the directory is away, and goes on when it is back", async () => {
    const store = await openStore();
    await store.compareAndSwap(id(1), undefined, value(1));
    renameSync(path, `${path}.away`);
    await expect(store.check()).rejects.toThrow(code("store-unavailable"));
    await expect(store.get(id(1))).rejects.toThrow(code("store-unavailable"));
    await expect(store.compareAndSwap(id(1), 1n, value(2))).rejects.toThrow(code("store-unavailable"));
    renameSync(`${path}.away`, path);
    await store.check();
    expect(await store.compareAndSwap(id(1), 1n, value(3))).toStrictEqual({ swapped: true, revision: 2n });
  });

  test("acknowledges nothing that went to a file which was moved away meanwhile", async () => {
    const store = await openStore();
    await store.compareAndSwap(id(1), undefined, value(1));
    const swap = store.compareAndSwap(id(1), 1n, value(2));
    renameSync(path, `${path}.away`);
    await expect(swap).rejects.toThrow(expect.objectContaining({ wire: "unavailable" }));
    renameSync(`${path}.away`, path);
  });

  test("does not take another store for its own", async () => {
    const store = await openStore();
    renameSync(path, `${path}.away`);
    await (await openStore()).compareAndSwap(id(1), undefined, value(9));
    await expect(store.get(id(1))).rejects.toThrow(code("store-unavailable"));
  });

  test("a path that is no directory, or no store, is refused", async () => {
    writeFileSync(path, "");
    await expect(openStore()).rejects.toThrow(code("store-unavailable"));
    const other = join(directory, "other");
    mkdirSync(other);
    writeFileSync(join(other, "data.mdb"), new Uint8Array(8192).fill(1));
    await expect(openStore(other)).rejects.toThrow(code("store-unavailable"));
  });

  test("a file that has lost its end is refused, and not read as far as it goes", async () => {
    const store = await openStore();
    for (let n = 0; n < 200; n++) await store.compareAndSwap(id(n), undefined, value(n));
    await store.close();
    const file = join(path, "data.mdb");
    const whole = readFileSync(file);
    for (const bytes of [100, 4_096, 8_192, 65_536]) {
      writeFileSync(file, whole.subarray(0, bytes));
      await expect(openStore()).rejects.toThrow(code("store-unavailable"));
    }
    writeFileSync(file, whole);
    expect((await (await openStore()).get(id(199)))?.value).toStrictEqual(value(199));
  });
});

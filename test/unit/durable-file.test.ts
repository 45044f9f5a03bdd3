import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import {
  createPrivate,
  makeFolder,
  moveFolder,
  readIfThere,
  readIfThereSync,
  writeDurably,
  writeDurablySync,
} from "../../src/base/node/durable-file.ts";

const home = mkdtempSync(join(tmpdir(), "strongroom-durable-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** What reaches the disk, in its order: `sync NAME` for a file or folder, `rename`. */
const calls: string[] = [];
const nameOf = (fd: number): string => fs.readlinkSync(`/proc/self/fd/${fd}`).slice(dir.length);
let dir = "";

vi.mock("node:fs", async (original) => {
  const real = await original<typeof fs>();
  const fsyncSync = (fd: number): void => {
    calls.push(`sync ${nameOf(fd)}`);
    real.fsyncSync(fd);
  };
  const renameSync = (from: fs.PathLike, to: fs.PathLike): void => {
    calls.push("rename");
    real.renameSync(from, to);
  };
  return { ...real, fsyncSync, renameSync };
});
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    rename: (from: string, to: string) => {
      calls.push("rename");
      return real.rename(from, to);
    },
  };
});

let spy: ReturnType<typeof vi.spyOn>;
beforeEach(async () => {
  dir = mkdtempSync(join(home, "t-"));
  const handle = await open(dir, "r");
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { sync } = prototype;
  spy = vi.spyOn(prototype, "sync").mockImplementation(function (this: FileHandle) {
    calls.push(`sync ${nameOf(this.fd)}`);
    return sync.call(this);
  });
  calls.length = 0;
});
afterEach(() => spy.mockRestore());

/** Relative paths, as people type them. */
async function inside<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = process.cwd();
  process.chdir(folder);
  try {
    return await work();
  } finally {
    process.chdir(before);
  }
}

const mode = (path: string): number => statSync(path).mode & 0o777;

describe.each([
  ["writeDurably", writeDurably],
  ["writeDurablySync", async (path: string, bytes: Uint8Array) => writeDurablySync(path, bytes)],
] as const)("%s", (_, write) => {
  test("syncs new folders, then the file, names it, and syncs the name", async () => {
    await write(join(dir, "a", "b", "file"), utf8("one"));
    expect(calls).toEqual([
      "sync /a",
      "sync ",
      expect.stringMatching(/^sync \/a\/b\/\.[0-9a-f]{12}\.tmp$/),
      "rename",
      "sync /a/b",
    ]);
    expect(readFileSync(join(dir, "a", "b", "file"), "utf8")).toBe("one");
  });

  test("replaces a file, and leaves nothing else", async () => {
    for (const text of ["one", "two"]) await write(join(dir, "file"), utf8(text));
    expect(readFileSync(join(dir, "file"), "utf8")).toBe("two");
    expect(readdirSync(dir)).toEqual(["file"]);
    expect(mode(join(dir, "file"))).toBe(0o644);
  });

  test("that fails leaves what was there, and nothing else", async () => {
    mkdirSync(join(dir, "file", "in the way"), { recursive: true });
    await expect(write(join(dir, "file"), utf8("one"))).rejects.toMatchObject({ code: "file-failed" });
    expect(readdirSync(dir)).toEqual(["file"]);
    await write(join(dir, "no folder"), utf8(""));
    await expect(write(join(dir, "no folder", "file"), utf8("one"))).rejects.toMatchObject({
      code: "file-failed",
    });
  });
});

test.each([
  ["a", ["sync "]],
  ["a/b/", ["sync /a", "sync "]],
  ["./a//b", ["sync /a", "sync "]],
])("the folder %s is made, and ends", async (path, synced) => {
  await inside(dir, () => makeFolder(path));
  expect(calls).toEqual(synced);
});

test("what is private is so from the start, its folder too", () => {
  writeDurablySync(join(dir, "private", "share"), utf8("s"), 0o600);
  expect(mode(join(dir, "private", "share"))).toBe(0o600);
  expect(mode(join(dir, "private"))).toBe(0o700);
});

test("a new private file is durable, and never replaces one", async () => {
  const path = join(dir, "pin");
  await createPrivate(path, utf8("1234"));
  expect(calls).toEqual(["sync /pin", "sync "]);
  expect(mode(path)).toBe(0o600);
  await expect(createPrivate(path, utf8("5678"))).rejects.toMatchObject({ code: "file-failed" });
  expect(readFileSync(path, "utf8")).toBe("1234");
});

test("no file is undefined; a large one, and what is no file, are errors", async () => {
  const path = join(dir, "file");
  expect(await readIfThere(path, 3)).toBeUndefined();
  expect(readIfThereSync(path)).toBeUndefined();
  await writeDurably(path, utf8("four"));
  expect(await readIfThere(path, 4)).toEqual(utf8("four"));
  expect(readIfThereSync(path)).toEqual(utf8("four"));
  await expect(readIfThere(path, 3)).rejects.toMatchObject({ code: "file-failed" });
  await expect(readIfThere(dir)).rejects.toMatchObject({ code: "file-failed" });
  expect(() => readIfThereSync(dir)).toThrow(expect.objectContaining({ code: "file-failed" }));
});

test("a folder moves whole, and its new name is durable", async () => {
  await makeFolder(join(dir, "from"));
  await writeDurably(join(dir, "from", "file"), utf8("one"));
  calls.length = 0;
  await moveFolder(join(dir, "from"), join(dir, "to", "there"));
  expect(calls).toEqual(["sync ", "rename", "sync /to"]);
  expect(readFileSync(join(dir, "to", "there", "file"), "utf8")).toBe("one");
  expect(existsSync(join(dir, "from"))).toBe(false);
  await expect(moveFolder(join(dir, "from"), join(dir, "again"))).rejects.toMatchObject({
    code: "file-failed",
  });
});

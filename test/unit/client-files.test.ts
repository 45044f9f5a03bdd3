/** `strongroom client backup` and `restore` with a key file: what appears on the disk, and what never does. */
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { toBase64Url } from "../../src/base/bytes.ts";
import { FOLDER_MARK } from "../../src/cli/client-archive.ts";
import { checkKeyFile } from "../../src/cli/client-key-file.ts";
import { formatBytes, formatDuration, formatElapsed, progressLine } from "../../src/cli/client-progress.ts";
import { ageIdentity } from "../../src/client/index.ts";
import { STRONGROOM } from "../support/cli.ts";
import { code as withCode } from "../support/codes.ts";

let dir = "";
let key = "";

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
/** Runs `strongroom client …` in the test's directory. */
function client(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...STRONGROOM, "client", ...args], { cwd: dir }, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, out, err });
    });
  });
}
const here = (name: string): string => join(dir, name);
/** Names without a leading dot, and those that temporary things would have. */
const partials = (): readonly string[] => readdirSync(dir).filter((name) => name.startsWith("."));

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-files-"));
  key = here("key.txt");
  const backupKey = Uint8Array.from({ length: 32 }, () => 9);
  const lines = [`# strongroom backup key v1: ${toBase64Url(backupKey)}`, ageIdentity(backupKey), ""];
  writeFileSync(key, lines.join("\n"), { mode: 0o600 });
});
beforeEach(() => {
  for (const name of readdirSync(dir))
    if (name !== "key.txt") rmSync(here(name), { recursive: true, force: true });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function makeFolder(): void {
  mkdirSync(here("folder/deep/er"), { recursive: true });
  mkdirSync(here("folder/empty"));
  writeFileSync(here("folder/a file – with ünusual name"), "content");
  writeFileSync(here("folder/-rf"), "a name like an option");
  writeFileSync(here("folder/deep/er/script"), "#!/bin/sh\n");
  chmodSync(here("folder/deep/er/script"), 0o751);
  writeFileSync(here("folder/secret"), "only mine");
  chmodSync(here("folder/secret"), 0o600);
  symlinkSync("deep/er/script", here("folder/link"));
  symlinkSync("/nonexistent/outside", here("folder/dangling"));
  utimesSync(here("folder/secret"), 1_000_000_000, 1_000_000_000);
  chmodSync(here("folder"), 0o750);
}

describe("a folder", () => {
  test("comes back with everything in it", async () => {
    makeFolder();
    expect(await client("backup", "folder", "-o", "x.age", "--identity", key)).toMatchObject({
      code: 0,
      out: "",
    });
    expect(statSync(here("x.age")).mode & 0o777).toBe(0o600);
    const restored = await client("restore", "x.age", "-o", "again", "--identity", key, "--json");
    expect(JSON.parse(restored.out)).toMatchObject({ out: "again", kind: "folder" });
    execFileSync("diff", ["-r", "--no-dereference", here("folder"), here("again")]);
    expect(readlinkSync(here("again/link"))).toBe("deep/er/script");
    expect(readlinkSync(here("again/dangling"))).toBe("/nonexistent/outside");
    const modes = ["", "secret", "deep/er/script"].map(
      (name) => statSync(join(here("again"), name)).mode & 0o777,
    );
    expect(modes).toEqual([0o750, 0o600, 0o751]);
    expect(statSync(here("again/secret")).mtimeMs).toBe(1_000_000_000_000);
    expect(partials()).toEqual([]);
  });

  test("is what age and tar alone also restore", async () => {
    makeFolder();
    await client("backup", "folder", "-o", "x.age", "--identity", key);
    mkdirSync(here("by-hand"));
    const tar = execFileSync("age", ["-d", "-i", key, here("x.age")]);
    expect(tar.subarray(0, FOLDER_MARK.length)).toEqual(Buffer.from(FOLDER_MARK));
    const told = execFileSync("tar", ["-x", "-v", "-C", here("by-hand")], { input: tar, encoding: "utf8" });
    expect(told).not.toContain("pax_global_header");
    execFileSync("diff", ["-r", "--no-dereference", here("folder"), here("by-hand")]);
  });

  test("and files beside it come back under their names", async () => {
    makeFolder();
    writeFileSync(here("b.txt"), "b");
    expect((await client("backup", "folder", "b.txt", "-o", "x.age", "--identity", key)).code).toBe(0);
    expect((await client("restore", "x.age", "-o", "both", "--identity", key)).code).toBe(0);
    expect(readdirSync(here("both")).sort()).toEqual(["b.txt", "folder"]);
  });

  test("that somebody packed to reach outside stays inside", async () => {
    mkdirSync(here("in"));
    writeFileSync(here("in/evil"), "evil");
    symlinkSync(dir, here("in/exit"));
    const pack = (...args: readonly string[]): Buffer =>
      execFileSync("tar", ["-c", "--format=pax", "-P", "-C", here("in"), ...args]);
    const target = `${dir.slice(1)}/outside`;
    const archives = [
      pack("--transform", "s,^,../,", "evil"),
      pack("--transform", `s,^evil$,/${target},`, "evil"),
      pack("exit", "--transform", "s,^evil$,exit/outside,", "evil"),
    ];
    const recipient = execFileSync("age-keygen", ["-y", key], { encoding: "utf8" }).trim();
    for (const [i, archive] of archives.entries()) {
      const input = Buffer.concat([FOLDER_MARK, archive]);
      execFileSync("age", ["-r", recipient, "-o", here(`evil-${i}.age`)], { input });
      await client("restore", `evil-${i}.age`, "-o", `out-${i}`, "--identity", key);
      expect(existsSync(here("outside"))).toBe(false);
      expect(existsSync(here("evil"))).toBe(false);
    }
    expect(partials()).toEqual([]);
  });
});

describe("a file", () => {
  test("comes back as it was, a tar archive too", async () => {
    makeFolder();
    execFileSync("tar", ["-cf", here("plain.tar"), "-C", dir, "folder"]);
    writeFileSync(here("nothing"), "");
    for (const name of ["plain.tar", "nothing"]) {
      const made = await client("backup", name, "-o", `${name}.age`, "--identity", key, "--json");
      expect(JSON.parse(made.out)).toMatchObject({ kind: "file", bytesRead: statSync(here(name)).size });
      expect((await client("restore", `${name}.age`, "-o", "back", "--identity", key, "--force")).code).toBe(
        0,
      );
      expect(readFileSync(here("back"))).toEqual(readFileSync(here(name)));
      expect(lstatSync(here("back")).mode & 0o777).toBe(0o600);
    }
  });

  test("that is there already is overwritten only on demand, in one step", async () => {
    writeFileSync(here("a"), "new");
    writeFileSync(here("x.age"), "old");
    const refused = await client("backup", "a", "-o", "x.age", "--identity", key);
    expect(refused).toMatchObject({ code: 2, err: expect.stringMatching(/exists already\nhint: --force/) });
    expect(readFileSync(here("x.age"), "utf8")).toBe("old");
    expect((await client("backup", "a", "-o", "x.age", "--identity", key, "--force")).code).toBe(0);
    writeFileSync(here("b"), "old");
    expect((await client("restore", "x.age", "-o", "b", "--identity", key)).code).toBe(2);
    expect((await client("restore", "x.age", "-o", "b", "--identity", key, "--force")).code).toBe(0);
    expect(readFileSync(here("b"), "utf8")).toBe("new");
    mkdirSync(here("folder"));
    writeFileSync(here("folder/old"), "old");
    await client("restore", "x.age", "-o", "folder", "--identity", key, "--force");
    expect(readFileSync(here("folder"), "utf8")).toBe("new");
    expect(partials()).toEqual([]);
  });
});

describe("a folder that stands where something is to be written", () => {
  test("is never lost to a backup or to a key, not even with --force", async () => {
    makeFolder();
    writeFileSync(here("a"), "a");
    const ended = await client("backup", "a", "-o", "folder", "--identity", key, "--force");
    expect(ended).toMatchObject({
      code: 2,
      err: expect.stringMatching(/folder is a folder\nhint: name the/),
    });
    await expect(checkKeyFile(here("folder"), true)).rejects.toThrow(withCode("usage"));
    expect(readFileSync(here("folder/secret"), "utf8")).toBe("only mine");
  });

  test("is not replaced by what is restored from a backup or a key inside of it", async () => {
    makeFolder();
    writeFileSync(here("a"), "a");
    await client("backup", "a", "-o", "folder/deep/x.age", "--identity", key);
    writeFileSync(here("folder/key"), readFileSync(key), { mode: 0o600 });
    symlinkSync("folder/deep", here("way"));
    for (const [from, to, identity] of [
      ["folder/deep/x.age", "folder", key],
      ["way/x.age", "folder/deep/.", key],
      ["way/x.age", "folder/empty/..", key],
      ["x.age", "folder", "folder/key"],
    ] as const) {
      if (from === "x.age") writeFileSync(here("x.age"), readFileSync(here("folder/deep/x.age")));
      const ended = await client("restore", from, "-o", to, "--identity", identity, "--force");
      expect(ended).toMatchObject({ code: 2, err: expect.stringContaining("is in it\nhint: restore to") });
    }
    expect(readFileSync(here("folder/secret"), "utf8")).toBe("only mine");
    // What stands beside it may go.
    expect(
      (await client("restore", "way/x.age", "-o", "folder/empty", "--identity", key, "--force")).code,
    ).toBe(0);
  });
});

test("a file that changed while it was read is warned of, as a folder's are", async () => {
  writeFileSync(here("growing"), Buffer.alloc(60_000_000));
  const backup = client("backup", "growing", "-o", "x.age", "--identity", key, "--json");
  while (!partials().some((name) => statSync(here(name)).size > 0))
    await new Promise((r) => setTimeout(r, 5));
  writeFileSync(here("growing"), "more", { flag: "a" });
  const { out, code } = await backup;
  expect([code, JSON.parse(out).warnings]).toEqual([
    0,
    [expect.stringMatching(/growing changed while it was/)],
  ]);
});

test("what tar cannot make is the reason that is told, not a time of long ago", async () => {
  mkdirSync(here("old"));
  writeFileSync(here("old/a"), "a");
  writeFileSync(here("old/b"), "b");
  execFileSync("touch", ["--date=@-300000000", here("old/a")]);
  await client("backup", "old", "-o", "x.age", "--identity", key);
  expect((await client("restore", "x.age", "-o", "new", "--identity", key)).code).toBe(0);
  expect(statSync(here("new/a")).mtimeMs).toBe(-300_000_000_000);
  const long = "d".repeat(250);
  const bad = execFileSync(
    "tar",
    ["-c", "--format=pax", "--transform", `s,^old/b$,${`${long}/`.repeat(17)}b,`, "old/a", "old/b"],
    { cwd: dir },
  );
  const recipient = execFileSync("age-keygen", ["-y", key], { encoding: "utf8" }).trim();
  execFileSync("age", ["-r", recipient, "-o", here("bad.age")], { input: Buffer.concat([FOLDER_MARK, bad]) });
  const { code, err } = await client("restore", "bad.age", "-o", "not", "--identity", key);
  expect([code, err]).toEqual([1, expect.stringMatching(/File name too long\nhint: .*age --decrypt/)]);
  expect(existsSync(here("not"))).toBe(false);
});

describe("a backup that is damaged", () => {
  test.each(["file", "folder"])("leaves nothing of a %s, whether cut or changed", async (kind) => {
    makeFolder();
    writeFileSync(here("folder/large"), Buffer.alloc(400_000, 1));
    await client("backup", kind === "file" ? "folder/large" : "folder", "-o", "x.age", "--identity", key);
    const whole = readFileSync(here("x.age"));
    const flipped = Buffer.from(whole);
    flipped[300_000] = (flipped[300_000] ?? 0) ^ 1;
    for (const bytes of [
      whole.subarray(0, -1),
      whole.subarray(0, 300_000),
      whole.subarray(0, 100),
      flipped,
    ]) {
      writeFileSync(here("bad.age"), bytes);
      const { code, out, err } = await client("restore", "bad.age", "-o", "out", "--identity", key, "--json");
      expect(JSON.parse(out)).toMatchObject({ error: { code: "backup-invalid" } });
      expect(err).toContain("damaged or cut short");
      expect(code).toBe(1);
      expect(existsSync(here("out"))).toBe(false);
      expect(partials()).toEqual([]);
    }
  });

  test("does not cost what was there before, even with --force", async () => {
    writeFileSync(here("a"), Buffer.alloc(200_000, 1));
    await client("backup", "a", "-o", "x.age", "--identity", key);
    truncateSync(here("x.age"), 150_000);
    expect((await client("restore", "x.age", "-o", "a", "--identity", key, "--force")).code).toBe(1);
    expect(readFileSync(here("a"))).toEqual(Buffer.alloc(200_000, 1));
  });
});

/** Runs a shell script in a mount namespace of its own, with a small disk at `small`. */
function onSmallDisk(script: string): string {
  mkdirSync(here("small"));
  const asRoot = process.getuid?.() === 0;
  const command = `mount -t tmpfs -o size=1m tmpfs small && strongroom() { "${process.execPath}" ${STRONGROOM.join(" ")} "$@" 2>&1; echo "exit $?"; }; ${script}; ls -A small`;
  const args = [...(asRoot ? [] : ["--user", "--map-root-user"]), "--mount", "bash", "-c", command];
  return execFileSync("unshare", args, { cwd: dir, encoding: "utf8" });
}

describe("a disk that is full", () => {
  test("is told, and the partial file is gone", () => {
    writeFileSync(here("a"), Buffer.alloc(3_000_000, 1));
    const told = onSmallDisk(`strongroom client backup a -o small/x.age --identity ${key}`);
    expect(told).toMatch(
      /^strongroom: cannot write small\/x\.age: no space left on the device\nhint: .*\nexit 1\n$/,
    );
  });

  test.each(["file", "folder"])(
    "is told when a %s is restored, and nothing partial is left",
    async (kind) => {
      mkdirSync(here("folder"));
      writeFileSync(here("folder/a"), Buffer.alloc(3_000_000, 1));
      await client("backup", kind === "file" ? "folder/a" : "folder", "-o", "x.age", "--identity", key);
      const told = onSmallDisk(`strongroom client restore x.age -o small/out --identity ${key}`);
      expect(told).toMatch(
        /^strongroom: cannot .*no space left on.*device.*\nhint: free some space.*\nexit 1\n$/i,
      );
    },
  );
});

describe("what cannot be backed up", () => {
  test("is told without leaving anything", async () => {
    makeFolder();
    mkdirSync(here("other/folder"), { recursive: true });
    const cases: [readonly string[], number, string][] = [
      [["nowhere", "-o", "x.age"], 1, "cannot back up nowhere: no such file or directory"],
      [["/dev/null", "-o", "x.age"], 2, "neither a file nor a folder"],
      [["folder", "-o", "folder/x.age"], 2, "would become a part of its own backup"],
      [["folder", "-o", "folder/..x.age"], 2, "would become a part of its own backup"],
      [["folder", "other/folder", "-o", "x.age"], 2, "the same name"],
      [["folder", "-o", "missing/x.age"], 1, "cannot write missing/x.age"],
    ];
    for (const [args, code, message] of cases) {
      const ended = await client("backup", ...args, "--identity", key);
      expect(ended.err).toContain(message);
      expect(ended.code).toBe(code);
    }
    expect(existsSync(here("x.age"))).toBe(false);
    expect(partials()).toEqual([]);
  });

  test("a file that may not be read is told, and nothing partial is left", () => {
    writeFileSync(here("a"), "a");
    chmodSync(here("a"), 0o000);
    const args = [process.execPath, ...STRONGROOM, "client", "backup", "a", "-o", "x.age", "--identity", key];
    // Root may read everything, unless it has given that up.
    const asOthers =
      process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : ["env"];
    const [command = "", ...rest] = [...asOthers, ...args];
    const { status, stderr } = spawnSync(command, rest, { cwd: dir, encoding: "utf8" });
    expect([status, stderr]).toEqual([
      1,
      `strongroom: cannot read ${realpathSync(here("a"))}: permission denied\n`,
    ]);
    expect(partials()).toEqual([]);
  });

  test("an interrupt leaves nothing", async () => {
    writeFileSync(here("endless"), "");
    truncateSync(here("endless"), 2 ** 33);
    const args = [...STRONGROOM, "client", "backup", "endless", "-o", "x.age", "--identity", key];
    const child = spawn(process.execPath, args, { cwd: dir, stdio: "ignore" });
    const exited = once(child, "exit");
    while (!partials().some((name) => statSync(here(name)).size > 0))
      await new Promise((r) => setTimeout(r, 50));
    child.kill("SIGTERM");
    expect(await exited).toEqual([143, null]);
    expect(existsSync(here("x.age"))).toBe(false);
    expect(partials()).toEqual([]);
  });
});

describe("key files", () => {
  test("of other origin open age files but hold no backup key", async () => {
    execFileSync("age-keygen", ["-o", here("own")], { stdio: "ignore" });
    writeFileSync(here("a"), "a");
    await client("backup", "a", "-o", "x.age", "--identity", "own");
    expect((await client("restore", "x.age", "-o", "b", "--identity", "own")).code).toBe(0);
    writeFileSync(here("empty"), "");
    const ended = await client("restore", "x.age", "-o", "c", "--identity", "empty");
    expect(ended).toMatchObject({ code: 1, err: expect.stringContaining("holds no age identity") });
    const other = await client("restore", "x.age", "-o", "c", "--identity", key);
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining("made for another key") });
  });
});

test("with --json wrong usage is told as JSON too, and help is not", async () => {
  for (const args of [
    ["backup", "a", "--json"],
    ["restore", "--json"],
    ["status", "--bogus", "--json"],
    ["recover", "--json", "--config"],
  ]) {
    const { code, out, err } = await client(...args);
    expect(code).toBe(2);
    expect(JSON.parse(out)).toEqual({ error: { code: "usage", message: expect.any(String) } });
    expect(err).toContain(`strongroom: ${JSON.parse(out).error.message}`);
  }
  const help = await client("backup", "--help", "--json");
  expect([help.code, help.out]).toEqual([0, expect.stringMatching(/^Usage: /)]);
  expect((await client("backup", "a")).out).toBe("");
});

test("sizes, times and progress read well", () => {
  expect([0, 999, 1000, 1_549, 999_499, 12_345_678, 3.2e12].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "1.5 kB",
    "999 kB",
    "12.3 MB",
    "3.2 TB",
  ]);
  expect([0, 59.6, 754, 11_100].map(formatDuration)).toEqual(["0:00", "1:00", "12:34", "3:05:00"]);
  expect([0.04, 12].map(formatElapsed)).toEqual(["0.0 s", "0:12"]);
  expect(progressLine("backing up", 5e8, 2e9, 1e8)).toBe(
    "backing up  500 MB of 2.0 GB  25%  100 MB/s  0:15 left",
  );
  expect(progressLine("backing up", 5e8, undefined, 0)).toBe("backing up  500 MB");
});

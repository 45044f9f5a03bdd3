/**
 * kill -9 of a log's writer at every step, and again while the next one finishes: whatever was signed or published at
 * any moment, there is one root of every size, each tree begins with the one before, and the log goes on.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { parseCheckpoint, verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { rootAt } from "../../src/merkle/proofs.ts";
import { hashReader, newTiles, readEntry, TILE_WIDTH, tilePath, tileReader } from "../../src/merkle/tiles.ts";
import { verifierKey } from "../../src/merkle/vkey.ts";
import { fileSigner, makeLogFolder, ORIGIN, openFileLog } from "../support/log-writer.ts";

// In memory where that can be: kill -9 loses nothing that was written, and fsync is not waited for.
const MEMORY = "/dev/shm";
const dir = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "strongroom-log-kill-"));
const start = join(dir, "start");
/** One file, as many processes load it. */
const child = join(dir, "log-kill.mjs");
const FIRST = TILE_WIDTH - 1;
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(
  at: string,
  kill: number,
  ...entries: readonly string[]
): { readonly killed: boolean; readonly out: string } {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [child, at, `${kill}`, ...entries], {
    encoding: "utf8",
  });
  if (signal !== "SIGKILL" && status !== 0) throw new Error(`the writer failed: ${stderr}`);
  return { killed: signal === "SIGKILL", out: stdout };
}

/** The texts of every checkpoint that a signature was made for, and of the published one. */
function shown(at: string): readonly string[] {
  const signed = join(at, "signed");
  const texts = existsSync(signed)
    ? readFileSync(signed, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as string)
    : [];
  const key = verifierKey("note", ORIGIN, fileSigner(at).publicKey);
  return [
    ...texts,
    verifyCheckpoint(readFileSync(join(at, "public/checkpoint"), "utf8"), { logs: [key] }).note.text,
  ];
}

/**
 * The published files are whole, and everything that was ever shown is the beginning of their tree.
 * @returns the entries after the first 255
 */
async function check(at: string, texts: readonly string[]): Promise<readonly string[]> {
  const size = Math.max(...texts.map((text) => parseCheckpoint(text).size));
  const get = (path: string): Promise<Uint8Array | undefined> =>
    readFile(join(at, "public", path)).then(
      (bytes) => Uint8Array.from(bytes),
      () => undefined,
    );
  for (const tile of newTiles(0, size)) expect(await get(tilePath(tile)), tilePath(tile)).toBeDefined();
  const read = tileReader(get);
  for (const text of texts) {
    const checkpoint = parseCheckpoint(text);
    expect(toHex(checkpoint.root)).toBe(toHex(await rootAt(checkpoint.size, hashReader(size, read))));
  }
  const indices = Array.from({ length: size - FIRST }, (_, after) => FIRST + after);
  return Promise.all(
    indices.map(async (index) => Buffer.from(await readEntry(index, size, read)).toString()),
  );
}

beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL("../support/log-kill.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: child,
    logLevel: "error",
  });
  makeLogFolder(start);
  // One entry below a full tile: the next growth writes full ones, partial ones and a level more.
  const log = await openFileLog(start);
  await log.appendAll(
    Array.from({ length: FIRST }, (_, at) => utf8(`entry ${at}`)),
    0,
  );
  await log.close();
});

test("killed at every step, and its successor too", async () => {
  const whole = join(dir, "whole");
  cpSync(start, whole, { recursive: true });
  const steps = Number(run(whole, -1, "a", "b").out);
  expect(steps).toBeGreaterThan(30);
  const outcomes = { undone: 0, finished: 0 };
  for (let kill = 0; kill < steps; kill++) {
    const at = join(dir, `${kill}`);
    cpSync(start, at, { recursive: true });
    expect(run(at, kill, "a", "b").killed).toBe(true);
    const texts = [...shown(at)];
    // Another writer with other entries, killed now and then as well.
    if (kill % 5 === 0) run(at, (kill * 7) % steps, "c", "d");
    texts.push(...shown(at));
    const log = await openFileLog(at);
    await log.append(utf8("e"), log.size());
    await log.close();
    const last = await check(at, [...texts, ...shown(at)]);
    expect(last.join(" ")).toMatch(/^(?:a b )?(?:c d )?e$/);
    outcomes[last[0] === "a" ? "finished" : "undone"]++;
    rmSync(at, { recursive: true });
  }
  // A kill before the anchor knew of it leaves nothing; one after it loses nothing.
  expect(outcomes.undone).toBeGreaterThan(3);
  expect(outcomes.finished).toBeGreaterThan(20);
});

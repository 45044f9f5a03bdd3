/** The bundles of a site's directory: what it takes, what it says of them to its operator. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { type BundleShelf, openBundles } from "../../src/service/bundles.ts";
import { encodePins } from "../../src/trust/pins.ts";
import { encodeManifest } from "../../src/wire/manifest.ts";
import { FixtureLog, fixtureFleet, newSigners, tampered } from "../support/log-fixture.ts";

const DAY_MS = 86_400_000;
const home = mkdtempSync(join(tmpdir(), "strongroom-shelf-"));
const directory = join(home, "bundles");
const pinsFile = join(home, "pins.json");
const fleet = fixtureFleet("own");
const manifestSha256 = sha256HexOf(encodeManifest(fleet.manifest));
const events: string[] = [];
let now = Date.now();
let shelf: BundleShelf | undefined;

async function open(log: FixtureLog, epochs: readonly number[], everyMs = 60_000): Promise<BundleShelf> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  writeFileSync(pinsFile, encodePins(log.pins));
  for (const epoch of epochs) place(epoch, log.epoch(epoch).bytes);
  return reopen(everyMs);
}
async function reopen(everyMs = 60_000): Promise<BundleShelf> {
  shelf?.close();
  events.length = 0;
  shelf = await openBundles({
    directory,
    pinsFile,
    fleet: "own",
    manifestSha256,
    log: { event: (_level, name, fields) => events.push([name, ...Object.values(fields ?? {})].join(" ")) },
    clock: { now: () => now },
    everyMs,
  });
  return shelf;
}
const place = (epoch: number, bytes: Uint8Array): void =>
  writeFileSync(join(directory, `${epoch}.json`), bytes);

afterEach(() => {
  shelf?.close();
  now = Date.now();
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home);
});

test("the newest that is genuine is served at once, whatever lies beside it", async () => {
  const log = await FixtureLog.of(3);
  await open(log, [1, 2, 3]);
  place(3, await tampered(log, "unlogged"));
  writeFileSync(join(directory, "notes.txt"), "not a bundle");
  const opened = await reopen();
  expect([opened.newest()?.epoch, opened.newest()?.bytes]).toEqual([2, log.epoch(2).bytes]);
  expect(events).toEqual(["bundle refused 3", "bundle taken 2"]);
  expect(await opened.of(1)).toEqual(log.epoch(1).bytes);
  expect(await opened.of(3)).toBeUndefined();
});

test("a file that holds another epoch than its name says is refused", async () => {
  const log = await FixtureLog.of(2);
  const opened = await open(log, [2]);
  place(7, log.epoch(2).bytes);
  expect((await reopen()).newest()?.epoch).toBe(2);
  expect(events).toContain("bundle refused 7");
  opened.close();
});

test("rotated keys are learnt from the epochs between, and only from them", async () => {
  const log = FixtureLog.create();
  const fleets = [fleet];
  const [old, fresh] = [log.signers, newSigners()];
  await log.add({ fleets });
  await log.add({ keys: log.keysOf(old, fresh) });
  await log.add({ keys: log.keysOf(fresh), signers: fresh });
  expect((await open(log, [1, 2, 3])).newest()?.epoch).toBe(3);
  expect((await open(log, [1, 3])).newest()?.epoch).toBe(1);
});

test("what disappears is served on; what comes is taken", async () => {
  const log = await FixtureLog.of(2);
  const opened = await open(log, [1], 20);
  rmSync(directory, { recursive: true });
  await expect.poll(() => events, { timeout: 20_000 }).toContain("bundles not readable");
  expect(opened.newest()?.epoch).toBe(1);
  mkdirSync(directory);
  place(2, log.epoch(2).bytes);
  await expect.poll(() => opened.newest()?.epoch, { timeout: 20_000 }).toBe(2);
});

test("operators are told what clients will make of it", async () => {
  const log = FixtureLog.create();
  const said = async (): Promise<string> => {
    const { ok, detail } = (await open(log, log.epochs.length === 0 ? [] : [log.epochs.length])).part();
    return `${ok ? "well" : "not well"}: ${detail}`;
  };
  expect(await said()).toMatch(/^not well: no bundle yet/);
  await log.add({ fleets: [fleet] });
  expect(await said()).toMatch(/^well: epoch 1, active, valid until \d/);
  now += 24 * DAY_MS;
  expect(await said()).toMatch(/^not well: epoch 1, active, valid until/);
  now += 7 * DAY_MS;
  expect(await said()).toMatch(/^not well: epoch 1: .*expired/);
  now = Date.now();
  await log.add({ fleets: [fixtureFleet("other")] });
  expect(await said()).toBe("not well: epoch 2 does not announce this fleet");
  await log.add({ fleets: [fixtureFleet("own")] });
  expect(await said()).toBe("not well: epoch 3 announces another manifest of this fleet");
  await log.add({ fleets: [{ ...fleet, status: "revoked" }] });
  expect(await said()).toMatch(/^not well: epoch 4, revoked/);
});

test("pins or a directory that are not there stop the start", async () => {
  const log = await FixtureLog.of(1);
  await open(log, []);
  rmSync(directory, { recursive: true });
  await expect(reopen()).rejects.toMatchObject({ code: "config-invalid", details: { key: "bundles" } });
  rmSync(pinsFile);
  await expect(reopen()).rejects.toMatchObject({ code: "config-invalid", details: { key: "pins" } });
});

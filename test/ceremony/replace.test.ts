/**
 * A site of a running fleet of five dies, and its spare takes its place, by a ceremony of its own; later another site
 * is retired. Nobody loses a record, and the dead token, found again, is refused by everybody.
 */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { readManifest } from "../../src/keys/manifest-file.ts";
import { sha256Hex, strongroom, temporary, writePlan } from "../support/ceremony.ts";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { recover, register } from "../support/flow.ts";
import { type RehearsedFleet, rehearseFleet } from "../support/rehearsed-fleet.ts";

const { dir: home, remove } = temporary();
let made: RehearsedFleet;
let fleet: TestFleet;
const people = ["alice", "bob", "carol"];
const keys = new Map<string, Uint8Array>();

beforeAll(async () => {
  made = await rehearseFleet(home, 5, 1);
  fleet = await startFleet({ sites: 5, made: made.tokens });
  for (const [i, person] of people.entries())
    keys.set(person, await register(fleet.target(i), person, `${person}'s code`));
}, 300_000);
afterAll(async () => {
  await fleet?.close();
  remove();
});

/** Rehearses a change of the fleet. @returns its directory */
function change(name: string, kind: "replace" | "retire", predecessor: string, what: object): string {
  const dir = join(home, name);
  const plan = writePlan(
    home,
    {
      ...made.plan,
      kind,
      predecessor: {
        manifest: sha256Hex(join(predecessor, "manifest.json")),
        evidence: `./${predecessor.slice(home.length + 1)}`,
      },
      change: what as { site: string; spare?: string },
    },
    `${name}.yaml`,
  );
  const { status, stderr } = strongroom("ceremony", "rehearse", plan, "--dir", dir);
  expect(status, stderr).toBe(0);
  return dir;
}

/** All services of the fleet read the manifest at their start. */
async function publish(manifest: string, sites: readonly number[]): Promise<void> {
  await Promise.all(sites.map((site) => fleet.kill9(site)));
  copyFileSync(join(manifest, "manifest.json"), fleet.manifestFile);
  await Promise.all(sites.map((site) => fleet.start(site)));
  await fleet.whenReady(...sites);
}

/** The target of flows reads the manifest that is in force. */
async function target(site: number): Promise<ReturnType<TestFleet["target"]>> {
  const manifest = await readManifest(fleet.manifestFile);
  return { ...fleet.target(site), manifest: manifest ?? fleet.manifest };
}

test("the spare takes the place of a dead site, and every record recovers", async () => {
  await fleet.kill9(0);
  const dir = change("replaced", "replace", made.evidence, { site: "site-a", spare: "spare-a" });
  expect(failedClaims(await verifyEvidence(dir))).toEqual([]);

  const config = readFileSync(fleet.configFile(0), "utf8");
  const [dead, spare] = [made.tokens.tokens[0], made.spare("spare-a")];
  writeFileSync(`${fleet.configFile(0)}.dead`, config);
  writeFileSync(
    fleet.configFile(0),
    config.replaceAll("token=site-a", "token=spare-a").replaceAll(dead?.pinFile ?? "", spare.pinFile),
  );
  Object.assign(dead?.env ?? {}, spare.env);
  // The dead host's disk is gone with it.
  rmSync(join(fleet.configFile(0), "../guard"), { recursive: true, force: true });
  await publish(dir, [0, 1, 2, 3, 4]);
  for (const site of [0, 4])
    for (const person of people)
      expect(await recover(await target(site), person, `${person}'s code`), `${person} at ${site}`).toEqual(
        keys.get(person),
      );
}, 240_000);

test("the dead token, found again, is refused", async () => {
  await fleet.kill9(0);
  const config = readFileSync(fleet.configFile(0), "utf8");
  const env = { ...made.tokens.tokens[0]?.env };
  try {
    copyFileSync(`${fleet.configFile(0)}.dead`, fleet.configFile(0));
    Object.assign(made.tokens.tokens[0]?.env ?? {}, {
      SOFTHSM2_CONF: join(made.evidence, "tokens/site-a/softhsm2.conf"),
    });
    // With the manifest that is in force, its own service finds that the keys are not its.
    await fleet.start(0);
    await sleep(3_000);
    expect((await fleet.readyz(0))?.ready ?? false).toBe(false);
    await fleet.kill9(0);
    // With the manifest of its time it serves, but nobody works with it: it has two shares too few.
    const past = readFileSync(fleet.configFile(0), "utf8");
    writeFileSync(
      fleet.configFile(0),
      past.replaceAll(fleet.manifestFile, join(made.evidence, "manifest.json")),
    );
    await fleet.start(0);
    await sleep(3_000);
    await expect(recover(fleet.target(0), "alice", "alice's code")).rejects.toThrow();
    await fleet.kill9(0);
  } finally {
    writeFileSync(fleet.configFile(0), config);
    Object.assign(made.tokens.tokens[0]?.env ?? {}, env);
  }
  await fleet.start(0);
  await fleet.whenReady(0);
  expect(await recover(await target(0), "alice", "alice's code")).toEqual(keys.get("alice"));
}, 120_000);

test("a site is retired: its keys are gone, and the others go on", async () => {
  const dir = change("retired", "retire", join(home, "replaced"), { site: "site-e" });
  expect(failedClaims(await verifyEvidence(dir))).toEqual([]);
  await fleet.kill9(4);
  await publish(dir, [0, 1, 2, 3]);
  const manifest = await readManifest(fleet.manifestFile);
  expect(manifest?.sites[4]).toMatchObject({ name: "site-e", retired: true });
  expect(manifest?.keys.some(({ site }) => site === "site-e")).toBe(false);
  for (const person of people)
    expect(await recover(await target(1), person, `${person}'s code`)).toEqual(keys.get(person));
}, 240_000);

/**
 * A site that lost something and comes back: its guard, the disk of its store's member, some hours, its token. Three
 * sites with t = 2; after each return another site is taken away, so that the one that came back has to work.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { evaluatedElements } from "../support/fleet-history.ts";
import { createCast } from "../support/fleet-load.ts";
import { recover, register } from "../support/flow.ts";
import { until } from "../support/http.ts";
import { Person } from "../support/people.ts";
import { spyEnv, spyModule } from "../support/spy.ts";

const MAX_ATTEMPTS = 4;

const dir = mkdtempSync(join(tmpdir(), "strongroom-back-"));
const spyLogs = join(dir, "spy");
let lives = 0;
let fleet: TestFleet;
/** Somebody who guesses at a record through a site that has lost its guard. */
let guesser: Person;

beforeAll(async () => {
  mkdirSync(spyLogs);
  fleet = await startFleet({
    sites: 3,
    maxAttempts: MAX_ATTEMPTS,
    module: spyModule(),
    env: (site) => ({
      ...spyEnv(join(spyLogs, `site-${site}-life-${lives++}`)),
      NODE_OPTIONS: `--import=${pathToFileURL("test/support/spy-per-process.mjs").href}`,
    }),
  });
});
afterAll(async () => {
  await fleet?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function loseGuard(site: number): Promise<void> {
  await fleet.stop(site);
  rmSync(join(dirname(fleet.configFile(site)), "guard"), { recursive: true });
  await fleet.start(site);
  await fleet.whenReady(site);
}

test("a site that lost its guard goes on where the store is, and gives nobody an attempt", async () => {
  const backupKey = await register(fleet.target(1), "guard", "code");
  expect(await recover(fleet.target(1), "guard", "wrong")).toBeUndefined();
  guesser = new Person(fleet.target(1));
  await guesser.register();
  await guesser.guess();
  await loseGuard(1);
  await fleet.kill9(2);
  expect(await recover(fleet.target(1), "guard", "code")).toEqual(backupKey);
  await guesser.guess();
  await loseGuard(1);
  while (!guesser.destroyed) await guesser.guess();
  expect(guesser.answered.map(({ attemptsLeft }) => attemptsLeft)).toEqual([3, 2, 1, 0]);
  await fleet.start(2);
  await fleet.whenReady();
});

test("a store member that lost its disk rejoins, and then counts for the majority", async () => {
  const backupKey = await register(fleet.target(0), "disk", "code");
  await fleet.etcd.rejoin(1);
  await fleet.etcd.kill9(2);
  await fleet.whenReady(0, 1);
  expect(await recover(fleet.target(1), "disk", "code")).toEqual(backupKey);
  const newer = await register(fleet.target(1), "disk", "another code");
  expect(await recover(fleet.target(0), "disk", "another code")).toEqual(newer);
  await fleet.etcd.restart(2);
  await fleet.whenReady();
});

test("a site that was down while records changed serves what they have become", async () => {
  await register(fleet.target(2), "away", "code");
  await register(fleet.target(2), "gone", "code");
  await Promise.all([fleet.kill9(2), fleet.etcd.kill9(2)]);
  await fleet.whenReady(0, 1);
  const newer = await register(fleet.target(0), "away", "another code");
  for (let i = 0; i < MAX_ATTEMPTS; i++)
    expect(await recover(fleet.target(0), "gone", "wrong")).toBeUndefined();
  await expect(recover(fleet.target(0), "gone", "code")).rejects.toThrow("destroyed");

  await Promise.all([fleet.etcd.restart(2), fleet.start(2)]);
  await fleet.whenReady();
  await Promise.all([fleet.kill9(0), fleet.etcd.kill9(0)]);
  await fleet.whenReady(1, 2);
  expect(await recover(fleet.target(2), "away", "another code")).toEqual(newer);
  expect(await recover(fleet.target(2), "away", "code")).toBeUndefined();
  await expect(recover(fleet.target(2), "gone", "code")).rejects.toThrow("destroyed");
  await Promise.all([fleet.etcd.restart(0), fleet.start(0)]);
  await fleet.whenReady();
});

test("a token that is pulled out turns its site red, and no user notices", async () => {
  const cast = createCast(fleet, 4, 0);
  const { users } = cast;
  for (const user of users) expect(await user.register()).toMatchObject({ outcome: "served" });
  const hsm = fleet.tokens.tokens[1];
  hsm?.takeAway();
  // Every request goes to a random site first; the token is missed when it is next used.
  await until(async () => {
    for (const user of users) expect(await user.recover()).toMatchObject({ outcome: "served" });
    return (await fleet.readyz(1))?.ready === false;
  });
  expect(await fleet.readyz(1)).toMatchObject({ token: { ok: false }, store: { ok: true } });
  for (const user of users) expect(await user.recover()).toMatchObject({ outcome: "served" });
  await fleet.whenReady(0, 2);
  hsm?.putBack();
  await fleet.whenReady(1);
  const site1 = new Person(fleet.target(1));
  await site1.register();
  expect(site1.holds && (await site1.recover(site1.holds))).toBe(true);
});

test("a guard that takes no writes turns its site red, and others evaluate in its place", async () => {
  const backupKey = await register(fleet.target(0), "red", "code");
  const guard = join(dirname(fleet.configFile(1)), "guard");
  renameSync(guard, `${guard}.away`);
  try {
    await until(async () => (await fleet.readyz(1))?.ready === false);
    expect(await fleet.readyz(1)).toMatchObject({
      guard: { ok: false, detail: expect.stringContaining("gone") },
      token: { ok: true },
      store: { ok: true },
    });
    // Its peers know: without it there are too few as soon as another one is away.
    await fleet.kill9(2);
    await until(async () => (await fleet.readyz(0))?.ready === false);
    expect(await fleet.readyz(0)).toMatchObject({ peers: { ok: false } });
    await fleet.start(2);
    await fleet.whenReady(0, 2);
    expect(await recover(fleet.target(0), "red", "code")).toEqual(backupKey);
  } finally {
    renameSync(`${guard}.away`, guard);
  }
  await fleet.whenReady();
  expect(await recover(fleet.target(1), "red", "code")).toEqual(backupKey);
});

test("the tokens have evaluated for the guesser no more than the limit", async () => {
  await Promise.all([0, 1, 2].map((site) => fleet.stop(site)));
  const evaluated = await evaluatedElements(spyLogs);
  const [sent = new Set()] = guesser.attempts.slice(-1);
  expect(sent.size).toBe(MAX_ATTEMPTS + 1);
  expect([...sent].filter((element) => evaluated.has(element))).toHaveLength(MAX_ATTEMPTS);
});

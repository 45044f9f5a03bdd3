/** What an epoch changes, key by key, and what else it says otherwise of its fleets. */
import { expect, test } from "vitest";
import { countKinds, deltaOf } from "../../src/trust/deltas.ts";
import type { AnnouncedFleet, Announcement } from "../../src/wire/announcement.ts";
import { FixtureLog, fixtureFleet, newSigners } from "../support/log-fixture.ts";

const log = FixtureLog.create();
const [old, fresh] = [log.signers, newSigners()];
const one = fixtureFleet("fleet-1");
const two = fixtureFleet("fleet-2");
const keysOfOne = one.manifest.keys.length;

const epoch = async (fleets: readonly AnnouncedFleet[], keys = log.keysOf(old)): Promise<Announcement> =>
  (await log.add({ fleets, keys })).announcement;

const first = await epoch([one]);
const second = await epoch([two, { ...one, status: "draining" }]);
const third = await epoch([two, { ...one, status: "draining" }], log.keysOf(old, fresh));
const fourth = await epoch([two], log.keysOf(fresh));

test("the oldest epoch is the baseline, and nothing is compared with it", () => {
  const delta = deltaOf(undefined, first);
  expect(countKinds(delta)).toEqual({
    baseline: keysOfOne + 3,
    added: 0,
    removed: 0,
    "role-changed": 0,
    unchanged: 0,
  });
  expect(delta.keys.filter(({ fleet }) => fleet === undefined).map(({ role }) => role)).toEqual([
    "auditor",
    "operator",
    "log",
  ]);
});

test("a fleet comes and another begins to drain: its keys are there for something else now", () => {
  const delta = deltaOf(first, second);
  expect(countKinds(delta)).toMatchObject({ added: keysOfOne, "role-changed": keysOfOne, unchanged: 3 });
  const changed = delta.keys.find(({ kind }) => kind === "role-changed");
  expect(changed).toMatchObject({
    fleet: "fleet-1",
    role: "identity",
    site: "site-a",
    status: "draining",
    before: { role: "identity", site: "site-a", status: "active" },
  });
  expect(delta.facts).toContainEqual({
    fleet: "fleet-1",
    what: "status",
    before: "active",
    after: "draining",
  });
});

test("trusted keys come and go, and a fleet is named no more", () => {
  const [came, went] = [deltaOf(second, third), deltaOf(third, fourth)];
  expect(countKinds(came)).toMatchObject({ added: 3, removed: 0, "role-changed": 0 });
  expect(countKinds(went)).toMatchObject({
    added: 0,
    removed: keysOfOne + 3,
    unchanged: keysOfOne + 3,
  });
  expect(went?.facts).toContainEqual({ fleet: "fleet-1", what: "status", before: "draining" });
});

test("a key that is put to another use, a site that moves and another threshold are seen", () => {
  const [identity, session, ...rest] = two.manifest.keys;
  if (!identity || !session) throw new Error("a fleet has keys");
  const swapped: AnnouncedFleet = {
    ...two,
    manifest: {
      ...two.manifest,
      policy: { threshold: 1, maxAttempts: 10 },
      sites: two.manifest.sites.map((site, at) =>
        at === 0 ? { ...site, url: "https://moved.example" } : site,
      ),
      keys: [{ ...identity, role: "session" }, { ...session, role: "identity" }, ...rest],
    },
  };
  const delta = deltaOf(fourth, { ...fourth, epoch: 5, fleets: [swapped] });
  expect(countKinds(delta)).toMatchObject({ "role-changed": 2, added: 0, removed: 0 });
  expect(delta.facts).toEqual([
    { fleet: "fleet-2", what: "threshold", before: "2 of 3", after: "1 of 3" },
    {
      fleet: "fleet-2",
      what: "site-a url",
      before: "https://site-a.fleet-2.example",
      after: "https://moved.example",
    },
  ]);
});

test("an epoch that only stays valid for longer changes nothing", () => {
  const delta = deltaOf(fourth, { ...fourth, epoch: 5 });
  expect(delta.facts).toEqual([]);
  expect(new Set(delta.keys.map(({ kind }) => kind))).toEqual(new Set(["unchanged"]));
});

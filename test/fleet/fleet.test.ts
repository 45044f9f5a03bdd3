/** A fleet of three with t = 2, on three SoftHSM tokens and three etcd members: what users notice, and what not. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { recover, register } from "../support/flow.ts";

let fleet: TestFleet;
beforeAll(async () => {
  fleet = await startFleet({ sites: 3 });
});
afterAll(() => fleet?.close());

test("what is registered at one site is recovered at every other", async () => {
  const backupKey = await register(fleet.target(0), "alice", "alice's code");
  for (const site of [0, 1, 2])
    expect(await recover(fleet.target(site), "alice", "alice's code")).toEqual(backupKey);
  expect(await recover(fleet.target(1), "alice", "another code")).toBeUndefined();
});

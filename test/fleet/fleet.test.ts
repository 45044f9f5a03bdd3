/** A fleet of three with t = 2, on three SoftHSM tokens and three etcd members: what users notice, and what not. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { createVaultClient, type VaultClient } from "../../src/client/vault-client.ts";
import { STRONGROOM } from "../support/cli.ts";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { recover, register } from "../support/flow.ts";
import { TENANT } from "../support/issuer.ts";

const run = promisify(execFile);

let fleet: TestFleet;
beforeAll(async () => {
  fleet = await startFleet({ sites: 3 });
});
afterAll(() => fleet?.close());

/** Sites that a test has taken away, with their etcd members. */
const away = new Set<number>();
async function lose(site: number): Promise<void> {
  away.add(site);
  await Promise.all([fleet.kill9(site), fleet.etcd.kill9(site)]);
}
async function bringBack(): Promise<void> {
  for (const site of away) await fleet.etcd.restart(site);
  await Promise.all([...away].map((site) => fleet.start(site)));
  away.clear();
  await fleet.whenReady();
}
afterEach(bringBack);

/** The SDK, as an app uses it: it knows all sites and chooses by itself. */
function sdk(subject: string): VaultClient {
  return createVaultClient({
    manifest: fleet.tokens.manifestBytes,
    account: { tenant: TENANT, subject },
    accountToken: () => fleet.issueToken(subject),
    timeoutMs: 5_000,
  });
}

async function statusOf(site: number): Promise<{ code: number; json: Record<string, unknown> }> {
  const args = [...STRONGROOM, "fleet", "status", "--config", fleet.configFile(site), "--json"];
  const { stdout, code } = await run(process.execPath, args).then(
    (done) => ({ stdout: done.stdout, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  );
  return { code, json: JSON.parse(stdout) as Record<string, unknown> };
}

test("what is registered at one site is recovered at every other", async () => {
  const backupKey = await register(fleet.target(0), "alice", "alice's code");
  for (const site of [0, 1, 2])
    expect(await recover(fleet.target(site), "alice", "alice's code")).toEqual(backupKey);
  expect(await recover(fleet.target(1), "alice", "another code")).toBeUndefined();
});

test("what is begun at one site is finished at another", async () => {
  const backupKey = await register(fleet.target(0), "bob", "bob's code", undefined, fleet.target(1));
  const found = await recover(fleet.target(1), "bob", "bob's code", undefined, fleet.target(2));
  expect(found).toEqual(backupKey);
});

test("the loss of a site costs its users nothing, and no attempt", async () => {
  const carol = sdk("carol");
  const { backupKey } = await carol.register("carol's own code");
  await lose(0);
  expect((await carol.recover("carol's own code")).backupKey).toEqual(backupKey);
  for (const left of [9, 8, 7])
    await expect(carol.recover("not carol's code")).rejects.toMatchObject({
      code: "wrong-recovery-code",
      details: { attemptsLeft: left },
    });
  expect(await carol.status()).toMatchObject({ attemptsLeft: 7 });

  const { code, json } = await statusOf(1);
  expect(code).toBe(1);
  expect(json).toMatchObject({ healthy: false, view: { others: [{ site: "site-a", live: false }, {}] } });
});

test("without a majority nothing is served, and that is said plainly; with one again, everything", async () => {
  const dave = sdk("dave");
  const { backupKey } = await dave.register("dave's own code");
  await lose(0);
  await lose(1);
  await expect(recover(fleet.target(2), "dave", "dave's own code")).rejects.toThrow("unavailable");
  // Peers and store are looked at every few seconds, each on its own.
  await vi.waitFor(
    async () =>
      expect(await fleet.readyz(2)).toMatchObject({
        ready: false,
        token: { ok: true },
        store: { ok: false },
        peers: { ok: false },
      }),
    { timeout: 30_000, interval: 500 },
  );
  await bringBack();
  const recovered = await dave.recover("dave's own code");
  expect(recovered.backupKey).toEqual(backupKey);
  expect(recovered.attemptsLeft).toBe(10);
  // A peer that failed rests for up to ten seconds before it is asked again.
  await vi.waitFor(
    async () => expect(await statusOf(2)).toMatchObject({ code: 0, json: { healthy: true } }),
    {
      timeout: 60_000,
      interval: 1_000,
    },
  );
});

test("one account token authorises one attempt, wherever it is shown", async () => {
  await register(fleet.target(0), "erin", "erin's code");
  const accountToken = await fleet.issueToken("erin");
  const reused = { ...fleet.target(1), issueToken: async () => accountToken };
  expect(await recover(reused, "erin", "a wrong code")).toBeUndefined();
  await expect(recover(reused, "erin", "another wrong code")).rejects.toThrow("unauthorized");
});

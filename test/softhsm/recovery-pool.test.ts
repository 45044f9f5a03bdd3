/** What goes wrong with tokens and workers, and that the pool comes back by itself, or stops where it must. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TokenConfig, TokenPool } from "../../src/token/pool.ts";
import { codeOf, codeOfAsync } from "../support/codes.ts";
import { until } from "../support/http.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { randomPoint } from "../support/token-keys.ts";
import { makeKeysOn, type WatchedPool, watchedPool } from "../support/watched-pool.ts";

let hsm: SoftHsm;
let watched: WatchedPool | undefined;

beforeEach(async () => {
  hsm = createSoftHsm();
  hsm.use();
  await makeKeysOn(hsm);
});
afterEach(async () => {
  await watched?.token.close();
  watched = undefined;
  hsm.remove();
});

function start(options: Partial<TokenConfig> = {}): WatchedPool {
  watched = watchedPool(hsm, { probeMs: 200, ...options });
  return watched;
}
const ecdh = (token: TokenPool): Promise<string> =>
  codeOfAsync(token.run([{ op: "ecdh", key: "ake", points: [randomPoint()] }]));
/** Why a pool is not ready, once it has found out; a busy machine takes its time to start a worker. */
const trouble = async (token: TokenPool): Promise<string> => {
  await until(() => token.health().reason !== "starting");
  return codeOfAsync(token.whenReady(1));
};
const newest = (pids: readonly number[]): number => pids.at(-1) ?? 0;

test("workers killed under load: every run is retried, and the pool goes on", async () => {
  const { token, pids, events } = start({ workers: 2, workerGrowthBytes: Number.MAX_SAFE_INTEGER });
  await token.whenReady(20_000);
  const outcomes: string[] = [];
  let stop = false;
  const callers = Array.from({ length: 32 }, async () => {
    while (!stop) outcomes.push(await ecdh(token));
  });
  for (let kills = 0; kills < 4; kills++) {
    const seen = pids.length;
    await sleep(100);
    process.kill(newest(pids), "SIGKILL");
    await until(() => pids.length > seen);
  }
  stop = true;
  await Promise.all(callers);
  expect(outcomes.length).toBeGreaterThan(100);
  // A run that lost two workers in a row fails, and may be sent again; one kill at a time loses none.
  expect(new Set(outcomes)).toEqual(new Set(["no error"]));
  expect(events.filter((name) => name === "worker-exit")).toHaveLength(4);
  await token.whenReady(20_000);
  expect(token.health().workersReady).toBe(2);
});

test("a run that kills every worker is given up after the second", async () => {
  const { token, pids } = start({ deadlineMs: 60_000 });
  await token.whenReady(20_000);
  const run = codeOfAsync(
    token.run(
      Array.from(
        { length: 255 },
        () => ({ op: "ecdh", key: "ake", points: Array.from({ length: 40 }, randomPoint) }) as const,
      ),
    ),
  );
  for (let deaths = 1; deaths <= 2; deaths++) {
    await until(() => pids.length === deaths);
    await sleep(50);
    process.kill(newest(pids), "SIGKILL");
  }
  expect(await run).toBe("token-failed");
  expect(await ecdh(token)).toBe("no error");
});

test("the token goes and comes back while it is in use", async () => {
  const { token, events } = start({ workers: 2 });
  await token.whenReady(20_000);
  hsm.takeAway();
  await until(() => !token.health().ready || events.includes("worker-failed"));
  expect(await ecdh(token)).toBe("token-absent");
  await until(() => !token.health().ready);
  expect(token.health().reason).toMatch(/token|module/);
  expect(await ecdh(token)).toBe("token-absent");
  hsm.putBack();
  await token.whenReady(20_000);
  expect(await ecdh(token)).toBe("no error");
  expect(token.health()).toEqual({ ready: true, workers: 2, workersReady: 2, queued: 0 });
});

test("runs alone notice that the token has gone, and no run hangs", async () => {
  const { token } = start({ probeMs: 60_000 });
  await token.whenReady(20_000);
  hsm.takeAway();
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => ecdh(token)));
  expect(new Set(outcomes)).toEqual(new Set(["token-absent"]));
  hsm.putBack();
  await token.whenReady(20_000);
  expect(await ecdh(token)).toBe("no error");
});

test("a pool that starts without its token waits for it", async () => {
  hsm.takeAway();
  const { token } = start();
  expect(await trouble(token)).toBe("token-absent");
  hsm.putBack();
  await token.whenReady(20_000);
  expect(await ecdh(token)).toBe("no error");
});

/** A URI through opensc's spy, which writes every call down. */
function spied(): { uri: string; env: Record<string, string>; logins: () => number } {
  const spy = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so";
  if (!existsSync(spy)) throw new Error("pkcs11-spy.so not found: install the package opensc");
  const log = join(hsm.dir, "spy.log");
  return {
    uri: hsm.uri.replace(hsm.module, spy),
    env: { ...hsm.env, PKCS11SPY: hsm.module, PKCS11SPY_OUTPUT: log },
    logins: () => readFileSync(log, "utf8").match(/^\d+: C_Login$/gm)?.length ?? 0,
  };
}

test("a wrong PIN is tried exactly once, by any number of workers, and never again", async () => {
  const right = readFileSync(hsm.pinFile);
  writeFileSync(hsm.pinFile, "wrong-pin\n");
  const { logins, ...spy } = spied();
  const { token, events, counts } = start({ ...spy, workers: 3 });
  expect(await codeOfAsync(token.whenReady(20_000))).toBe("pin-incorrect");
  expect(token.health()).toMatchObject({ ready: false, workersReady: 0 });
  expect(token.health().reason).toContain(
    `CKR_PIN_INCORRECT, the user PIN in ${hsm.pinFile}; the token counts`,
  );
  expect(await ecdh(token)).toBe("pin-incorrect");
  // Not even the right PIN is tried now: a person has to look at it first.
  writeFileSync(hsm.pinFile, right);
  await sleep(3000);
  expect(await ecdh(token)).toBe("pin-incorrect");
  expect(logins()).toBe(1);
  expect(counts.get("C_Login CKR_PIN_INCORRECT")).toBe(1);
  expect(events.filter((name) => name === "worker-exit")).toHaveLength(1);
  await token.close();

  const { token: next } = start(spy);
  await next.whenReady(20_000);
  expect(await ecdh(next)).toBe("no error");
  expect(logins()).toBe(2);
});

test("a PIN that is changed while workers run stops the next login, not the others", async () => {
  const { token, pids, events } = start({ workers: 2 });
  await token.whenReady(20_000);
  writeFileSync(hsm.pinFile, "wrong-pin\n");
  process.kill(newest(pids), "SIGKILL");
  await until(() => events.includes("token-stopped"));
  expect(token.health()).toMatchObject({ ready: true, workersReady: 1 });
  expect(token.health().reason).toContain("CKR_PIN_INCORRECT");
  expect(await ecdh(token)).toBe("no error");
});

test("a PIN file that others can read is not used until that is mended", async () => {
  chmodSync(hsm.pinFile, 0o640);
  const { token } = start();
  expect(await trouble(token)).toBe("pin-unavailable");
  expect(token.health().reason).toContain(`chmod 600 ${hsm.pinFile}`);
  chmodSync(hsm.pinFile, 0o600);
  await token.whenReady(20_000);
});

test("a worker that hangs is killed at the deadline and replaced", async () => {
  const { token, pids, events } = start({ deadlineMs: 700, probeMs: 60_000 });
  await token.whenReady(20_000);
  const stuck = newest(pids);
  process.kill(stuck, "SIGSTOP");
  expect(await Promise.all([ecdh(token), ecdh(token)])).toEqual(["token-timeout", "token-timeout"]);
  await until(() => pids.length === 2);
  expect(events).toContain("worker-stuck");
  expect(existsSync(`/proc/${stuck}`)).toBe(false);
  expect(await ecdh(token)).toBe("no error");
});

test("an idle worker that hangs is found by the probe", async () => {
  const { token, pids, events } = start({ deadlineMs: 700 });
  await token.whenReady(20_000);
  process.kill(newest(pids), "SIGSTOP");
  await until(() => events.includes("worker-stuck"));
  await until(() => pids.length === 2);
  expect(await ecdh(token)).toBe("no error");
});

test("missing keys keep the pool from being ready until they are there", async () => {
  hsm.remove();
  hsm = createSoftHsm();
  hsm.use();
  const { token } = start();
  expect(await trouble(token)).toBe("key-missing");
  expect(await ecdh(token)).toBe("key-missing");
  await makeKeysOn(hsm);
  await token.whenReady(20_000);
  expect(await ecdh(token)).toBe("no error");
});

test("configuration mistakes are told at once", () => {
  const starting = (options: Partial<TokenConfig>) => codeOf(() => start(options));
  expect(starting({ uri: "pkcs11:token=a;slot-id=3" })).toBe("uri-invalid");
  expect(starting({ profile: "no-such-device" })).toBe("profile-invalid");
  expect(starting({ profile: "google-kms" })).toBe("token-unsuitable");
});

/** The vault end to end: the stock OPAQUE client, every server secret in a SoftHSM token, records in LMDB. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/base/clock.ts";
import { verifySignature } from "../../src/crypto/client-keys.ts";
import { compressPoint, GENERATOR } from "../../src/crypto/node/p256.ts";
import { createLocalEvaluator } from "../../src/fleet/local-evaluator.ts";
import { provision, provisioned } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { openSession } from "../../src/token/open.ts";
import { startTokenPool, type TokenPool } from "../../src/token/pool.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { openRecord, recordIdStep, recordKeyStep, saltOf } from "../../src/vault/record-seal.ts";
import { createVault, type Vault } from "../../src/vault/vault.ts";
import { acknowledgmentMessage } from "../../src/wire/transcripts.ts";
import { code } from "../support/codes.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { StockClient } from "../support/stock-client.ts";

const FLEET = "vault-fleet";
const SITE = "site-a";
const KEYS = vaultKeys(FLEET, [0]);
const POLICY = { maxAttempts: 10, evaluationBurst: 200, evaluationsPerDay: 1000 };

let hsm: SoftHsm;
let publicKeys: ReadonlyMap<string, Uint8Array>;
let token: TokenPool;
let store: RecordStore;
let vault: Vault;
let serial = 0;

async function start(): Promise<void> {
  token = startTokenPool({ uri: hsm.uri, profile: "softhsm2", keys: KEYS, workers: 1, env: hsm.env });
  await token.whenReady(20_000);
  store = await openLmdbStore({ path: join(hsm.dir, "store") });
  vault = createVault({
    fleet: FLEET,
    site: SITE,
    token,
    store,
    evaluator: createLocalEvaluator({ token, share: 0 }),
    akePublicKey: publicKeys.get("ake") ?? new Uint8Array(),
    clock: systemClock,
    random: systemRandom,
    policy: POLICY,
  });
}

async function stop(): Promise<void> {
  vault.close();
  await token.close();
  await store.close();
}

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2", keys: KEYS });
  expect(provisioned(provision(session, profile, KEYS))).toBe(true);
  publicKeys = readPublicKeys(session, KEYS);
  session.close();
  await start();
});
afterAll(async () => {
  await stop();
  hsm.remove();
});

const newClient = (): Promise<StockClient> =>
  StockClient.create(vault, FLEET, { tenant: "app", subject: `user/${serial++} ü` });
const newKey = (): Uint8Array => Uint8Array.from(randomBytes(32));

/** The record as it is stored, opened with the token's key. */
async function stored(client: StockClient): Promise<VaultRecord | undefined> {
  const [id] = await token.run([recordIdStep(client.account)]);
  const found = await store.get(id);
  if (!found) return undefined;
  const [key] = await token.run([recordKeyStep(id, saltOf(found.value, 1))]);
  return openRecord(found.value, { key, id, shareCount: 1 });
}

test("registers and recovers, and the site signs what it stored", async () => {
  const client = await newClient();
  const backupKey = newKey();
  const answer = await client.register("correct horse", backupKey);
  const registration = (await stored(client))?.registration;
  if (!registration) throw new Error("nothing stored");
  expect(answer.site).toBe(SITE);
  const message = acknowledgmentMessage({ fleet: FLEET, ...answer, ...registration });
  const identity = publicKeys.get("identity") ?? new Uint8Array();
  expect(verifySignature(identity, message, answer.acknowledgment)).toBe(true);
  expect(verifySignature(identity, message.slice(1), answer.acknowledgment)).toBe(false);

  expect(await client.recovers("correct horse", backupKey)).toBe(true);
  expect(await client.recover("correct house")).toBeUndefined();
  expect(await client.status()).toMatchObject({ state: "active", generation: 1, attemptsLeft: 9 });
  expect(await client.recovers("correct horse", backupKey)).toBe(true);
  expect(await client.status()).toMatchObject({ attemptsLeft: 10 });
});

test("ten wrong codes destroy the record; the eleventh request has the right one and comes too late", async () => {
  const client = await newClient();
  await client.register("123456", newKey());
  for (let n = 0; n < 10; n++) expect(await client.recover(`wrong ${n}`)).toBeUndefined();
  await expect(client.recover("123456")).rejects.toThrow(code("destroyed"));
  const record = await stored(client);
  expect(record).toMatchObject({ state: "destroyed", generation: 1 });
  // Nothing that could evaluate the OPRF: no share, and nothing else of the registration.
  expect(Object.keys(record ?? {}).sort()).toStrictEqual([
    "budgetAt",
    "generation",
    "state",
    "updatedAt",
    "version",
    "writeIds",
  ]);
  await expect(client.recover("123456")).rejects.toThrow(code("destroyed"));
});

test("the old code is good until the new registration is finished, and no longer", async () => {
  const client = await newClient();
  const [oldKey, newerKey] = [newKey(), newKey()];
  await client.register("old code", oldKey);
  const finish = await client.beginRegistration("new code", newerKey);
  expect(await client.recovers("old code", oldKey)).toBe(true);
  expect(await finish()).toMatchObject({ generation: 2 });
  expect(await finish()).toMatchObject({ generation: 2 });
  expect(await client.recover("old code")).toBeUndefined();
  expect(await client.recovers("new code", newerKey)).toBe(true);
});

test("everything survives a restart of token and store, half-finished requests too", async () => {
  const client = await newClient();
  const backupKey = newKey();
  await client.register("a code", backupKey);
  const other = await newClient();
  const finishRegistration = await other.beginRegistration("b code", backupKey);
  const login = client.beginLogin("a code");
  const answer = await client.recoverStart(login);
  const done = await client.finishLogin("a code", login, answer);
  if (!done) throw new Error("the right code was refused");

  await stop();
  await start();
  client.vault = vault;
  other.vault = vault;

  expect(await client.status()).toMatchObject({ attemptsLeft: 9 });
  expect(await client.recoverFinish(answer, done)).toMatchObject({ attemptsLeft: 10 });
  expect(await client.recovers("a code", backupKey)).toBe(true);
  await finishRegistration();
  expect(await other.recovers("b code", backupKey)).toBe(true);
});

test("of thirty requests at once, exactly ten are evaluated", async () => {
  const client = await newClient();
  await client.register("the code", newKey());
  const logins = Array.from({ length: 30 }, (_, n) => client.beginLogin(`guess ${n}`));
  const results = await Promise.allSettled(logins.map((login) => client.recoverStart(login)));
  const answered = results.flatMap((one) => (one.status === "fulfilled" ? [one.value.seq] : []));
  expect(answered.sort((a, b) => a - b)).toStrictEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  for (const one of results)
    if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "destroyed" });
});

test("a repeated recover-start is the same attempt and opens with the same code", async () => {
  const client = await newClient();
  const backupKey = newKey();
  await client.register("the code", backupKey);
  const login = client.beginLogin("the code");
  await client.recoverStart(login);
  const answer = await client.recoverStart(login);
  expect(answer).toMatchObject({ seq: 1, attemptsLeft: 9 });
  const done = await client.finishLogin("the code", login, answer);
  expect(done).toBeDefined();
});

test("what one account was given is of no use to another", async () => {
  const [client, other] = [await newClient(), await newClient()];
  await client.register("same code", newKey());
  await other.register("same code", newKey());
  const login = client.beginLogin("same code");
  const answer = await client.recoverStart(login);
  const done = await client.finishLogin("same code", login, answer);
  if (!done) throw new Error("the right code was refused");
  await expect(other.recoverFinish(answer, done)).rejects.toThrow(code("invalid-request"));
  // Not even the password moves: the other account has a key of its own.
  const theirs = await other.recoverStart(login);
  expect(await client.finishLogin("same code", login, theirs)).toBeUndefined();
});

describe("points at the edge", () => {
  // P = ±G needs no derivation: the answer is the public key, or its mirror image.
  test.each([
    ["G", 0],
    ["−G", 1],
  ])("%s as blinded element and key share is answered", async (_, sign) => {
    const client = await newClient();
    await client.register("the code", newKey());
    const point = compressPoint(GENERATOR);
    point[0] = (point[0] ?? 0) ^ sign;
    const ke1 = new Uint8Array(98);
    ke1.set(point);
    ke1.set(point, 65);
    const answer = await vault.handle(client.account, { op: "recover-start", accountToken: "t", ke1 });
    const share = (await stored(client))?.registration?.shares[0];
    const expected = compressPoint(share?.publicKey ?? new Uint8Array());
    expected[0] = (expected[0] ?? 0) ^ sign;
    expect(answer.ke2.slice(0, 33)).toStrictEqual(expected);
  });
});

test("while the token is away nothing is counted that was not durable, and it goes on when the token is back", async () => {
  const client = await newClient();
  const backupKey = newKey();
  await client.register("the code", backupKey);
  hsm.takeAway();
  await expect(client.recover("the code")).rejects.toThrow(expect.objectContaining({ wire: "unavailable" }));
  hsm.putBack();
  await expect
    .poll(() => client.recovers("the code", backupKey).catch(() => false), { timeout: 30_000, interval: 500 })
    .toBe(true);
});

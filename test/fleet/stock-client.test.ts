/**
 * A fleet of five with t = 3, as the stock OPAQUE client sees it: plain RFC 9807, whichever site it asks. And what it
 * sees is right: shares whose scalars are known are put into the fleet's tokens, a registration is computed
 * without the fleet from their sum, and the fleet is to give what the sum gives.
 */

import { p256 } from "@noble/curves/nist.js";
import { client, ready } from "@serenity-kit/opaque-p256";
import { afterAll, beforeAll, expect, test } from "vitest";
import { concat, fromBase64Url, fromHex, toHex } from "../../src/base/bytes.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { shareTag } from "../../src/fleet/share-tag.ts";
import { memberKeys } from "../../src/keys/member-keys.ts";
import { shareKeyName } from "../../src/keys/roles.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { KEY_TYPE, OBJECT_CLASS } from "../../src/token/attributes.ts";
import { P256_PARAMS } from "../../src/token/cryptoki.ts";
import { chooseKeyWrap, wrapMechanism } from "../../src/token/key-wrap.ts";
import { Runner } from "../../src/token/runner.ts";
import type { SharePolicy } from "../../src/vault/evaluator.ts";
import type { Share, VaultRecord } from "../../src/vault/record.ts";
import { recordIdStep, recordKeyStep, sealRecord } from "../../src/vault/record-seal.ts";
import { manifestKey } from "../../src/wire/manifest.ts";
import type { Answers, VaultRequest } from "../../src/wire/messages.ts";
import { PATIENT, storeAt } from "../support/etcd-cluster.ts";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { type FlowTarget, recover, register, type Seen } from "../support/flow.ts";
import { TENANT } from "../support/issuer.ts";
import { exchange } from "../support/sealed.ts";
import { withToken } from "../support/site-steps.ts";

const { Fn, BASE } = p256.Point;
const NONE = new Uint8Array(0);
/** Making the keys of a whole fleet takes long on a machine that has much else to do. */
const START_MS = 300_000;
const MAX_ATTEMPTS = 10;

let fleet: TestFleet;
let store: RecordStore;
beforeAll(async () => {
  await ready;
  fleet = await startFleet({ sites: 5, threshold: 3, maxAttempts: MAX_ATTEMPTS });
  store = await storeAt(fleet.etcd, 0, PATIENT);
}, START_MS);
afterAll(async () => {
  await store?.close();
  await fleet?.close();
});

/** Runs steps in the token of a site, in this process. */
function inToken<R>(site: number, use: (runner: Runner) => R): Promise<R> {
  const hsm = fleet.tokens.tokens[site];
  if (!hsm) throw new Error(`no site ${site}`);
  const { keys } = memberKeys(fleet.manifest, fleet.names[site]);
  return withToken(hsm, (session) => use(new Runner(session)), { keys });
}

function bytesOf(result: unknown): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw new Error("the step gave no bytes");
}

/** One share of a known scalar for each set of `fleet.tokens.sets`, wrapped and tagged by one of its holders. */
async function importShares(policy: SharePolicy, scalars: readonly bigint[]): Promise<readonly Share[]> {
  const shares: Share[] = [];
  for (const [site, name] of fleet.names.entries()) {
    const made = fleet.tokens.sets.filter(({ share, holders }) => holders[share % holders.length] === site);
    const { keys } = memberKeys(fleet.manifest, name);
    await withToken(
      fleet.tokens.tokens[site] ?? expect.fail(),
      (session) => {
        const runner = new Runner(session);
        const wrap = chooseKeyWrap(session);
        for (const { share } of made) {
          const scalar = scalars[share] ?? expect.fail();
          const publicKey = BASE.multiply(scalar).toBytes(false);
          const key = session.createObject({
            CLASS: OBJECT_CLASS["private key"],
            KEY_TYPE: KEY_TYPE.EC,
            TOKEN: false,
            PRIVATE: true,
            SENSITIVE: false,
            EXTRACTABLE: true,
            DERIVE: true,
            EC_PARAMS: P256_PARAMS,
            VALUE: Fn.toBytes(scalar),
          });
          const kek = session.key(shareKeyName("share-kek", share));
          const wrapped = session.wrap(wrapMechanism(wrap), kek, key);
          session.destroy(key);
          const { key: mac, before, after } = shareTag(policy, share);
          const [tag] = runner.run([{ op: "hmac", key: mac, data: concat(before, publicKey, after) }]);
          shares.push({ share, mechanism: wrap.mechanism, wrapped, publicKey, tag: bytesOf(tag) });
        }
      },
      { keys },
    );
  }
  return shares.toSorted((a, b) => a.share - b.share);
}

test("registers at one site and recovers at every other, with the messages of RFC 9807 and nothing else", async () => {
  const seen: Seen = { requests: new Map(), secrets: [] };
  const backupKey = await register(fleet.target(0), "alice", "alice's code", seen);
  for (const site of [1, 2, 3, 4])
    expect(await recover(fleet.target(site), "alice", "alice's code")).toEqual(backupKey);
  expect(await recover(fleet.target(2), "alice", "another code")).toBeUndefined();

  const begun = client.startLogin({ password: "alice's code" });
  const ke1 = fromBase64Url(begun.startLoginRequest);
  const accountToken = await fleet.issueToken("alice");
  const { answer } = await exchange(fleet.target(4), { op: "recover-start", accountToken, ke1 });
  if ("error" in answer) throw new Error(answer.error);
  // RFC 9807 §6.1: Noe + Nn + (Npk + Nn + Nm) + Nn + Npk + Nm.
  expect(answer.ke2).toHaveLength(33 + 32 + (33 + 32 + 32) + 32 + 33 + 32);
  expect(p256.Point.fromBytes(answer.ke2.slice(0, 33)).toBytes(true)).toEqual(answer.ke2.slice(0, 33));
});

test("evaluates to what the sum of the shares gives", async () => {
  const subject = "bob";
  const scalars = fleet.tokens.sets.map(() => Fn.fromBytes(p256.utils.randomSecretKey()));
  const k = scalars.reduce((sum, scalar) => Fn.add(sum, scalar), 0n);
  const times = (point: Uint8Array): Uint8Array => p256.Point.fromBytes(point).multiply(k).toBytes(true);
  const [id = NONE] = await inToken(0, (runner) =>
    runner.run([recordIdStep({ tenant: TENANT, subject })]).map(bytesOf),
  );

  // A registration of which the fleet's services know nothing: what they would do is done here, with k.
  let receiptPublicKey: Uint8Array = NONE;
  async function answerOf(request: VaultRequest): Promise<Answers[VaultRequest["op"]]> {
    if (request.op === "register-start") {
      receiptPublicKey = request.receiptPublicKey;
      const serverKey = p256.Point.fromBytes(fromHex(manifestKey(fleet.manifest, "ake").publicKey));
      return {
        evaluatedElement: times(request.blindedElement),
        serverPublicKey: serverKey.toBytes(true),
        cookie: Uint8Array.of(1),
      };
    }
    if (request.op !== "register-finish") throw new Error(`${request.op} is not answered here`);
    const policy = { recordId: id, generation: 1, receiptPublicKey, maxAttempts: MAX_ATTEMPTS };
    const { registrationRecord, sealedBackupKey, sealedReceiptKey } = request;
    const record: VaultRecord = {
      version: 1,
      state: "active",
      generation: 1,
      registration: {
        shares: await importShares(policy, scalars),
        registrationRecord,
        sealedBackupKey,
        sealedReceiptKey,
        receiptPublicKey,
        maxAttempts: MAX_ATTEMPTS,
        seq: 0,
        base: 0,
        lastReceipt: NONE,
        lastAttempt: NONE,
        lastAttemptAt: 0,
        registeredAt: Date.now(),
      },
      budgetAt: 0,
      writeIds: [],
      updatedAt: Date.now(),
    };
    const salt = randomBytes(16);
    const [key = NONE] = await inToken(0, (runner) => runner.run([recordKeyStep(id, salt)]).map(bytesOf));
    const sealed = sealRecord(record, salt, { key, id, shareCount: scalars.length });
    expect(await store.compareAndSwap(id, undefined, sealed)).toMatchObject({ swapped: true });
    return { recordId: id, generation: 1, site: "none", acknowledgment: new Uint8Array(64) };
  }
  const without: FlowTarget = {
    ...fleet.target(0),
    route: async (request) => ({
      response: new Response(),
      sealed: NONE,
      answer: (await answerOf(request)) as never,
    }),
  };
  const backupKey = await register(without, subject, "bob's code");

  for (const site of [4, 2, 0]) {
    // The stock client opens with the fleet's k·B what it sealed with the sum's, …
    expect(await recover(fleet.target(site), subject, "bob's code")).toEqual(backupKey);
    // … and for any element the very point is the same.
    const ke1 = fromBase64Url(client.startLogin({ password: `${site}` }).startLoginRequest);
    const accountToken = await fleet.issueToken(subject);
    const { answer } = await exchange(fleet.target(site), { op: "recover-start", accountToken, ke1 });
    if ("error" in answer) throw new Error(answer.error);
    expect(toHex(answer.ke2.slice(0, 33))).toBe(toHex(times(ke1.slice(0, 33))));
  }
});

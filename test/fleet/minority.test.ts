/**
 * A minority gains nothing (design §7): t − 1 sites' disks, tokens, PINs and identity keys and the whole store are in
 * an attacker's hands, who has valid account tokens as well. One share is missing, and the honest sites are asked
 * for it in every way that there is.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concat, equal, toHex } from "../../src/base/bytes.ts";
import { systemClock } from "../../src/base/clock.ts";
import { generateReceiptKeyPair, signReceipt } from "../../src/crypto/client-keys.ts";
import { decompressPoint } from "../../src/crypto/node/p256.ts";
import { derivationPoints } from "../../src/crypto/node/point-recovery.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { openChannel } from "../../src/fleet/channel-opening.ts";
import { shareTag } from "../../src/fleet/share-tag.ts";
import { siteKeys } from "../../src/fleet/site-keys.ts";
import type { EvaluateShares } from "../../src/fleet/site-service.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import { memberKeys } from "../../src/keys/member-keys.ts";
import { shareKeyName } from "../../src/keys/roles.ts";
import { wrapMechanism } from "../../src/token/key-wrap.ts";
import type { SharePolicy } from "../../src/vault/evaluator.ts";
import type { Registration, Share, VaultRecord } from "../../src/vault/record.ts";
import { decodeRefusal, SITE_CONTENT_TYPE } from "../../src/wire/site-frames.ts";
import { decodeSiteAnswer, encodeSiteRequest } from "../../src/wire/site-messages.ts";
import { receiptMessage } from "../../src/wire/transcripts.ts";
import { type Attacker, evaluations, outcome, seize } from "../support/attacker.ts";
import { startFleet, type TestFleet } from "../support/fleet.ts";
import { recover, register } from "../support/flow.ts";
import { FLEET } from "../support/issuer.ts";
import { exchange } from "../support/sealed.ts";
import { withToken } from "../support/site-steps.ts";
import { randomPoint } from "../support/vault-world.ts";

/** Making the keys of a whole fleet takes long on a machine that has much else to do. */
const START_MS = 300_000;
const MAX_ATTEMPTS = 3;
const NONE = new Uint8Array(0);

/** A record at some time: as it was stored, and what a site with the fleet's `record` key reads of it. */
interface Snapshot {
  readonly sealed: Uint8Array;
  readonly record: VaultRecord;
  readonly registration: Registration;
}

describe.each([
  [3, 2],
  [5, 3],
])("%i sites, threshold %i", (sites, threshold) => {
  const taken = Array.from({ length: threshold - 1 }, (_, site) => site);
  const honest = Array.from({ length: sites - taken.length }, (_, i) => taken.length + i);
  const [coordinator = 0] = honest;
  const last = sites - 1;
  let fleet: TestFleet;
  let attacker: Attacker;
  /** The number of the share whose keys none of the attacker's tokens has. */
  let missing: number;
  /** Two generations; in the second, two recoveries at sites that are still honest. */
  let alice: { readonly id: Uint8Array; readonly first: Snapshot; readonly now: Snapshot };
  let aliceKey: Uint8Array;
  /** One generation: when registered, and after each of two recoveries. */
  let bob: { readonly id: Uint8Array; readonly times: readonly Snapshot[] };

  async function take(id: Uint8Array): Promise<Snapshot> {
    const sealed = await attacker.snapshot(id);
    const record = await attacker.open(id, sealed);
    if (!record.registration) throw new Error("nothing is registered");
    return { sealed, record, registration: record.registration };
  }

  beforeAll(async () => {
    fleet = await startFleet({ sites, threshold, maxAttempts: MAX_ATTEMPTS });
    const gap = fleet.tokens.sets.filter(({ holders }) => !taken.some((site) => holders.includes(site)));
    expect(gap).toHaveLength(1);
    missing = gap[0]?.share ?? -1;
    const target = fleet.target(coordinator);
    await register(target, "alice", "alice's first code");
    await register(target, "bob", "bob's code");
    attacker = await seize(fleet, taken);
    const aliceId = await attacker.recordId("alice");
    const first = await take(aliceId);
    aliceKey = await register(target, "alice", "alice's code");
    for (const site of [coordinator, last])
      expect(await recover(fleet.target(site), "alice", "alice's code")).toEqual(aliceKey);
    alice = { id: aliceId, first, now: await take(aliceId) };
    const bobId = await attacker.recordId("bob");
    const times = [await take(bobId)];
    for (const site of [last, coordinator]) {
      expect(await recover(fleet.target(site), "bob", "bob's code")).toBeDefined();
      times.push(await take(bobId));
    }
    bob = { id: bobId, times };
  }, START_MS);
  afterAll(async () => {
    await attacker?.close();
    await fleet?.close();
  });

  const policyOf = (id: Uint8Array, { record, registration }: Snapshot): SharePolicy => {
    const { receiptPublicKey, maxAttempts } = registration;
    return { recordId: id, generation: record.generation, receiptPublicKey, maxAttempts };
  };
  const shareOf = ({ registration }: Snapshot, number: number): Share => {
    const share = registration.shares.find((one) => one.share === number);
    if (!share) throw new Error(`no share ${number}`);
    return share;
  };
  /** The next attempt, as a coordinator would ask for the missing share. */
  async function attempt(
    subject: string,
    id: Uint8Array,
    at: Snapshot,
    changes: Partial<EvaluateShares> = {},
  ): Promise<EvaluateShares> {
    const { seq, base, lastReceipt } = at.registration;
    return {
      ...policyOf(id, at),
      shares: [shareOf(at, missing)],
      seq: seq + 1,
      base,
      lastReceipt,
      blindedElement: decompressPoint(randomPoint()),
      accountToken: await fleet.issueToken(subject),
      ...changes,
    };
  }
  /** Through each of the attacker's sites in turn. */
  const ask = (site: number, request: EvaluateShares): Promise<string> =>
    outcome(attacker.peer(taken[request.seq % taken.length] ?? 0, site), request);

  test("no token of the attacker's evaluates the missing share, or makes its tag", async () => {
    const { id, now } = alice;
    const share = shareOf(now, missing);
    const points = derivationPoints(decompressPoint(randomPoint()));
    const { before, after } = shareTag(policyOf(id, now), missing);
    const tagged = concat(before, share.publicKey, after);
    for (const site of taken) {
      const token = attacker.token(site);
      const kek = shareKeyName("share-kek", missing);
      await expect(token.run([{ op: "evaluate-share", kek, share, points }])).rejects.toMatchObject({
        code: "key-missing",
      });
      const { keys } = memberKeys(fleet.manifest, fleet.names[site]);
      for (const { name, role } of keys) {
        // One of its own shares does open, so that it is the missing one that makes the difference.
        const own = role === "share-kek" && shareOf(now, Number(name.split(".")[1]));
        if (own)
          await expect(
            token.run([{ op: "evaluate-share", kek: name, share: own, points }]),
          ).resolves.toBeDefined();
        if (role === "record" || role === "share-mac") {
          const [tag] = await token.run([{ op: "hmac", key: name, data: tagged }]);
          expect(equal(tag, share.tag)).toBe(false);
        }
      }
      const hsm = fleet.tokens.tokens[site] ?? expect.fail();
      await withToken(hsm, (session) => {
        for (const role of ["share-kek", "share-mac"] as const) {
          const LABEL = `strongroom/${FLEET}/${shareKeyName(role, missing)}`;
          expect(session.find({ LABEL })).toEqual([]);
        }
        const wrap = session.traits.keyWrap.find(({ mechanism }) => mechanism === share.mechanism);
        const openers = session.find({ UNWRAP: true });
        expect(openers.length).toBeGreaterThanOrEqual(keys.filter(({ role }) => role === "share-kek").length);
        const template = { CLASS: 3, KEY_TYPE: 3, TOKEN: false, SENSITIVE: false, EXTRACTABLE: true };
        for (const opener of openers)
          expect(() =>
            session.unwrap(wrapMechanism(wrap ?? expect.fail()), opener, share.wrapped, template),
          ).toThrow(expect.objectContaining({ code: expect.stringMatching(/^token-/) }));
      });
    }
  });

  test("honest sites refuse whatever is rolled back, forged, replayed or reused, and the owner recovers", async () => {
    const { id, first, now } = alice;
    const stranger = generateReceiptKeyPair();
    const { generation } = now.record;
    const { base, seq, lastReceipt } = now.registration;
    expect({ generation, seq, base }).toEqual({ generation: 2, seq: 2, base: 2 });
    const receipt = (of: number, inGeneration: number = generation): Uint8Array =>
      signReceipt(
        stranger.privateKey,
        receiptMessage({ fleet: FLEET, recordId: id, generation: inGeneration, seq: of }),
      );
    /** A share of which the attacker has the keys as well, with a tag for any policy. */
    async function ownShare(asked: number, policy: SharePolicy): Promise<Share> {
      const [site = 0] = taken;
      const held = fleet.tokens.sets.find(({ holders }) => holders.includes(site) && holders.includes(asked));
      const share = shareOf(now, held?.share ?? -1);
      const { key, before, after } = shareTag(policy, share.share);
      const data = concat(before, share.publicKey, after);
      const [tag] = await attacker.token(site).run([{ op: "hmac", key, data }]);
      return { ...share, tag };
    }
    const forged = { ...policyOf(id, now), maxAttempts: 100, receiptPublicKey: stranger.publicKey };
    const next = { ...policyOf(id, now), generation: 3 };
    const lacking = shareOf(now, missing);
    const inOrder = (...shares: readonly Share[]) => shares.toSorted((a, b) => a.share - b.share);
    const old = shareOf(first, missing);
    const oldPolicy = policyOf(id, first);
    const claims = { iat: Math.floor(Date.now() / 1000) - 600, exp: Math.floor(Date.now() / 1000) - 300 };
    const soon = Math.floor(Date.now() / 1000);

    // Of one number and element, so that what is refused after the guard has noted them costs no further number.
    const skipped = { seq: base + 2, blindedElement: decompressPoint(randomPoint()) };
    const proofOf = (receiptOf: Uint8Array) => ({ seq: 6, base: 5, lastReceipt: receiptOf });
    const attacksOn = async (
      site: number,
    ): Promise<readonly (readonly [what: string, Partial<EvaluateShares>, refusal: string])[]> => [
      [
        "an older generation",
        { ...oldPolicy, shares: [old], seq: 1, base: 0, lastReceipt: NONE },
        "generation",
      ],
      ["a higher generation", next, "generation"],
      ["one more", { ...next, seq: 1, base: 0, lastReceipt: NONE }, "generation"],
      [
        "a higher one with a share of its own",
        { ...next, shares: inOrder(await ownShare(site, next), lacking), seq: 1, base: 0, lastReceipt: NONE },
        "generation",
      ],
      ["more attempts", { maxAttempts: 100 }, "policy"],
      ["fewer attempts", { maxAttempts: 1 }, "policy"],
      ["another receipt key", { receiptPublicKey: stranger.publicKey, lastReceipt: receipt(base) }, "policy"],
      [
        "both, with a share of its own",
        { ...forged, shares: inOrder(await ownShare(site, forged), lacking) },
        "policy",
      ],
      ["an older share", { ...skipped, shares: [old] }, "record-corrupt"],
      ["a spoilt tag", { ...skipped, shares: [{ ...lacking, tag: randomBytes(32) }] }, "record-corrupt"],
      [
        "another share's key",
        { ...skipped, shares: [{ ...(await ownShare(site, forged)), share: missing }] },
        "record-corrupt",
      ],
      ["a number too high", { seq: base + MAX_ATTEMPTS + 1 }, "beyond"],
      ["a far one", { seq: 1_000_000 }, "beyond"],
      ["a used number", { seq: skipped.seq }, "used"],
      ["a proven number", { base: 0, lastReceipt: NONE, seq: 1 }, "proven"],
      ["a number that it calls proven itself", { seq: base }, "range"],
      ["a success without a receipt", proofOf(NONE), "receipt"],
      ["the last receipt for another number", proofOf(lastReceipt), "receipt"],
      ["a receipt of its own", proofOf(receipt(5)), "receipt"],
      ["a receipt of another account", proofOf(bob.times[2]?.registration.lastReceipt ?? NONE), "receipt"],
      ["no account token", { accountToken: "" }, "invalid-request"],
      ["something else", { accountToken: "a.b.c" }, "unauthorized"],
      ["another account's", { accountToken: await fleet.issueToken("bob") }, "unauthorized"],
      [
        "an expired one",
        { accountToken: await fleet.issueToken("alice", ["recover"], claims) },
        "unauthorized",
      ],
      [
        "one that lives too long",
        { accountToken: await fleet.issueToken("alice", ["recover"], { exp: soon + 7_200 }) },
        "unauthorized",
      ],
      [
        "one for another fleet",
        { accountToken: await fleet.issueToken("alice", ["recover"], { aud: "other" }) },
        "unauthorized",
      ],
      [
        "one for another purpose",
        { accountToken: await fleet.issueToken("alice", ["register", "status"]) },
        "unauthorized",
      ],
      [
        "one of an unknown issuer",
        { accountToken: await fleet.issueToken("alice", ["recover"], { iss: "https://other.example" }) },
        "unauthorized",
      ],
    ];
    const guards = /^(generation|policy|beyond|used|proven|range|receipt)$/;
    const before = await Promise.all(honest.map((site) => evaluations(fleet, site)));
    for (const stored of [first, now]) {
      await attacker.put(id, stored.sealed);
      for (const site of honest) {
        const seen: (readonly [string, string])[] = [];
        const attacks = await attacksOn(site);
        for (const [what, changes] of attacks)
          seen.push([what, await ask(site, await attempt("alice", id, now, changes))]);
        const expected = attacks.map(([what, , refusal]) => [
          what,
          guards.test(refusal) ? `guard-refused: ${refusal}` : refusal,
        ]);
        expect(seen, `site ${site}`).toEqual(expected);
      }
    }
    expect(await Promise.all(honest.map((site) => evaluations(fleet, site)))).toEqual(before);

    // An announcement needs the tags of all shares of its site, and so of one that the attacker lacks.
    for (const site of honest) {
      const peer = attacker.peer(taken[0] ?? 0, site);
      const held = sharesOf(site, fleet.tokens.sets).map((number) => shareOf(now, number));
      const own = await ownShare(site, next);
      const all = held.map((share) => (share.share === own.share ? own : share));
      await expect(peer.announce({ ...next, shares: [own] })).rejects.toMatchObject({
        code: "invalid-request",
      });
      await expect(peer.announce({ ...next, shares: all })).rejects.toMatchObject({ code: "record-corrupt" });
    }

    // One token, one number, one element: the same again says the same again, anything else is refused.
    for (const site of honest) {
      const skipping = await attempt("alice", id, now, skipped);
      const { accountToken } = skipping;
      expect(await ask(site, skipping)).toBe("evaluated");
      expect(await ask(site, skipping)).toBe("evaluated");
      expect(await ask(site, await attempt("alice", id, now, { accountToken, seq: base + 1 }))).toBe(
        "unauthorized",
      );
      expect(await ask(site, await attempt("alice", id, now, { seq: base + 2 }))).toBe("guard-refused: used");
    }
    expect(await recover(fleet.target(last), "alice", "alice's code")).toEqual(aliceKey);
  });

  test("messages between sites count once, and only in the name of who signs them", async () => {
    const { id, now } = alice;
    const [site = 0] = taken;
    const token = attacker.token(site);
    const keys = siteKeys(fleet.manifest);
    const to = keys.get(fleet.names[last] ?? "") ?? expect.fail();
    const sign = async (digest: Uint8Array): Promise<Uint8Array> => {
      const [signature] = await token.run([{ op: "sign", key: "identity", digest }]);
      return signature;
    };
    const opening = (from: string) =>
      openChannel({ fleet: FLEET, from, to, sign, clock: systemClock, random: randomBytes });
    async function post(body: Uint8Array): Promise<{ refusal: string | undefined; body: Uint8Array }> {
      const headers = { "content-type": SITE_CONTENT_TYPE };
      const answer = await fetch(`${to.url}/v1/site`, {
        method: "POST",
        headers,
        body: Uint8Array.from(body),
      });
      const bytes = new Uint8Array(await answer.arrayBuffer());
      return { refusal: answer.status === 200 ? undefined : decodeRefusal(bytes), body: bytes };
    }
    const asHonest = await opening(fleet.names[coordinator] ?? "");
    expect((await post(asHonest.body)).refusal).toBe("unauthorized");

    const pending = await opening(fleet.names[site] ?? "");
    const end = pending.confirm((await post(pending.body)).body);
    expect((await post(pending.body)).refusal).toBe("conflict");
    const request = await attempt("alice", id, now, { seq: now.registration.base + 2 });
    const sealed = end.seal(encodeSiteRequest({ op: "evaluate", ...request }));
    const answer = decodeSiteAnswer("evaluate", sealed.openAnswer((await post(sealed.body)).body));
    expect(answer).toMatchObject({ error: "guard-refused", details: { reason: "used" } });
    expect((await post(sealed.body)).refusal).toBe("conflict");

    await fleet.kill9(last);
    await fleet.start(last);
    await fleet.whenReady(last);
    expect((await post(sealed.body)).refusal).toBe("unknown-channel");
  });

  test("whatever the store is made to say, each honest site evaluates no more than the allowed attempts", async () => {
    const { id, times } = bob;
    const latest = times.at(-1) ?? expect.fail();
    const { record, registration } = latest;
    expect(registration).toMatchObject({ seq: 2, base: 2 });
    const changed = (changes: Partial<Registration>, generation: number = record.generation) =>
      attacker.seal(id, { ...record, generation, registration: { ...registration, ...changes } });
    const stored = [
      ...times.map(({ sealed }) => sealed),
      await changed({ maxAttempts: 100 }),
      await changed({ seq: 0, base: 0, lastReceipt: NONE, lastAttempt: NONE }),
      await changed({ receiptPublicKey: generateReceiptKeyPair().publicKey }),
      await changed({}, 7),
      latest.sealed,
    ];
    const proofs = times.map((time) => time.registration);
    const before = await Promise.all(honest.map((site) => evaluations(fleet, site)));
    const gained = new Map(honest.map((site) => [site, new Set<string>()]));
    for (const sealed of stored) {
      for (const site of honest) {
        await attacker.put(id, sealed);
        for (const { base, lastReceipt } of proofs)
          for (let seq = base + 1; seq <= base + MAX_ATTEMPTS + 1; seq++) {
            const request = await attempt("bob", id, latest, { seq, base, lastReceipt });
            if ((await ask(site, request)) === "evaluated")
              gained.get(site)?.add(toHex(request.blindedElement));
          }
        // And by the front door, where the honest site itself reads what the store says.
        const ke1 = concat(randomPoint(), randomBytes(32), randomPoint());
        const accountToken = await fleet.issueToken("bob");
        const { answer } = await exchange(fleet.target(site), { op: "recover-start", accountToken, ke1 });
        expect("error" in answer && answer.error).toBe("unavailable");
      }
    }
    const total = [...gained.values()].reduce((sum, { size }) => sum + size, 0);
    expect(total).toBeLessThanOrEqual(MAX_ATTEMPTS * honest.length);
    // Not one less either: these are the attempts that anybody with the account's tokens has.
    expect([...gained.values()].map(({ size }) => size)).toEqual(honest.map(() => MAX_ATTEMPTS));
    const after = await Promise.all(honest.map((site) => evaluations(fleet, site)));
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual(honest.map(() => MAX_ATTEMPTS));
  });
});

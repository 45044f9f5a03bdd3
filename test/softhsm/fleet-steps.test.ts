/**
 * A distribution over three SoftHSM tokens, step by step as a ceremony takes it, with everything that somebody may
 * do wrong on the way.
 */
import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { framed, toBase64Url } from "../../src/base/bytes.ts";
import { sha256Of } from "../../src/base/node/sha256.ts";
import { fleetKeys } from "../../src/keys/fleet-keys.ts";
import { proveKey } from "../../src/keys/key-equality.ts";
import type { SiteSteps, StepName } from "../../src/keys/site-steps.ts";
import type { TransportKey } from "../../src/keys/transport.ts";
import type { KeyPackage } from "../../src/keys/travel.ts";
import { readAttributes } from "../../src/token/objects.ts";
import { blankFleetTokens } from "../support/fleet-tokens.ts";
import { shapeOf, stepAt, withToken } from "../support/site-steps.ts";

type Blank = Awaited<ReturnType<typeof blankFleetTokens>>;

let blank: Blank;
let transports: TransportKey[];
/** What the lead site wraps for the second: ake and record. */
let sent: readonly KeyPackage[];

const shape = (): ReturnType<typeof shapeOf> => shapeOf(blank.config);
const at = <N extends StepName>(
  site: number,
  name: N,
  input: SiteSteps[N]["input"],
): Promise<SiteSteps[N]["output"]> => stepAt(shape(), blank.tokens, site, name, input);
const token = (site: number): Blank["tokens"][number] => {
  const hsm = blank.tokens[site];
  if (!hsm) throw new Error(`no token ${site}`);
  return hsm;
};
const transport = (site: number): TransportKey => {
  const key = transports[site];
  if (!key) throw new Error(`no transport key ${site}`);
  return key;
};
const parcel = (key: string): KeyPackage => {
  const found = sent.find((one) => one.key === key);
  if (!found) throw new Error(`no package with ${key}`);
  return found;
};
const label = (name: string): string => `strongroom/test-fleet/${name}`;
const code = (name: string, ckr?: string): object => ({
  code: name,
  ...(ckr === undefined ? {} : { details: expect.objectContaining({ ckr }) }),
});
const labelled = (site: number, text: string): Promise<number> =>
  withToken(token(site), (session) => session.find({ LABEL: text }).length);

beforeAll(async () => {
  blank = await blankFleetTokens({ sites: 3, threshold: 2 });
});
afterAll(() => blank.remove());

describe.sequential("from blank tokens to sealed keys", () => {
  test("nothing can be exported or imported before its turn", async () => {
    transports = [];
    for (const site of [0, 1, 2]) {
      await at(site, "make-site-keys", undefined);
      transports.push(await at(site, "make-transport", undefined));
    }
    await expect(at(0, "export", [{ key: "record", to: transport(1) }])).rejects.toMatchObject(
      code("key-missing"),
    );
    await at(0, "make-originals", ["ake", "record"]);
    // The original is there; nobody has taken the transport key for trusted.
    await expect(at(0, "export", [{ key: "record", to: transport(1) }])).rejects.toMatchObject(
      code("key-missing"),
    );
    const carriers = ["site-b"];
    await at(0, "trust", { keys: [transport(1)], carriers: [] });
    await expect(at(0, "export", [{ key: "ake", to: transport(1) }])).rejects.toMatchObject(
      code("key-missing"),
    );
    await at(0, "trust", { keys: [transport(1)], carriers });
    sent = await at(0, "export", [
      { key: "ake", to: transport(1) },
      { key: "record", to: transport(1) },
    ]);
    expect(sent.map(({ key, to }) => [key, to])).toEqual([
      ["ake", "site-b"],
      ["record", "site-b"],
    ]);
  });

  test("an original is not for the vault, and leaves under no key but a trusted one", async () => {
    const refused = await withToken(
      token(0),
      (session) => {
        const [record] = session.find({ LABEL: `${label("record")}/original` });
        if (!record) throw new Error("no original");
        const kek = session.generateKey(
          { mechanism: 0x1080 },
          { CLASS: 4, KEY_TYPE: 0x1f, VALUE_LEN: 32, TOKEN: false, WRAP: true, UNWRAP: true },
        );
        expect(() => session.key("record")).toThrowError(expect.objectContaining(code("key-missing")));
        const attempts: [string, () => unknown][] = [
          ["wrap under the user's own key", () => session.wrap({ mechanism: 0x210a }, kek, record)],
          ["read", () => session.attribute(record, "VALUE")],
          ["lift the condition", () => session.setAttributes(record, { WRAP_WITH_TRUSTED: false })],
          ["copy", () => session.copy(record, { LABEL: "mine" })],
          [
            "a trusted key of the user's",
            () =>
              session.generateKey(
                { mechanism: 0x1080 },
                { CLASS: 4, KEY_TYPE: 0x1f, VALUE_LEN: 32, TOKEN: false, WRAP: true, TRUSTED: true },
              ),
          ],
        ];
        return attempts.map(([what, attempt]) => {
          try {
            attempt();
            return [what, "done"];
          } catch (error) {
            return [what, (error as { details: { ckr: string } }).details.ckr];
          }
        });
      },
      { keys: [{ name: "record", role: "record", label: label("record") }] },
    );
    expect(refused).toEqual([
      ["wrap under the user's own key", "CKR_KEY_NOT_WRAPPABLE"],
      ["read", "CKR_ATTRIBUTE_SENSITIVE"],
      ["lift the condition", "CKR_ACTION_PROHIBITED"],
      ["copy", "CKR_ACTION_PROHIBITED"],
      ["a trusted key of the user's", "CKR_ATTRIBUTE_READ_ONLY"],
    ]);
  });

  test("the transport key decrypts nothing", async () => {
    const decrypts = await withToken(token(1), (session) =>
      session.find({ LABEL: label("transport"), CLASS: 3 }).map((key) => session.attribute(key, "DECRYPT")),
    );
    expect(decrypts).toEqual([false]);
  });

  test("another transport key under the name of a site is refused by the origin", async () => {
    const stranger = { ...transport(2), site: "site-b" };
    await expect(at(0, "export", [{ key: "record", to: stranger }])).rejects.toMatchObject(code("key-drift"));
    await expect(
      at(0, "trust", { keys: [{ ...transport(1), modulus: new Uint8Array(256).fill(255) }], carriers: [] }),
    ).rejects.toMatchObject(code("invalid-request"));
  });

  test("a transport public key that somebody without the PIN put in its place is not given out", async () => {
    const strangers = generateKeyPairSync("rsa", { modulusLength: 3072 }).publicKey.export({ format: "jwk" });
    const modulus = Uint8Array.from(Buffer.from(strangers.n ?? "", "base64url"));
    await withToken(
      token(2),
      (session) => {
        const [half] = session.find({ CLASS: 2, LABEL: label("transport") });
        if (!half) throw new Error("no transport key");
        const { ID, ...rest } = readAttributes(session, half, [
          ...(["ID", "MODULUS_BITS", "PUBLIC_EXPONENT", "ENCRYPT", "VERIFY", "VERIFY_RECOVER"] as const),
          ...(["WRAP", "DERIVE", "COPYABLE", "MODIFIABLE"] as const),
        ]);
        const { MODULUS_BITS: _, ...usage } = rest;
        session.destroy(half);
        session.createObject({
          ...{ CLASS: 2, KEY_TYPE: 0, TOKEN: true, PRIVATE: false, LABEL: label("transport") },
          ...{ ...(ID === undefined ? {} : { ID }), MODULUS: modulus },
          ...usage,
        });
      },
      { login: "none" },
    );
    const given = await at(2, "make-transport", undefined);
    expect(given.modulus).not.toEqual(modulus);
    expect(given.exponent).toEqual(Uint8Array.of(1, 0, 1));
    transports[2] = given;
  });

  test("a transport key under whose exponent nothing would be secret is refused", async () => {
    for (const exponent of [Uint8Array.of(1), Uint8Array.of(3)])
      await expect(
        at(0, "trust", { keys: [{ ...transport(1), exponent }], carriers: [] }),
      ).rejects.toMatchObject(code("invalid-request"));
  });

  test("a share goes to no site outside its holders, and is made by nobody but its origin", async () => {
    // Share 2 is that of sites a and b.
    await expect(at(0, "export", [{ key: "share-kek.2", to: transport(2) }])).rejects.toMatchObject(
      code("invalid-request"),
    );
    await expect(at(1, "make-originals", ["share-kek.2"])).rejects.toMatchObject(code("invalid-request"));
    await expect(
      at(2, "import", [{ ...parcel("record"), to: "site-c", key: "share-kek.2" }]),
    ).rejects.toMatchObject(code("invalid-request"));
  });

  const flip = (bytes: Uint8Array, at: number): Uint8Array =>
    bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));

  test("a damaged package is refused, and nothing of it stays", async () => {
    const record = parcel("record");
    const ake = parcel("ake");
    const carried = ake.carried;
    if (!carried) throw new Error("ake is not carried");
    const damaged: KeyPackage[] = [
      { ...record, oaep: flip(record.oaep, 100) },
      { ...record, oaep: record.oaep.slice(1) },
      { ...ake, oaep: flip(ake.oaep, 383) },
      { ...ake, carried: { ...carried, wrapped: flip(carried.wrapped, 20) } },
      { ...ake, carried: { ...carried, wrapped: carried.wrapped.slice(0, -8) } },
    ];
    for (const one of damaged)
      await expect(at(1, "import", [one])).rejects.toMatchObject({
        code: expect.stringMatching(/^token-(failed|refused)$/),
        details: { ckr: expect.stringMatching(/^CKR_/) },
      });
    expect(await labelled(1, label("record"))).toBe(0);
    expect(await labelled(1, label("ake"))).toBe(0);
  });

  test("a package with another key in it is refused, and nothing of it stays", async () => {
    const [record, ake] = [parcel("record"), parcel("ake")];
    const carried = ake.carried;
    if (!carried) throw new Error("ake is not carried");
    await at(0, "make-originals", ["share-mac.2"]);
    const [mac] = await at(0, "export", [{ key: "share-mac.2", to: transport(1) }]);
    if (!mac) throw new Error("no package");
    const otherPoint = await withToken(token(0), (session) =>
      session.find({ LABEL: label("session"), CLASS: 2 }).map((half) => session.attribute(half, "EC_POINT")),
    );
    const point = otherPoint[0];
    if (!(point instanceof Uint8Array)) throw new Error("no point");
    const swapped: KeyPackage[] = [
      { ...record, oaep: mac.oaep },
      { ...record, proof: mac.proof },
      { ...mac, oaep: record.oaep, nonce: record.nonce, proof: record.proof },
      { ...record, nonce: mac.nonce },
      { ...ake, carried: { ...carried, publicKey: Uint8Array.from(point.subarray(2)) } },
    ];
    for (const one of swapped)
      await expect(at(1, "import", [one])).rejects.toMatchObject(code("decrypt-failed"));
    await expect(at(1, "import", [{ ...record, key: "share-mac.2" }])).rejects.toMatchObject(
      code("decrypt-failed"),
    );
    await expect(at(2, "import", [record])).rejects.toMatchObject(code("invalid-request"));
    for (const name of ["record", "ake", "share-mac.2"]) expect(await labelled(1, label(name))).toBe(0);
  });

  test("a forged key arrives, since anybody can encrypt; then no original is destroyed", async () => {
    const { modulus, exponent } = transport(1);
    const key = createPublicKey({
      key: { kty: "RSA", n: toBase64Url(modulus), e: toBase64Url(exponent) },
      format: "jwk",
    });
    const value = randomBytes(32);
    const nonce = Uint8Array.from(randomBytes(32));
    const context = "strongroom/key-equality/v1";
    const answer = createHmac("sha256", value)
      .update(framed(context, label("record"), nonce))
      .digest();
    const forged: KeyPackage = {
      ...parcel("record"),
      oaep: Uint8Array.from(
        publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" }, value),
      ),
      nonce,
      proof: sha256Of(framed(context, label("record"), nonce, answer)),
    };
    await at(1, "import", [forged]);
    const secrecy = await withToken(token(1), (session) =>
      session.find({ LABEL: label("record") }).map((object) => session.secrecy(object)),
    );
    expect(secrecy).toEqual([{ sensitive: true, extractable: false }]);
    await expect(at(1, "import", [parcel("record")])).rejects.toMatchObject(code("key-drift"));

    const fresh = Uint8Array.from(randomBytes(32));
    const lied = createHmac("sha256", value)
      .update(framed(context, label("record"), fresh))
      .digest();
    const lie = sha256Of(framed(context, label("record"), fresh, lied));
    await expect(
      at(0, "destroy-originals", [{ key: "record", nonce: fresh, proofs: [lie, lie, lie] }]),
    ).rejects.toMatchObject(code("key-drift"));
    // One true answer is not enough either: three sites have to have the key.
    const truth = await withToken(token(0), (session) => {
      const [record] = session.find({ LABEL: `${label("record")}/original` });
      const spec = fleetKeys(shape()).find((key) => key.spec.name === "record")?.spec;
      if (!record || !spec) throw new Error("no original");
      return proveKey(session, spec, record, fresh);
    });
    await expect(
      at(0, "destroy-originals", [{ key: "record", nonce: fresh, proofs: [truth] }]),
    ).rejects.toMatchObject(code("key-drift"));
    expect(await labelled(0, `${label("record")}/original`)).toBe(1);
    await at(1, "discard-keys", ["record"]);
    expect(await labelled(1, label("record"))).toBe(0);
  });

  test("keys that stay are not discarded with those that travel", async () => {
    await at(1, "discard-keys", ["identity"]);
    expect(await labelled(1, label("identity"))).toBe(2);
  });

  test("in order it works: all holders equal, only they, and sealed for good", async () => {
    const keys = fleetKeys(shape());
    const origins = [...new Set(keys.map(({ origin }) => origin))];
    const packages: KeyPackage[] = [];
    for (const origin of origins) {
      const own = keys.filter((key) => key.origin === origin);
      await at(
        origin,
        "make-originals",
        own.map(({ spec }) => spec.name),
      );
      await at(origin, "trust", { keys: transports, carriers: origin === 0 ? shape().sites : [] });
      const wanted = own.flatMap(({ spec, holders }) =>
        holders.map((site) => ({ key: spec.name, to: transport(site) })),
      );
      packages.push(...(await at(origin, "export", wanted)));
    }
    for (const [site, name] of shape().sites.entries())
      await at(
        site,
        "import",
        packages.filter(({ to }) => to === name),
      );

    const nonce = Uint8Array.from(randomBytes(32));
    const said: SiteSteps["prove"]["output"][] = [];
    for (const site of [0, 1, 2]) said.push(await at(site, "prove", nonce));
    for (const { spec, origin, holders } of keys) {
      const proofs = holders.flatMap((site) =>
        (said[site]?.keys ?? []).filter(({ key }) => key === spec.name).map(({ proof }) => proof),
      );
      expect(proofs).toHaveLength(holders.length);
      await at(origin, "destroy-originals", [{ key: spec.name, nonce, proofs }]);
    }
    const distinct = new Set(said.flatMap(({ keys: all }) => all.map(({ proof }) => toBase64Url(proof))));
    expect(distinct.size).toBe(keys.length);

    for (const site of [0, 1, 2]) {
      await at(site, "remove-transport", undefined);
      await at(site, "remove-trusted", undefined);
      const { keys: held, originals, temporary, foreign } = await at(site, "survey", undefined);
      expect(new Set(held.map(({ state }) => state))).toEqual(new Set(["ok"]));
      expect(originals.filter(({ state }) => state !== "missing")).toEqual([]);
      expect([temporary, foreign]).toEqual([[], []]);
      for (const { key: _, ...refusals } of await at(site, "try-refusals", undefined))
        expect(refusals).toEqual({
          wrap: "CKR_KEY_UNEXTRACTABLE",
          reveal: "CKR_ATTRIBUTE_SENSITIVE",
          reopen: "CKR_ACTION_PROHIBITED",
          extend: "CKR_ACTION_PROHIBITED",
          copy: "CKR_ACTION_PROHIBITED",
        });
    }
  });

  test("afterwards nothing can be brought or taken any more", async () => {
    await expect(at(0, "export", [{ key: "record", to: transport(1) }])).rejects.toMatchObject(
      code("key-missing"),
    );
    await withToken(token(1), (session) => {
      for (const object of session.find({ LABEL: label("record") })) session.destroy(object);
    });
    await expect(at(1, "import", [parcel("record")])).rejects.toMatchObject(code("key-missing"));
  });
});

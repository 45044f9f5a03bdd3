/** An auditor's keys and anchor on a real token: what it signs, what it remembers, and that it cannot be set back. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeHead, encodeHead, type Head, newestHead } from "../../src/auditor/anchor.ts";
import { auditorKeys, openSigner, type SignerKey, type SignerToken } from "../../src/auditor/signer.ts";
import { fromHex, toBase64Url, utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { provision, provisioned } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { OBJECT_CLASS } from "../../src/token/attributes.ts";
import { openSession } from "../../src/token/open.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const { audit, checkpoint } = auditorKeys("vault.example");
const LABEL = "strongroom/auditor/vault.example/head";
const head = (epoch: number, size: number, fill = 7): Head => ({
  epoch,
  digest: sha256HexOf(`${epoch}`),
  size,
  root: new Uint8Array(32).fill(size === 0 ? 0 : fill),
});

let hsm: SoftHsm;
let keys: readonly SignerKey[];
let token: SignerToken;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  try {
    expect(provisioned(provision(session, profile, [audit, checkpoint]))).toBe(true);
    // Again: attributes, curve and halves of what is there are checked.
    expect(provision(session, profile, [audit, checkpoint]).map(({ state }) => state)).toEqual(["ok", "ok"]);
    const points = readPublicKeys(session, [audit, checkpoint]);
    keys = [audit, checkpoint].map((key) => {
      const publicKey = points.get(key.name);
      if (!publicKey) throw new Error("no public key");
      return { ...key, publicKey };
    });
  } finally {
    session.close();
  }
  token = await openSigner({ uri: hsm.uri, profile: "softhsm2", keys });
});
afterAll(async () => {
  await token.close();
  hsm.remove();
});

test("openssl accepts what the token signs", async () => {
  const { publicKey, sign } = token.signer(audit.name);
  const message = utf8("an audit, say");
  const at = (name: string): string => join(hsm.dir, name);
  // SubjectPublicKeyInfo of Ed25519, RFC 8410 §4.
  writeFileSync(at("key.der"), Buffer.concat([fromHex("302a300506032b6570032100"), publicKey]));
  writeFileSync(at("message"), message);
  writeFileSync(at("signature"), await sign(message));
  const verify = (): string =>
    execFileSync("openssl", [
      ...["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", at("key.der"), "-rawin"],
      ...["-in", at("message"), "-sigfile", at("signature")],
    ]).toString();
  expect(verify()).toContain("Verified Successfully");
  writeFileSync(at("message"), "another");
  expect(verify).toThrow();
});

test("audits and checkpoints have different keys", () => {
  expect(token.signer(audit.name).publicKey).not.toEqual(token.signer(checkpoint.name).publicKey);
});

test("a token whose key is not the configured one signs nothing", async () => {
  const [first, second] = keys;
  if (!first || !second) throw new Error("no keys");
  await expect(
    openSigner({ uri: hsm.uri, profile: "softhsm2", keys: [{ ...first, publicKey: second.publicKey }] }),
  ).rejects.toMatchObject({ code: "key-drift" });
});

describe("the anchor", () => {
  test("is absent, then says what it was told last, and goes forward only", async () => {
    const anchor = token.anchor(LABEL);
    expect(await anchor.read()).toBeUndefined();
    for (const next of [head(0, 0), head(1, 0), head(1, 1), head(1, 1)]) {
      await anchor.write(next);
      expect(await anchor.read()).toEqual(next);
    }
    for (const [name, back] of [
      ["epoch", head(0, 1)],
      ["size", head(1, 0)],
      ["another digest", { ...head(1, 1), digest: "ab".repeat(32) }],
      ["another root", head(1, 1, 8)],
      ["forward and back", head(2, 0)],
    ] as const)
      await expect(anchor.write(back), name).rejects.toMatchObject({ code: "auditor-refused" });
    expect(await anchor.read()).toEqual(head(1, 1));
  });

  test("takes the newer of two that an accident left, and clears up", async () => {
    const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
    const CLASS = OBJECT_CLASS.data;
    try {
      const VALUE = encodeHead(head(2, 1));
      session.createObject({ CLASS, TOKEN: true, PRIVATE: true, LABEL, VALUE });
      const anchor = token.anchor(LABEL);
      expect(await anchor.read()).toEqual(head(2, 1));
      await anchor.write(head(2, 2));
      expect(session.find({ CLASS, LABEL })).toHaveLength(1);
    } finally {
      session.close();
    }
  });

  test("two that contradict each other are nobody's", () => {
    expect(() => newestHead([head(2, 2, 1), head(2, 2, 2)])).toThrow();
    expect(() => newestHead([head(3, 1), head(2, 2)])).toThrow();
  });

  test("has one encoding", () => {
    const bytes = encodeHead(head(3, 2));
    expect(toBase64Url(bytes)).toMatchInlineSnapshot(
      `"AAAAGnN0cm9uZ3Jvb20vYXVkaXRvci1oZWFkL3YxAAAACAAAAAAAAAADAAAAIE4HQIVivtuLYM4Fwd7P460WtyIwln3gH2QLfkcptJ_OAAAACAAAAAAAAAACAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"`,
    );
    expect(decodeHead(bytes)).toEqual(head(3, 2));
    for (const wrong of [bytes.slice(0, -1), Uint8Array.of(...bytes, 0), bytes.with(3, 1), bytes.with(6, 65)])
      expect(() => decodeHead(wrong)).toThrow();
    expect(() => decodeHead(bytes.with(34, 255))).toThrow();
  });
});

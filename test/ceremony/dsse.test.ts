import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equal, toBase64Url, uintBE, utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import {
  addSignature,
  decodeEnvelope,
  type Envelope,
  type EnvelopeSigner,
  encodeEnvelope,
  isSignedBy,
  keyIdOf,
  pae,
  payloadTypeOf,
  signEnvelope,
} from "../../src/ceremony/dsse.ts";
import { MAX_JSON_BYTES } from "../../src/ceremony/json-bytes.ts";
import { codeOf } from "../support/codes.ts";
import { flipped } from "../support/flipped.ts";

/** The example of DSSE's protocol.md 1.0.2, "Test Vectors" (github.com/secure-systems-lab/dsse). */
const SPEC = {
  payloadType: "http://example.com/HelloWorld",
  body: "hello world",
  pae: "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
  x: 46950820868899156662930047687818585632848591499744589407958293238635476079160n,
  y: 5640078356564379163099075877009565129882514886557779369047442380624545832820n,
  sig: "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==",
};
const specKey = Uint8Array.of(4, ...uintBE(SPEC.x, 32), ...uintBE(SPEC.y, 32));
const specEnvelope: Envelope = {
  payloadType: SPEC.payloadType,
  payload: utf8(SPEC.body),
  signatures: [{ keyid: keyIdOf(specKey), sig: Uint8Array.from(Buffer.from(SPEC.sig, "base64")) }],
};

/** An officer's key from a fixed seed; Ed25519 is deterministic, so that its envelopes are golden. */
function officer(seed: number): EnvelopeSigner {
  const pkcs8 = Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.alloc(32, seed),
  ]);
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return {
    publicKey: Uint8Array.from(spki.subarray(-32)),
    sign: (message) => Uint8Array.from(sign(null, message, key)),
  };
}

const TYPE = payloadTypeOf("plan-approval");
const invalid = expect.objectContaining({ code: "evidence-invalid" });

describe("as the standard has it", () => {
  test("its pre-authentication encoding, which counts bytes", () => {
    expect(Buffer.from(pae(SPEC.payloadType, utf8(SPEC.body))).toString()).toBe(SPEC.pae);
    expect(Buffer.from(pae("é", utf8("ü"))).toString()).toBe("DSSEv1 2 é 2 ü");
    expect(Buffer.from(pae("", new Uint8Array())).toString()).toBe("DSSEv1 0  0 ");
  });

  test("its signature verifies, and over no other bytes", () => {
    expect(isSignedBy(specEnvelope, specKey)).toBe(true);
    expect(isSignedBy({ ...specEnvelope, payload: utf8("hello worle") }, specKey)).toBe(false);
    expect(isSignedBy({ ...specEnvelope, payloadType: "http://example.com/HelloWorlc" }, specKey)).toBe(
      false,
    );
  });

  test("a golden envelope of an officer", async () => {
    const payload = utf8(`${JSON.stringify({ type: "strongroom/plan-approval/v1" }, null, 2)}\n`);
    const envelope = await signEnvelope(TYPE, payload, [officer(1), officer(2)]);
    const golden = readFileSync(new URL("golden/envelope.dsse.json", import.meta.url));
    expect(Buffer.from(encodeEnvelope(envelope)).toString()).toBe(golden.toString());
    const decoded = decodeEnvelope(golden, TYPE);
    expect(decoded).toEqual(envelope);
    expect([1, 2, 3].map((seed) => isSignedBy(decoded, officer(seed).publicKey))).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe("what is stricter", () => {
  test("an envelope of another kind is refused before its payload is looked at", async () => {
    const bytes = encodeEnvelope(await signEnvelope(TYPE, utf8("x"), [officer(1)]));
    expect(() => decodeEnvelope(bytes, payloadTypeOf("step"))).toThrow(invalid);
  });

  test("a signature under the name of another key counts for neither", async () => {
    const { signatures, ...rest } = await signEnvelope(TYPE, utf8("x"), [officer(1)]);
    const [one] = signatures;
    if (!one) throw new Error("no signature");
    const renamed = { ...rest, signatures: [{ ...one, keyid: keyIdOf(officer(2).publicKey) }] };
    expect([1, 2].map((seed) => isSignedBy(renamed, officer(seed).publicKey))).toEqual([false, false]);
  });

  test("whoever signs again replaces what it signed", async () => {
    const once = await signEnvelope(TYPE, utf8("x"), [officer(1), officer(2)]);
    const twice = await addSignature(once, officer(1));
    expect(twice.signatures.map(({ keyid }) => keyid)).toEqual(
      [2, 1].map((seed) => keyIdOf(officer(seed).publicKey)),
    );
  });

  test("a signer whose signature does not verify is found at once", async () => {
    const wrong = { publicKey: officer(1).publicKey, sign: officer(2).sign };
    await expect(signEnvelope(TYPE, utf8("x"), [wrong])).rejects.toMatchObject({ code: "token-failed" });
  });

  test("keys of no known form sign nothing", () => {
    for (const length of [0, 31, 33, 64, 65]) {
      const key = new Uint8Array(length).fill(4);
      const sig = new Uint8Array(64);
      expect(isSignedBy({ ...specEnvelope, signatures: [{ keyid: keyIdOf(key), sig }] }, key)).toBe(false);
    }
  });

  test("every other spelling of the same envelope is refused", async () => {
    const envelope = await signEnvelope(TYPE, utf8("hello"), [officer(1)]);
    const text = Buffer.from(encodeEnvelope(envelope)).toString();
    const base64 = Buffer.from("hello").toString("base64");
    const keyid = envelope.signatures[0]?.keyid ?? "";
    const signature = JSON.stringify(JSON.parse(text).signatures[0], null, 2).replaceAll("\n", "\n    ");
    const others = [
      text.slice(0, -1),
      ` ${text}`,
      `\ufeff${text}`,
      text.replace(base64, base64.replace("=", "")),
      text.replace(base64, base64.replace(/.=$/, "9=")),
      text.replace(`"payload": "`, `"payload": "A`),
      text.replace(`"payload": `, `"payload": "",\n  "payload": `),
      text.replace(`"payload": `, `"more": 1,\n  "payload": `),
      text.replace(`"payload"`, `"pay\\u006coad"`),
      text.replace(keyid, keyid.toUpperCase()),
      text.replace(keyid, keyid.slice(1)),
      text.replace(signature, `${signature},\n    ${signature}`),
      text.replace(/"sig": "..../, `"sig": "`),
      "[".repeat(100_000),
      "null\n",
      "",
    ];
    for (const other of others) {
      expect(other).not.toBe(text);
      expect(() => decodeEnvelope(utf8(other), TYPE), other.slice(0, 300)).toThrow(invalid);
    }
    expect(() => decodeEnvelope(new Uint8Array(MAX_JSON_BYTES + 1), TYPE)).toThrow(invalid);
  });

  test("any flipped bit is found: by the decoder, or by the signature", async () => {
    const { publicKey } = officer(7);
    const bytes = encodeEnvelope(await signEnvelope(TYPE, utf8("a payload"), [officer(7)]));
    const ends = (changed: Uint8Array): string => {
      let signed = false;
      const code = codeOf(() => {
        signed = isSignedBy(decodeEnvelope(changed, TYPE), publicKey);
      });
      return signed ? "signed" : code;
    };
    expect(ends(bytes)).toBe("signed");
    for (let bit = 0; bit < bytes.length * 8; bit += 7)
      expect(["no error", "evidence-invalid"], `bit ${bit}`).toContain(
        ends(flipped(bytes, bit >> 3, 1 << (bit & 7))),
      );
  });

  test("whatever is encoded decodes to the same", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.string(),
        fc.uniqueArray(fc.uint8Array({ minLength: 64, maxLength: 64 }), { maxLength: 4 }),
        (payload, payloadType, sigs) => {
          const keyid = (n: number): string => sha256HexOf(`${n}`).slice(0, 16);
          const envelope = {
            payloadType,
            payload,
            signatures: sigs.map((sig, n) => ({ keyid: keyid(n), sig })),
          };
          const bytes = encodeEnvelope(envelope);
          expect(equal(encodeEnvelope(decodeEnvelope(bytes, payloadType)), bytes)).toBe(true);
        },
      ),
    );
  });

  test("the key id is of the bytes of the key", () => {
    const digest = sha256HexOf(Buffer.from(toBase64Url(specKey), "base64url"));
    expect(keyIdOf(specKey)).toBe(digest.slice(0, 16));
  });
});

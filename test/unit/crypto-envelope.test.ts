/** The sealed envelope: both ends with each other and with the stock `hpke` package; every byte tampered with. */
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { envelopeInfo, joinRequest, RESPONSE_LABEL } from "../../src/crypto/envelope.ts";
import { sealEnvelope } from "../../src/crypto/hpke-sender.ts";
import { keyId } from "../../src/crypto/key-id.ts";
import { openEnvelope, type Recipient } from "../../src/crypto/node/hpke-recipient.ts";
import { envelopeHeader } from "../../src/wire/messages.ts";
import { codeOfAsync } from "../support/codes.ts";
import { flipped } from "../support/flipped.ts";
import { loadJson } from "../vectors/rfc.ts";
import { type SoftwareKey, softwareKey } from "../vectors/software-key.ts";

const stock = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
const golden = loadJson("golden-envelope.json") as Readonly<Record<string, string>>;
const goldenBytes = (name: string): Uint8Array => fromHex(golden[name] ?? "");

interface CountingRecipient extends Recipient {
  readonly calls: { count: number };
}

function recipientOf(key: SoftwareKey): CountingRecipient {
  const calls = { count: 0 };
  return {
    calls,
    kid: keyId(key.publicKey),
    publicKey: key.publicKey,
    ecdh: async (point) => {
      calls.count++;
      return key.ecdh(point);
    },
  };
}

const fleet = "example";
const key = softwareKey();
const recipient = recipientOf(key);
const request = utf8("what is asked");
const answer = utf8("what is answered");
const sealed = () =>
  sealEnvelope({ fleet, kid: recipient.kid, publicKey: key.publicKey, plaintext: request });

describe("both ends", () => {
  test("a request opens, its answer opens, empty ones too", async () => {
    for (const plaintext of [request, new Uint8Array(0), new Uint8Array(30_000).fill(7)]) {
      const { body, openAnswer } = await sealEnvelope({
        fleet,
        kid: recipient.kid,
        publicKey: key.publicKey,
        plaintext,
      });
      const opened = await openEnvelope(body, { fleet, recipient });
      expect(opened.plaintext).toEqual(plaintext);
      expect(await openAnswer(opened.sealAnswer(plaintext))).toEqual(plaintext);
    }
  });

  test("an answer opens only in the envelope it answers", async () => {
    const [one, two] = [await sealed(), await sealed()];
    const opened = await openEnvelope(one.body, { fleet, recipient });
    const body = opened.sealAnswer(answer);
    expect(await codeOfAsync(two.openAnswer(body))).toBe("decrypt-failed");
    expect(await one.openAnswer(body)).toEqual(answer);
    // Its key is gone with the answer.
    expect(() => opened.sealAnswer(answer)).toThrow(expect.objectContaining({ code: "internal" }));
  });

  test("a Buffer is as good as a Uint8Array, and is not written to", async () => {
    const { body } = await sealed();
    const buffer = Buffer.from(body);
    await openEnvelope(buffer, { fleet, recipient });
    expect(Uint8Array.from(buffer)).toEqual(body);
  });
});

describe("the stock hpke package", () => {
  test("opens what the sender seals", async () => {
    const pair = await stock.GenerateKeyPair();
    const publicKey = await stock.SerializePublicKey(pair.publicKey);
    const kid = keyId(publicKey);
    const { body } = await sealEnvelope({ fleet, kid, publicKey, plaintext: request });
    const context = await stock.SetupRecipient(pair, body.slice(9, 74), { info: envelopeInfo(fleet) });
    expect(await context.Open(body.slice(74), envelopeHeader(kid))).toEqual(request);
  });

  test("seals what the recipient opens, and both export the same secret", async () => {
    const publicKey = await stock.DeserializePublicKey(key.publicKey);
    for (let i = 0; i < 8; i++) {
      const { encapsulatedSecret, ctx } = await stock.SetupSender(publicKey, { info: envelopeInfo(fleet) });
      const ciphertext = await ctx.Seal(request, envelopeHeader(recipient.kid));
      const opened = await openEnvelope(joinRequest(recipient.kid, encapsulatedSecret, ciphertext), {
        fleet,
        recipient,
      });
      expect(opened.plaintext).toEqual(request);
      const secret = await ctx.Export(RESPONSE_LABEL, 32);
      expect(await openByHand(encapsulatedSecret, secret, opened.sealAnswer(answer))).toEqual(answer);
    }
  });
});

/** RFC 9458 §4.4 once more, in WebCrypto's own words. */
async function openByHand(enc: Uint8Array, secret: Uint8Array, body: Uint8Array): Promise<Uint8Array> {
  const ikm = await crypto.subtle.importKey("raw", Uint8Array.from(secret), "HKDF", false, ["deriveBits"]);
  const salt = Uint8Array.from(concat(enc, body.subarray(1, 33)));
  const derive = (label: string, bits: number) =>
    crypto.subtle.deriveBits(
      { name: "HKDF", hash: "SHA-256", salt, info: new TextEncoder().encode(label) },
      ikm,
      bits,
    );
  const aes = await crypto.subtle.importKey("raw", await derive("key", 256), "AES-GCM", false, ["decrypt"]);
  const iv = await derive("nonce", 96);
  return new Uint8Array(
    await crypto.subtle.decrypt({ name: "AES-GCM", iv }, aes, Uint8Array.from(body.subarray(33))),
  );
}

describe("golden envelope", () => {
  const goldenKey = softwareKey(goldenBytes("privateKey"));

  test("the key, its id and the request", async () => {
    expect(toHex(goldenKey.publicKey)).toBe(golden.publicKey);
    expect(toHex(keyId(goldenKey.publicKey))).toBe(golden.kid);
    const opened = await openEnvelope(goldenBytes("requestBody"), {
      fleet: golden.fleet ?? "",
      recipient: recipientOf(goldenKey),
    });
    expect(opened.plaintext).toEqual(goldenBytes("request"));
    // A fresh answer opens under the frozen exported secret, as the frozen one does.
    const enc = goldenBytes("requestBody").subarray(9, 74);
    for (const body of [opened.sealAnswer(goldenBytes("answer")), goldenBytes("answerBody")])
      expect(await openByHand(enc, goldenBytes("responseSecret"), body)).toEqual(goldenBytes("answer"));
  });
});

describe("what is refused", () => {
  test("any flipped byte of a request, with the right code, and without a token call where none is needed", async () => {
    const { body } = await sealed();
    const before = recipient.calls.count;
    for (let at = 0; at < body.length; at++) {
      const expected =
        at === 0 ? "decode-failed" : at < 9 ? "unknown-key" : at < 74 ? "point-invalid" : "decrypt-failed";
      expect(await codeOfAsync(openEnvelope(flipped(body, at), { fleet, recipient })), `byte ${at}`).toBe(
        expected,
      );
    }
    // Only a flipped ciphertext gets as far as the token.
    expect(recipient.calls.count - before).toBe(body.length - 74);
  });

  test("another valid encapsulated key, another fleet, another recipient", async () => {
    const { body } = await sealed();
    const other = softwareKey();
    const moved = concat(body.subarray(0, 9), other.publicKey, body.subarray(74));
    expect(await codeOfAsync(openEnvelope(moved, { fleet, recipient }))).toBe("decrypt-failed");
    expect(await codeOfAsync(openEnvelope(body, { fleet: "other", recipient }))).toBe("decrypt-failed");
    expect(await codeOfAsync(openEnvelope(body, { fleet, recipient: recipientOf(other) }))).toBe(
      "unknown-key",
    );
    const impostor = { ...recipientOf(other), kid: recipient.kid };
    expect(await codeOfAsync(openEnvelope(body, { fleet, recipient: impostor }))).toBe("decrypt-failed");
  });

  test("every truncation of a request and of an answer", async () => {
    const { body, openAnswer } = await sealed();
    const answered = (await openEnvelope(body, { fleet, recipient })).sealAnswer(answer);
    for (let length = 0; length < body.length; length++) {
      const expected = length < 90 ? "decode-failed" : "decrypt-failed";
      expect(await codeOfAsync(openEnvelope(body.subarray(0, length), { fleet, recipient }))).toBe(expected);
    }
    for (let length = 0; length < answered.length; length++)
      expect(await codeOfAsync(openAnswer(answered.subarray(0, length)))).toBe(
        length < 49 ? "decode-failed" : "decrypt-failed",
      );
    expect(await codeOfAsync(openEnvelope(concat(body, Uint8Array.of(0)), { fleet, recipient }))).toBe(
      "decrypt-failed",
    );
    expect(await codeOfAsync(openAnswer(concat(answered, Uint8Array.of(0))))).toBe("decrypt-failed");
    for (let at = 0; at < answered.length; at++)
      expect(await codeOfAsync(openAnswer(flipped(answered, at)))).toBe(
        at === 0 ? "decode-failed" : "decrypt-failed",
      );
  });

  test("a sender's bad session key", async () => {
    for (const publicKey of [new Uint8Array(65), flipped(key.publicKey, 64), key.publicKey.subarray(1)])
      expect(
        await codeOfAsync(sealEnvelope({ fleet, kid: recipient.kid, publicKey, plaintext: request })),
      ).toBe("point-invalid");
  });

  test("the token's own errors stay what they are", async () => {
    const { body } = await sealed();
    const absent = new StrongroomError("token-absent", "gone");
    const failing = { ...recipient, ecdh: () => Promise.reject(absent) };
    await expect(openEnvelope(body, { fleet, recipient: failing })).rejects.toBe(absent);
  });
});

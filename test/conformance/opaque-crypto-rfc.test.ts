/** RFC 9497 and RFC 9807, P256-SHA256, byte for byte; the token's part is OpenSSL's ECDH, x-coordinates only. */
import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { deriveDiffieHellmanKeyPair, parseKe1, verifyKe3 } from "../../src/crypto/node/opaque-server.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import {
  blind,
  deriveKey,
  fakeVectors,
  finalize,
  oprfKey,
  type Rfc9807Vector,
  realVectors,
  reproduceLogin,
  reproduceRegistration,
  rfc9497,
  value,
} from "../vectors/rfc.ts";
import { type SoftwareKey, softwareKey } from "../vectors/software-key.ts";

describe("RFC 9497 A.3.1", () => {
  test("the key derivation of the test code gives skSm", () => {
    expect(toHex(deriveKey(fromHex(rfc9497.seed), fromHex(rfc9497.keyInfo)))).toBe(rfc9497.skSm);
  });

  test.each(rfc9497.vectors)("input $Input", (vector) => {
    const key = softwareKey(fromHex(rfc9497.skSm));
    const blinded = blind(fromHex(vector.Input), fromHex(vector.Blind));
    expect(toHex(blinded)).toBe(vector.BlindedElement);
    const evaluated = compressPoint(key.multiply(decompressPoint(blinded)));
    expect(toHex(evaluated)).toBe(vector.EvaluationElement);
    expect(toHex(finalize(fromHex(vector.Input), fromHex(vector.Blind), evaluated))).toBe(vector.Output);
  });
});

function serverKeys({ inputs }: Rfc9807Vector): { oprf: SoftwareKey; ake: SoftwareKey } {
  return {
    oprf: softwareKey(oprfKey(value(inputs, "oprf_seed"), value(inputs, "credential_identifier"))),
    ake: softwareKey(value(inputs, "server_private_key")),
  };
}

test("there are two real vectors and a fake one", () => {
  expect([realVectors.length, fakeVectors.length]).toEqual([2, 1]);
});

describe.each(realVectors)("RFC 9807 real vector", (vector) => {
  const { inputs, intermediates, outputs } = vector;
  const { oprf, ake } = serverKeys(vector);

  test("the OPRF key and the server's public key", () => {
    expect(oprf.privateKey).toEqual(value(intermediates, "oprf_key"));
    expect(compressPoint(ake.publicKey)).toEqual(value(inputs, "server_public_key"));
  });

  test("registration response", async () => {
    expect(toHex(await reproduceRegistration(vector, oprf, ake))).toBe(outputs.registration_response);
  });

  test("KE2, KE3 and the session key", async () => {
    expect(parseKe1(value(outputs, "KE1")).clientNonce).toEqual(value(inputs, "client_nonce"));
    const login = await reproduceLogin(vector, oprf, ake);
    expect(toHex(login.ke2)).toBe(outputs.KE2);
    expect(toHex(login.expectedClientMac)).toBe(outputs.KE3);
    expect(toHex(login.sessionKey)).toBe(outputs.session_key);
    expect(verifyKe3(value(outputs, "KE3"), login.expectedClientMac)).toBe(true);
  });

  test("the client's key share comes from its seed as the server's does", () => {
    const { publicKey } = deriveDiffieHellmanKeyPair(value(inputs, "client_keyshare_seed"));
    expect(toHex(publicKey)).toBe(outputs.KE1?.slice(-66));
  });
});

test.each(fakeVectors)("RFC 9807 fake vector: KE2 for a client that does not exist", async (vector) => {
  const { oprf, ake } = serverKeys(vector);
  expect(toHex((await reproduceLogin(vector, oprf, ake)).ke2)).toBe(vector.outputs.KE2);
});

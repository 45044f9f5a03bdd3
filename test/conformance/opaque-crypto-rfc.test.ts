/** RFC 9497 and RFC 9807, P256-SHA256, byte for byte; the token's part is OpenSSL's ECDH, x-coordinates only. */
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex } from "../../src/base/bytes.ts";
import {
  deriveDiffieHellmanKeyPair,
  parseKe1,
  startLogin,
  verifyKe3,
} from "../../src/crypto/node/opaque-server.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import {
  blind,
  deriveKey,
  fakeVectors,
  finalize,
  oprfKey,
  realVectors,
  rfc9497,
  value,
} from "../vectors/rfc.ts";
import { softwareKey } from "../vectors/software-key.ts";

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

test("there are two real vectors and a fake one", () => {
  expect([realVectors.length, fakeVectors.length]).toEqual([2, 1]);
});

describe.each(realVectors)("RFC 9807 real vector", ({ config, inputs, intermediates, outputs }) => {
  const oprf = softwareKey(oprfKey(value(inputs, "oprf_seed"), value(inputs, "credential_identifier")));
  const ake = softwareKey(value(inputs, "server_private_key"));

  test("the OPRF key and the server's public key", () => {
    expect(oprf.privateKey).toEqual(value(intermediates, "oprf_key"));
    expect(compressPoint(ake.publicKey)).toEqual(value(inputs, "server_public_key"));
  });

  test("registration response", () => {
    const request = decompressPoint(value(outputs, "registration_request"));
    const response = concat(compressPoint(oprf.multiply(request)), compressPoint(ake.publicKey));
    expect(toHex(response)).toBe(outputs.registration_response);
  });

  test("KE2, KE3 and the session key", () => {
    const ke1 = value(outputs, "KE1");
    const { blindedElement, clientKeyshare, clientNonce } = parseKe1(ke1);
    expect(clientNonce).toEqual(value(inputs, "client_nonce"));
    const login = startLogin({
      ke1,
      registrationRecord: value(outputs, "registration_upload"),
      evaluatedElement: oprf.multiply(blindedElement),
      serverPublicKey: ake.publicKey,
      staticDh: ake.multiply(clientKeyshare),
      clientIdentity: value(
        { client_identity: intermediates.client_public_key ?? "", ...inputs },
        "client_identity",
      ),
      serverIdentity: value(
        { server_identity: inputs.server_public_key ?? "", ...inputs },
        "server_identity",
      ),
      context: fromHex(config.Context),
      randomness: {
        maskingNonce: value(inputs, "masking_nonce"),
        serverNonce: value(inputs, "server_nonce"),
        keyshareSeed: value(inputs, "server_keyshare_seed"),
      },
    });
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

describe.each(fakeVectors)("RFC 9807 fake vector", ({ config, inputs, outputs }) => {
  test("KE2 for a client that does not exist", () => {
    const oprf = softwareKey(oprfKey(value(inputs, "oprf_seed"), value(inputs, "credential_identifier")));
    const ake = softwareKey(value(inputs, "server_private_key"));
    const ke1 = value(inputs, "KE1");
    const { blindedElement, clientKeyshare } = parseKe1(ke1);
    const login = startLogin({
      ke1,
      registrationRecord: concat(
        value(inputs, "client_public_key"),
        value(inputs, "masking_key"),
        new Uint8Array(64),
      ),
      evaluatedElement: oprf.multiply(blindedElement),
      serverPublicKey: ake.publicKey,
      staticDh: ake.multiply(clientKeyshare),
      clientIdentity: value(inputs, "client_identity"),
      serverIdentity: value(inputs, "server_identity"),
      context: fromHex(config.Context),
      randomness: {
        maskingNonce: value(inputs, "masking_nonce"),
        serverNonce: value(inputs, "server_nonce"),
        keyshareSeed: value(inputs, "server_keyshare_seed"),
      },
    });
    expect(toHex(login.ke2)).toBe(outputs.KE2);
  });
});

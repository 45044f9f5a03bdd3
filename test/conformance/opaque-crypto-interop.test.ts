/** The stock client @serenity-kit/opaque-p256 against opaque-server.ts, and every field of every message tampered with. */
import { client, ready } from "@serenity-kit/opaque-p256";
import { beforeAll, describe, expect, test } from "vitest";
import { concat, equal, fromBase64Url, toBase64Url, toHex } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { type LoginStarted, parseKe1, startLogin, verifyKe3 } from "../../src/crypto/node/opaque-server.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import { softwareKey } from "../vectors/software-key.ts";

const identifiers = { client: "app/user-1", server: "example" };
// Argon2id as cheap as it goes: key stretching is the client's affair.
const keyStretching = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } };
const password = "correct horse battery staple";
const oprf = softwareKey();
const ake = softwareKey();

function register(key = oprf): { record: Uint8Array; exportKey: string } {
  const { clientRegistrationState, registrationRequest } = client.startRegistration({ password });
  const evaluated = key.multiply(decompressPoint(fromBase64Url(registrationRequest)));
  const { registrationRecord, exportKey, serverStaticPublicKey } = client.finishRegistration({
    clientRegistrationState,
    password,
    identifiers,
    keyStretching,
    registrationResponse: toBase64Url(concat(compressPoint(evaluated), compressPoint(ake.publicKey))),
  });
  expect(fromBase64Url(serverStaticPublicKey)).toEqual(compressPoint(ake.publicKey));
  return { record: fromBase64Url(registrationRecord), exportKey };
}

interface Side {
  readonly clientIdentity?: string;
  readonly serverIdentity?: string;
  readonly context?: Uint8Array;
}

function answer(ke1: Uint8Array, record: Uint8Array, side: Side = {}): LoginStarted {
  const { blindedElement, clientKeyshare } = parseKe1(ke1);
  return startLogin({
    ke1: parseKe1(ke1),
    registrationRecord: record,
    evaluatedElement: oprf.multiply(blindedElement),
    serverPublicKey: ake.publicKey,
    staticDh: ake.multiply(clientKeyshare),
    clientIdentity: identifiers.client,
    serverIdentity: identifiers.server,
    ...side,
  });
}

function start(code = password): { state: string; ke1: Uint8Array } {
  const { clientLoginState, startLoginRequest } = client.startLogin({ password: code });
  return { state: clientLoginState, ke1: fromBase64Url(startLoginRequest) };
}

/** What the client makes of KE2: its result, or undefined where it refuses in whatever way. */
function finish(state: string, ke2: Uint8Array, code = password) {
  try {
    return client.finishLogin({
      clientLoginState: state,
      loginResponse: toBase64Url(ke2),
      password: code,
      identifiers,
      keyStretching,
    });
  } catch {
    return undefined;
  }
}

function flip(bytes: Uint8Array, at: number, bit = 1): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[at] = (out[at] ?? 0) ^ bit;
  return out;
}

beforeAll(() => ready);

describe("the stock client", () => {
  test("registers, logs in many times, and both sides agree on the session key", () => {
    const { record, exportKey } = register();
    const keys = new Set<string>();
    for (let i = 0; i < 16; i++) {
      const { state, ke1 } = start();
      const login = answer(ke1, record);
      const done = finish(state, login.ke2);
      expect(done?.exportKey).toBe(exportKey);
      expect(done && fromBase64Url(done.sessionKey)).toEqual(login.sessionKey);
      expect(verifyKe3(fromBase64Url(done?.finishLoginRequest ?? ""), login.expectedClientMac)).toBe(true);
      keys.add(toHex(login.sessionKey));
    }
    expect(keys.size).toBe(16);
  });

  test("refuses a KE2 for another password, identity, context, record, server key or KE1", () => {
    const { record } = register();
    const other = register(softwareKey()).record;
    const attempts: Record<string, (ke1: Uint8Array) => LoginStarted> = {
      "client identity": (ke1) => answer(ke1, record, { clientIdentity: "app/user-2" }),
      "server identity": (ke1) => answer(ke1, record, { serverIdentity: "other" }),
      context: (ke1) => answer(ke1, record, { context: Uint8Array.of(1) }),
      "record of another OPRF key": (ke1) => answer(ke1, other),
      "older KE1": () => answer(start().ke1, record),
      "server key": (ke1) => {
        const { blindedElement, clientKeyshare } = parseKe1(ke1);
        const thief = softwareKey();
        return startLogin({
          ke1: parseKe1(ke1),
          registrationRecord: record,
          evaluatedElement: oprf.multiply(blindedElement),
          serverPublicKey: ake.publicKey,
          staticDh: thief.multiply(clientKeyshare),
          clientIdentity: identifiers.client,
          serverIdentity: identifiers.server,
        });
      },
    };
    for (const [name, attempt] of Object.entries(attempts)) {
      const { state, ke1 } = start();
      expect(finish(state, attempt(ke1).ke2), name).toBeUndefined();
    }
    const { state, ke1 } = start("a wrong password");
    expect(finish(state, answer(ke1, record).ke2, "a wrong password")).toBeUndefined();
  });
});

describe("tampering", () => {
  // Offsets of each field, and one byte inside it.
  const ke2Fields = {
    evaluated: 5,
    maskingNonce: 40,
    maskedKey: 70,
    maskedEnvelope: 120,
    serverNonce: 170,
    keyshare: 200,
    mac: 240,
  };
  test.each(Object.entries(ke2Fields))("KE2, %s: the client refuses it", (_, at) => {
    const { record } = register();
    const { state, ke1 } = start();
    const { ke2 } = answer(ke1, record);
    expect(ke2.length).toBe(259);
    expect(finish(state, ke2)).toBeDefined();
    expect(finish(state, flip(ke2, at))).toBeUndefined();
  });

  test("KE1: refused as malformed, or answered with a KE2 and MAC that the client does not share", () => {
    const { record } = register();
    const { state, ke1 } = start();
    const honest = new Set<string>();
    let refused = 0;
    for (let at = 0; at < ke1.length; at++) {
      try {
        const login = answer(flip(ke1, at), record);
        expect(finish(state, login.ke2)).toBeUndefined();
        honest.add(toHex(login.sessionKey));
      } catch (error) {
        expect(isStrongroomError(error, "point-invalid")).toBe(true);
        refused++;
      }
    }
    // A flipped nonce is never malformed; about half of all flipped points are off the curve.
    expect(honest.size + refused).toBe(ke1.length);
    expect(honest.size).toBeGreaterThan(32);
    expect(refused).toBeGreaterThan(5);
  });

  test("KE1 and records of another length, or with a bad point, are refused", () => {
    const { record } = register();
    const { ke1 } = start();
    const login = (ke1Bytes: Uint8Array, recordBytes: Uint8Array) => () => {
      const good = parseKe1(ke1);
      return startLogin({
        ke1: parseKe1(ke1Bytes),
        registrationRecord: recordBytes,
        evaluatedElement: oprf.multiply(good.blindedElement),
        serverPublicKey: ake.publicKey,
        staticDh: ake.multiply(good.clientKeyshare),
        clientIdentity: identifiers.client,
        serverIdentity: identifiers.server,
      });
    };
    const decodeFailed = expect.objectContaining({ code: "decode-failed" });
    const pointInvalid = expect.objectContaining({ code: "point-invalid" });
    const longer = (bytes: Uint8Array) => concat(bytes, Uint8Array.of(0));
    for (const bytes of [ke1.subarray(1), longer(ke1), new Uint8Array(0)]) {
      expect(login(bytes, record)).toThrow(decodeFailed);
      expect(() => parseKe1(bytes)).toThrow(decodeFailed);
    }
    for (const bytes of [record.subarray(1), longer(record), new Uint8Array(0)])
      expect(login(ke1, bytes)).toThrow(decodeFailed);
    for (const prefix of [0x00, 0x01, 0x04, 0x05, 0x06, 0x07, 0xff]) {
      const at = (bytes: Uint8Array, offset: number) => {
        const out = Uint8Array.from(bytes);
        out[offset] = prefix;
        return out;
      };
      expect(login(at(ke1, 65), record)).toThrow(pointInvalid);
      expect(login(ke1, at(record, 0))).toThrow(pointInvalid);
      expect(() => parseKe1(at(ke1, 0))).toThrow(pointInvalid);
      expect(() => parseKe1(at(ke1, 65))).toThrow(pointInvalid);
    }
  });

  const recordFields = { clientPublicKeySign: 0, maskingKey: 40, envelopeNonce: 70, authTag: 110 };
  test.each(Object.entries(recordFields))("record, %s: the login fails", (_, at) => {
    const { record } = register();
    const { state, ke1 } = start();
    const login = answer(ke1, flip(record, at));
    expect(finish(state, login.ke2)).toBeUndefined();
  });

  test("KE3: nothing but the expected MAC passes", () => {
    const { record } = register();
    const { state, ke1 } = start();
    const login = answer(ke1, record);
    const ke3 = fromBase64Url(finish(state, login.ke2)?.finishLoginRequest ?? "");
    expect(verifyKe3(ke3, login.expectedClientMac)).toBe(true);
    for (let bit = 0; bit < 256; bit++)
      expect(verifyKe3(flip(ke3, bit >> 3, 1 << (bit & 7)), login.expectedClientMac)).toBe(false);
    for (const bytes of [new Uint8Array(0), ke3.subarray(1), concat(ke3, ke3), new Uint8Array(32)])
      expect(verifyKe3(bytes, login.expectedClientMac)).toBe(false);
    expect(verifyKe3(new Uint8Array(0), new Uint8Array(0))).toBe(false);
  });
});

test("a login leaves its inputs as they were, Buffers included, and draws everything anew", () => {
  const { record } = register();
  const { ke1 } = start();
  const good = parseKe1(ke1);
  const inputs = [
    ke1,
    record,
    oprf.multiply(good.blindedElement),
    ake.publicKey,
    ake.multiply(good.clientKeyshare),
  ];
  const buffers = inputs.map((bytes) => Buffer.from(bytes));
  const [a, b, c, d, e] = buffers;
  if (!a || !b || !c || !d || !e) throw new Error("five inputs");
  const run = () =>
    startLogin({
      ke1: parseKe1(a),
      registrationRecord: b,
      evaluatedElement: c,
      serverPublicKey: d,
      staticDh: e,
      clientIdentity: "c",
      serverIdentity: "s",
    });
  const first = run();
  const second = run();
  expect(buffers.every((buffer, i) => equal(buffer, inputs[i] ?? new Uint8Array(0)))).toBe(true);
  // Same evaluated element, then a fresh masking nonce; and fresh server nonce and key share.
  expect(second.ke2.subarray(0, 33)).toEqual(first.ke2.subarray(0, 33));
  for (const [from, to] of [
    [33, 65],
    [162, 194],
    [194, 227],
    [227, 259],
  ] as const)
    expect(second.ke2.subarray(from, to)).not.toEqual(first.ke2.subarray(from, to));
});

/**
 * RFC 9497 and RFC 9807 byte for byte with the server's private keys inside SoftHSM, twice: as token keys that
 * derive (`ecdh`), and the OPRF keys as wrapped shares too (`evaluate-share`), which is how the vault keeps
 * them. The keys are imported, because vectors prescribe them; the product never imports a key.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import { derivationPoints, recoverProduct } from "../../src/crypto/node/point-recovery.ts";
import { KEY_TYPE, OBJECT_CLASS } from "../../src/token/attributes.ts";
import { P256_PARAMS } from "../../src/token/cryptoki.ts";
import { chooseKeyWrap, wrapMechanism } from "../../src/token/key-wrap.ts";
import { openSession } from "../../src/token/open.ts";
import { startTokenPool, type TokenPool } from "../../src/token/pool.ts";
import type { TokenKey, TokenSession } from "../../src/token/session.ts";
import type { WrappedShare } from "../../src/token/token.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { importEcKey, publicPoint } from "../support/token-keys.ts";
import {
  blind,
  fakeVectors,
  finalize,
  oprfKey,
  realVectors,
  reproduceLogin,
  reproduceRegistration,
  rfc9497,
  type ServerKey,
  value,
} from "../vectors/rfc.ts";

const [real] = realVectors;
const [fake] = fakeVectors;
if (!real || !fake) throw new Error("the vectors are missing");

/** Every private key of the vectors, by the name it gets in the token. */
const SCALARS: Readonly<Record<string, Uint8Array>> = {
  "oprf-9497": fromHex(rfc9497.skSm),
  "oprf-real": value(real.intermediates, "oprf_key"),
  "ake-real": value(real.inputs, "server_private_key"),
  "oprf-fake": oprfKey(value(fake.inputs, "oprf_seed"), value(fake.inputs, "credential_identifier")),
  "ake-fake": value(fake.inputs, "server_private_key"),
};
const KEK = "share-kek.0";
const spec = (name: string, role: string): TokenKey => ({ name, role, label: `strongroom/vectors/${name}` });
const KEYS = [spec(KEK, "share-kek"), ...Object.keys(SCALARS).map((name) => spec(name, "ake"))];
const SEALED = { PRIVATE: true, SENSITIVE: true } as const;

let hsm: SoftHsm;
let pool: TokenPool;
const shares = new Map<string, WrappedShare>();

function importKeys(session: TokenSession): void {
  const kek = session.generateKey(
    { mechanism: session.traits.mechanisms.aesKeygen },
    {
      CLASS: OBJECT_CLASS["secret key"],
      KEY_TYPE: KEY_TYPE.AES,
      LABEL: `strongroom/vectors/${KEK}`,
      VALUE_LEN: 32,
      TOKEN: true,
      EXTRACTABLE: false,
      WRAP: true,
      UNWRAP: true,
      ...SEALED,
    },
  );
  const keyWrap = chooseKeyWrap(session);
  for (const [name, scalar] of Object.entries(SCALARS)) {
    importEcKey(session, `strongroom/vectors/${name}`, scalar, { DERIVE: true });
    const passing = session.createObject({
      CLASS: OBJECT_CLASS["private key"],
      KEY_TYPE: KEY_TYPE.EC,
      EC_PARAMS: P256_PARAMS,
      VALUE: scalar,
      TOKEN: false,
      EXTRACTABLE: true,
      DERIVE: true,
      ...SEALED,
    });
    const wrapped = session.wrap(wrapMechanism(keyWrap), kek, passing);
    session.destroy(passing);
    shares.set(name, { mechanism: keyWrap.mechanism, wrapped });
  }
}

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2", keys: KEYS });
  importKeys(session);
  session.close();
  pool = startTokenPool({ uri: hsm.uri, profile: "softhsm2", keys: KEYS, workers: 1, env: hsm.env });
  await pool.whenReady(20_000);
});
afterAll(async () => {
  await pool.close();
  hsm.remove();
});

type Way = "ecdh" | "evaluate-share";

/** The named key as the vault would use it: two derivations in the token, then the point. */
function tokenKey(name: string, way: Way): ServerKey {
  const publicKey = publicPoint(SCALARS[name] ?? new Uint8Array(0));
  return {
    publicKey,
    multiply: async (point) => {
      const points = derivationPoints(point);
      const share = shares.get(name);
      if (!share) throw new Error(`no share ${name}`);
      const [xs] =
        way === "ecdh"
          ? await pool.run([{ op: "ecdh", key: name, points }])
          : await pool.run([{ op: "evaluate-share", kek: KEK, share, points }]);
      return recoverProduct(point, publicKey, xs);
    },
  };
}

describe.each<Way>(["ecdh", "evaluate-share"])("with the OPRF key used by %s", (way) => {
  test.each(rfc9497.vectors)("RFC 9497 A.3.1, input $Input", async (vector) => {
    const input = fromHex(vector.Input);
    const blinded = blind(input, fromHex(vector.Blind));
    expect(toHex(blinded)).toBe(vector.BlindedElement);
    const evaluated = compressPoint(await tokenKey("oprf-9497", way).multiply(decompressPoint(blinded)));
    expect(toHex(evaluated)).toBe(vector.EvaluationElement);
    expect(toHex(finalize(input, fromHex(vector.Blind), evaluated))).toBe(vector.Output);
  });

  test.each(realVectors)("RFC 9807 real vector", async (vector) => {
    // Both real vectors have the same keys.
    expect(value(vector.intermediates, "oprf_key")).toEqual(SCALARS["oprf-real"]);
    expect(value(vector.inputs, "server_private_key")).toEqual(SCALARS["ake-real"]);
    const oprf = tokenKey("oprf-real", way);
    const ake = tokenKey("ake-real", "ecdh");
    const { outputs } = vector;
    expect(toHex(await reproduceRegistration(vector, oprf, ake))).toBe(outputs.registration_response);
    const login = await reproduceLogin(vector, oprf, ake);
    expect(toHex(login.ke2)).toBe(outputs.KE2);
    expect(toHex(login.expectedClientMac)).toBe(outputs.KE3);
    expect(toHex(login.sessionKey)).toBe(outputs.session_key);
  });

  test.each(fakeVectors)("RFC 9807 fake vector", async (vector) => {
    const login = await reproduceLogin(vector, tokenKey("oprf-fake", way), tokenKey("ake-fake", "ecdh"));
    expect(toHex(login.ke2)).toBe(vector.outputs.KE2);
  });
});

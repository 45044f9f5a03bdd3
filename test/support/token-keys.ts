/**
 * Keys for driver tests: imported with C_CreateObject where a test must know the private key, so that software
 * can say what the token should have answered. Only tests import keys.
 */
import { createECDH } from "node:crypto";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "../../src/token/attributes.ts";
import { P256_PARAMS } from "../../src/token/cryptoki.ts";
import type { ObjectHandle, TokenKey, TokenSession } from "../../src/token/session.ts";

const SEALED: Template = { TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false };

/** An EC key with a known scalar (32 bytes). */
export function importEcKey(
  session: TokenSession,
  label: string,
  scalar: Uint8Array,
  usage: Template,
): ObjectHandle {
  return session.createObject({
    CLASS: OBJECT_CLASS["private key"],
    KEY_TYPE: KEY_TYPE.EC,
    LABEL: label,
    EC_PARAMS: P256_PARAMS,
    VALUE: scalar,
    ...SEALED,
    ...usage,
  });
}

/** A generic secret with a known value. */
function importSecret(session: TokenSession, label: string, value: Uint8Array): ObjectHandle {
  return session.createObject({
    CLASS: OBJECT_CLASS["secret key"],
    KEY_TYPE: KEY_TYPE["generic secret"],
    LABEL: label,
    VALUE: value,
    SIGN: true,
    ...SEALED,
  });
}

/** What a driver test runs on: keys whose values the test knows, and a key-encryption key that nobody does. */
export interface KnownKeys {
  /** Scalar of `ake` and of `identity`. */
  readonly scalar: Uint8Array;
  /** Value of `record`. */
  readonly secret: Uint8Array;
}

export const DRIVER_KEYS: readonly TokenKey[] = [
  { name: "ake", role: "ake", label: "driver/ake" },
  { name: "identity", role: "identity", label: "driver/identity" },
  { name: "record", role: "record", label: "driver/record" },
  { name: "share-kek.0", role: "share-kek", label: "driver/share-kek.0" },
];

export function makeDriverKeys(session: TokenSession): KnownKeys {
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => 7 * i + 1);
  const secret = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
  importEcKey(session, "driver/ake", scalar, { DERIVE: true });
  importEcKey(session, "driver/identity", scalar, { SIGN: true });
  importSecret(session, "driver/record", secret);
  session.generateKey(
    { mechanism: session.traits.mechanisms.aesKeygen },
    {
      CLASS: OBJECT_CLASS["secret key"],
      KEY_TYPE: KEY_TYPE.AES,
      LABEL: "driver/share-kek.0",
      VALUE_LEN: 32,
      WRAP: true,
      UNWRAP: true,
      ...SEALED,
    },
  );
  return { scalar, secret };
}

/** The uncompressed point scalar · G. */
export function publicPoint(scalar: Uint8Array): Uint8Array {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(scalar);
  return Uint8Array.from(ecdh.getPublicKey());
}

/** x(scalar · point), 32 bytes, by OpenSSL. */
export function softwareX(scalar: Uint8Array, point: Uint8Array): Uint8Array {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(scalar);
  return Uint8Array.from(ecdh.computeSecret(point));
}

export function randomPoint(): Uint8Array {
  return Uint8Array.from(createECDH("prime256v1").generateKeys());
}

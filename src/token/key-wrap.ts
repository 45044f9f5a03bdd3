/**
 * Which mechanism wraps shares. The same number means different formats in different modules, so what the
 * profile says is tried on throw-away keys first: a 32-byte AES key is 40 bytes in RFC 5649 and 48 with
 * PKCS#7 padding under RFC 3394.
 */
import { StrongroomError } from "../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "./attributes.ts";
import { mechanismText } from "./cryptoki.ts";
import type { Mechanism } from "./module.ts";
import type { KeyWrap, WrapFormat } from "./profile.ts";
import type { ObjectHandle, TokenSession } from "./session.ts";

/** Bytes of a wrapped 32-byte key; a vendor's own format has whatever length it has. */
const WRAPPED_BYTES: Readonly<Record<WrapFormat, number | undefined>> = {
  rfc5649: 40,
  "pkcs7-rfc3394": 48,
  vendor: undefined,
};

const AES: Template = {
  CLASS: OBJECT_CLASS["secret key"],
  KEY_TYPE: KEY_TYPE.AES,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
};

/** The mechanism as the binding takes it. */
export function wrapMechanism(keyWrap: KeyWrap): Mechanism {
  return keyWrap.parameter === undefined
    ? { mechanism: keyWrap.mechanism }
    : { mechanism: keyWrap.mechanism, parameter: Buffer.from(keyWrap.parameter, "hex") };
}

/**
 * Wraps and unwraps a throw-away key.
 * @returns undefined if the mechanism does what the profile says, else what is wrong
 */
function tryKeyWrap(session: TokenSession, keyWrap: KeyWrap): string | undefined {
  const made: ObjectHandle[] = [];
  const mechanism = wrapMechanism(keyWrap);
  try {
    const generate = (extra: Template): ObjectHandle => {
      const key = session.generateKey(
        { mechanism: session.traits.mechanisms.aesKeygen },
        { ...AES, VALUE_LEN: 32, ...extra },
      );
      made.push(key);
      return key;
    };
    const kek = generate({ EXTRACTABLE: false, WRAP: true, UNWRAP: true });
    const key = generate({ EXTRACTABLE: true, ENCRYPT: true });
    const wrapped = session.wrap(mechanism, kek, key);
    const expected = WRAPPED_BYTES[keyWrap.format];
    if (expected !== undefined && wrapped.length !== expected)
      return `a wrapped 32-byte key has ${wrapped.length} bytes, ${keyWrap.format} gives ${expected}`;
    made.push(session.unwrap(mechanism, kek, wrapped, { ...AES, EXTRACTABLE: false, ENCRYPT: true }));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    session.discard(...made);
  }
}

/** The first of the profile's mechanisms that passes. @throws token-unsuitable */
export function chooseKeyWrap(session: TokenSession): KeyWrap {
  const problems: string[] = [];
  for (const keyWrap of session.traits.keyWrap) {
    const problem = tryKeyWrap(session, keyWrap);
    if (problem === undefined) return keyWrap;
    problems.push(`${mechanismText(keyWrap.mechanism)}: ${problem}`);
  }
  // The reason may be that the token has just gone; that is not its fault.
  session.requirePresent();
  throw new StrongroomError(
    "token-unsuitable",
    `the token wraps keys by none of the profile's mechanisms (${problems.join("; ") || "it lists none"})`,
    { hint: "`strongroom token doctor` shows what the token can do" },
  );
}

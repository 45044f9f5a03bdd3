/**
 * The end of a distribution: the originals are destroyed when every holder has proved that it has the key, and what
 * is left is tried. A holder's own key was unextractable from its arrival; with the originals go the last objects
 * that could leave a token.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS } from "../token/attributes.ts";
import { chooseKeyWrap, wrapMechanism } from "../token/key-wrap.ts";
import type { Mechanism } from "../token/module.ts";
import type { Profile } from "../token/profile.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { originalOf } from "./fleet-keys.ts";
import { destroyLabelled, secretPart, theObject } from "./fleet-objects.ts";
import { proveKey, requireEqual } from "./key-equality.ts";
import { attributeSupport } from "./provision.ts";
import type { KeySpec } from "./roles.ts";

/** What the holders of a key said to one nonce. */
export interface HolderProofs {
  readonly nonce: Uint8Array;
  /** One for each holder, 32 bytes. */
  readonly proofs: readonly Uint8Array[];
}

/**
 * Destroys the original of a key. After this nobody can give the key to another token.
 *
 * @param holders how many sites and spares must have it
 * @throws key-drift, and nothing is destroyed, unless so many holders have answered as the original does;
 *   key-missing where the original is not there; token errors
 */
export function destroyOriginal(
  session: TokenSession,
  spec: KeySpec,
  holders: number,
  { nonce, proofs }: HolderProofs,
): void {
  const original = originalOf(spec);
  const object = theObject(session, secretPart(spec), original.label);
  if (proofs.length !== holders)
    throw new StrongroomError("key-drift", `${proofs.length} of ${holders} holders have shown ${spec.name}`, {
      hint: "the original stays until all have; bring the key to the others",
    });
  requireEqual(spec.name, [proveKey(session, spec, object, nonce), ...proofs]);
  destroyLabelled(session, [original.label]);
}

/** How the token refused each thing that a sealed key must not do: the CKR, or what else it answered. */
export interface Refusals {
  readonly key: KeyName;
  /** C_WrapKey under a new key of the user's. */
  readonly wrap: string;
  /** C_GetAttributeValue of CKA_VALUE. */
  readonly reveal: string;
  /** C_SetAttributeValue of EXTRACTABLE=true. */
  readonly reopen: string;
  /** C_SetAttributeValue of a use that the key does not have: DECRYPT=true. */
  readonly extend: string;
  /** C_CopyObject with EXTRACTABLE=true. */
  readonly copy: string;
}

/**
 * Tries on every key what must be refused. Nothing is changed on a token that keeps its promises.
 *
 * @throws token-unsuitable where the token does one of the things; key-missing, key-drift; token errors
 */
export function tryRefusals(
  session: TokenSession,
  profile: Profile,
  keys: readonly KeySpec[],
): readonly Refusals[] {
  const { modifiable, unwrapSeals } = attributeSupport(profile);
  const mechanism = wrapMechanism(chooseKeyWrap(session));
  const kek = session.generateKey(
    { mechanism: session.traits.mechanisms.aesKeygen },
    {
      CLASS: OBJECT_CLASS["secret key"],
      KEY_TYPE: KEY_TYPE.AES,
      VALUE_LEN: 32,
      TOKEN: false,
      PRIVATE: true,
      SENSITIVE: true,
      EXTRACTABLE: false,
      WRAP: true,
      UNWRAP: true,
    },
  );
  try {
    return keys.map((spec) => tryOne(session, spec, kek, mechanism, modifiable && unwrapSeals));
  } finally {
    session.discard(kek);
  }
}

function tryOne(
  session: TokenSession,
  spec: KeySpec,
  kek: ObjectHandle,
  mechanism: Mechanism,
  isFrozen: boolean,
): Refusals {
  const key = theObject(session, secretPart(spec), spec.label);
  const sealed = (): boolean => {
    const { sensitive, extractable } = session.secrecy(key);
    return sensitive && !extractable;
  };
  if (!sealed()) throw notKept(spec, "it is not sealed");
  const use = secretPart(spec) === "private key" ? "SIGN_RECOVER" : "DECRYPT";
  return {
    key: spec.name,
    wrap: refusal(spec, "it was wrapped", () => session.wrap(mechanism, kek, key)),
    reveal: refusal(spec, "its value was told", () => {
      const value = session.attribute(key, "VALUE");
      return value instanceof Uint8Array && value.length > 0 ? value.fill(0) : undefined;
    }),
    reopen: refusal(spec, "EXTRACTABLE was turned on again", () => {
      session.setAttributes(key, { EXTRACTABLE: true });
      return sealed() ? undefined : true;
    }),
    // Where a key had to stay modifiable to be sealed at all, trying would succeed and spoil it.
    extend: isFrozen
      ? refusal(spec, `${use} was granted`, () => {
          session.setAttributes(key, { [use]: true });
          return session.attribute(key, use) === true ? true : undefined;
        })
      : "not tried: the key is modifiable on this token",
    copy: refusal(spec, "an extractable copy was made", () => {
      const copy = session.copy(key, { TOKEN: false, EXTRACTABLE: true });
      try {
        return session.secrecy(copy).extractable ? true : undefined;
      } finally {
        session.discard(copy);
      }
    }),
  };
}

/** @param attempt gives undefined where the token said OK and did nothing of the kind */
function refusal(spec: KeySpec, done: string, attempt: () => unknown): string {
  try {
    if (attempt() === undefined) return "CKR_OK, without effect";
  } catch (error) {
    const ckr = isStrongroomError(error) ? error.details.ckr : undefined;
    if (typeof ckr === "string") return ckr;
    throw error;
  }
  throw notKept(spec, done);
}

function notKept(spec: KeySpec, done: string): StrongroomError {
  return new StrongroomError("token-unsuitable", `the token does not keep ${spec.label}: ${done}`, {
    hint: "do not use the fleet's keys: this token gives them away; `strongroom token doctor` shows the rest",
  });
}

/**
 * Do two tokens hold the same key? Each answers a fresh nonce with something that only the key makes, and the
 * answers are compared. Only a hash of an answer leaves this file: a bare one would be a ciphertext under
 * share-kek, or a Diffie-Hellman product of ake, that somebody might use for something else.
 *
 * - HMAC keys: the MAC of the nonce.
 * - share-kek, which may wrap and unwrap only: the wrapped value of a throw-away session key made from the nonce.
 *   Both key wraps (RFC 5649, PKCS#7 with RFC 3394) are deterministic.
 * - ake: x(ake·P) for a point P that the nonce names and whose logarithm nobody knows. With p·G = P known, the
 *   public key alone would do for an answer.
 */
import { equal, framed } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { decompressPoint } from "../crypto/node/p256.ts";
import { KEY_TYPE, OBJECT_CLASS } from "../token/attributes.ts";
import { chooseKeyWrap, wrapMechanism } from "../token/key-wrap.ts";
import { encodePoint } from "../token/points.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { type KeySpec, ROLES } from "./roles.ts";

export const EQUALITY_NONCE_BYTES = 32;

/** What one site says of one key. */
export interface EqualityProof {
  readonly key: KeyName;
  /** 32 bytes. */
  readonly proof: Uint8Array;
}

const CONTEXT = "strongroom/key-equality/v1";

/** The x-coordinates are tried in turn; half of them have a point. */
function pointFrom(seed: Uint8Array): Uint8Array {
  for (let counter = 0; counter < 256; counter++) {
    try {
      return decompressPoint(Uint8Array.of(2, ...sha256Of(framed(seed, Uint8Array.of(counter)))));
    } catch (error) {
      if (!isStrongroomError(error, "point-invalid")) throw error;
    }
  }
  throw new StrongroomError("internal", "no point for a nonce");
}

function wrappedValue(session: TokenSession, key: ObjectHandle, value: Uint8Array): Uint8Array {
  const throwAway = session.createObject({
    CLASS: OBJECT_CLASS["secret key"],
    KEY_TYPE: KEY_TYPE["generic secret"],
    TOKEN: false,
    PRIVATE: true,
    SENSITIVE: false,
    EXTRACTABLE: true,
    VALUE: value,
  });
  try {
    return session.wrap(wrapMechanism(chooseKeyWrap(session)), key, throwAway);
  } finally {
    session.discard(throwAway);
  }
}

/**
 * @param spec  whose key it is; the label of the object itself does not matter
 * @param nonce fresh, 32 bytes, the same for all sites
 * @returns 32 bytes
 * @throws invalid-request for a nonce of another length; token errors
 */
export function proveKey(
  session: TokenSession,
  spec: KeySpec,
  key: ObjectHandle,
  nonce: Uint8Array,
): Uint8Array {
  if (nonce.length !== EQUALITY_NONCE_BYTES)
    throw new StrongroomError("invalid-request", "the nonce of an equality proof has a wrong length");
  const question = framed(CONTEXT, spec.label, nonce);
  const { usage } = ROLES[spec.role];
  const answer = usage.includes("wrap")
    ? wrappedValue(session, key, sha256Of(question))
    : usage.includes("derive")
      ? session.derive(key, encodePoint(pointFrom(question), session.traits.pointSend))
      : session.sign(session.traits.mechanisms.hmac, key, question);
  return sha256Of(framed(CONTEXT, spec.label, nonce, answer));
}

/** @throws key-drift unless all say the same */
export function requireEqual(key: KeyName, proofs: readonly Uint8Array[]): void {
  const [first, ...others] = proofs;
  if (first && others.every((other) => equal(first, other))) return;
  throw new StrongroomError("key-drift", `the sites do not hold the same key ${key}`, {
    hint: "nothing was sealed; find out which site has another key, and how it came there",
    details: { key },
  });
}

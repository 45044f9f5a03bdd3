/** The public halves of keys, read from the token; those of P-256 are checked to be points of it. */
import { StrongroomError } from "../base/errors.ts";
import { checkPoint } from "../crypto/node/p256.ts";
import { OBJECT_CLASS } from "../token/attributes.ts";
import { decodeEcPoint, decodeEdwardsPoint } from "../token/points.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { type KeySpec, ROLES } from "./roles.ts";

/** The point of one public key object, 65 bytes. @throws token-failed, point-invalid */
export function readPublicPoint(session: TokenSession, object: ObjectHandle): Uint8Array {
  const value = session.attribute(object, "EC_POINT");
  if (!(value instanceof Uint8Array))
    throw new StrongroomError("token-failed", "the token does not tell CKA_EC_POINT of a public key");
  const point = decodeEcPoint(value);
  checkPoint(point);
  return point;
}

/** The key of one public key object of Ed25519, 32 bytes. @throws token-failed */
export function readEdwardsPoint(session: TokenSession, object: ObjectHandle): Uint8Array {
  const value = session.attribute(object, "EC_POINT");
  if (!(value instanceof Uint8Array))
    throw new StrongroomError("token-failed", "the token does not tell CKA_EC_POINT of a public key");
  return decodeEdwardsPoint(value);
}

/** A number without the zero bytes that some tokens write before it. */
function unsigned(value: unknown): Uint8Array | undefined {
  if (!(value instanceof Uint8Array)) return undefined;
  const start = value.findIndex((byte) => byte !== 0);
  return start < 0 ? undefined : value.slice(start);
}

/** CKA_MODULUS of either half of an RSA pair, big-endian without leading zeros; undefined where it is not told. */
export function readModulus(session: TokenSession, object: ObjectHandle): Uint8Array | undefined {
  return unsigned(session.attribute(object, "MODULUS"));
}

/** CKA_PUBLIC_EXPONENT of a public key, likewise. */
export function readExponent(session: TokenSession, object: ObjectHandle): Uint8Array | undefined {
  return unsigned(session.attribute(object, "PUBLIC_EXPONENT"));
}

/**
 * The public key of every key of P-256 (65 bytes) and of Ed25519 (32 bytes) among `keys`, by name.
 *
 * @throws key-missing where one is not there; key-drift where two carry its label; token-failed, point-invalid
 */
export function readPublicKeys(
  session: TokenSession,
  keys: readonly KeySpec[],
): ReadonlyMap<KeyName, Uint8Array> {
  const points = new Map<KeyName, Uint8Array>();
  for (const key of keys) {
    const { type } = ROLES[key.role];
    if (type !== "ec-p256" && type !== "ed25519") continue;
    const found = session.find({ CLASS: OBJECT_CLASS["public key"], LABEL: key.label, TOKEN: true });
    const [object, other] = found;
    if (!object)
      throw new StrongroomError("key-missing", `the token has no public key ${key.label}`, {
        hint: "strongroom token provision creates what is missing",
        details: { key: key.name },
      });
    if (other)
      throw new StrongroomError("key-drift", `the token has ${found.length} public keys ${key.label}`, {
        hint: "strongroom token inventory shows them; which one is right only its maker can say",
        details: { key: key.name },
      });
    points.set(
      key.name,
      type === "ed25519" ? readEdwardsPoint(session, object) : readPublicPoint(session, object),
    );
  }
  return points;
}

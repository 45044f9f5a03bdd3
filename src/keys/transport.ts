/**
 * The ways by which keys come to a site (design §3): its transport public key, which the security officer of an
 * origin makes TRUSTED there after checking it, and a one-time AES key (the carrier) for EC keys, which RSA-OAEP
 * cannot take.
 *
 * A travelling key is WRAP_WITH_TRUSTED, so the carrier must be TRUSTED too. Tokens let only the security officer
 * make trusted objects, and a security officer sees and makes public objects only: PRIVATE=false, and SENSITIVE
 * all the same. Where a token has no trusted keys at all (`attributes.trusted: none` in its profile) the user makes
 * both, and the keys travel without WRAP_WITH_TRUSTED.
 */
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "../token/attributes.ts";
import type { Oaep, Profile } from "../token/profile.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import { carrierLabel, type FleetShape, transportKey, trustedLabel, trustedLabels } from "./fleet-keys.ts";
import { destroyLabelled, theObject } from "./fleet-objects.ts";
import { attributeSupport, provision, provisioned } from "./provision.ts";
import { readExponent, readModulus } from "./public-keys.ts";
import { keyId } from "./templates.ts";

export type OaepHash = Oaep["hashes"][number];

/** A transport public key on its way to the origins; whoever brings it vouches for it. */
export interface TransportKey {
  readonly fleet: string;
  readonly site: string;
  /** Big-endian, 384 bytes. */
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
  /** The hashes that the site's token knows for RSA-OAEP. */
  readonly hashes: readonly OaepHash[];
}

const MODULUS_BYTES = 384;
/** 65537, as the templates ask for it. Under 1 a wrapped key would be in the clear, whoever vouches for the modulus. */
const EXPONENT = Uint8Array.of(1, 0, 1);

/** Who makes trusted objects on such a token. */
export function truster(profile: Profile): "so" | "user" {
  return profile.attributes.trusted.value === "none" ? "user" : "so";
}

/** Unknown hashes are tried as every PKCS#11 token has them: SHA-1, which OAEP is secure with (RFC 8017 §B.1). */
export function oaepHashes(profile: Profile): readonly OaepHash[] {
  const { value } = profile.mechanisms.oaep;
  return value === "unknown" ? ["sha1"] : value.hashes;
}

/**
 * Makes the site's transport pair, unless it is there. One that is not as it should be is what an interrupted run
 * left, and is replaced: nothing depends on it.
 * @throws token-unsuitable; token errors
 */
export function makeTransport(session: TokenSession, profile: Profile, fleet: string): void {
  const keys = [transportKey(fleet)];
  const [found] = provision(session, profile, keys, { dryRun: true });
  if (found?.state === "ok") return;
  removeTransport(session, fleet);
  if (provisioned(provision(session, profile, keys))) return;
  throw new StrongroomError("token-unsuitable", "the token does not keep the transport key as asked", {
    hint: "`strongroom token inventory` shows it",
  });
}

/** @throws key-missing, key-drift, token-failed */
export function exportTransport(
  session: TokenSession,
  profile: Profile,
  fleet: string,
  site: string,
): TransportKey {
  const object = theObject(session, "public key", transportKey(fleet).label);
  const modulus = readModulus(session, object);
  const exponent = readExponent(session, object);
  if (!modulus || !exponent)
    throw new StrongroomError("token-failed", "the token does not tell its transport public key");
  return { fleet, site, modulus, exponent, hashes: oaepHashes(profile) };
}

function trustedAttribute(profile: Profile): Template {
  return attributeSupport(profile).wrapWithTrusted ? { TRUSTED: true } : {};
}

function frozen(profile: Profile): Template {
  const { modifiable, copyable } = attributeSupport(profile);
  return { ...(modifiable ? { MODIFIABLE: false } : {}), ...(copyable ? { COPYABLE: false } : {}) };
}

/**
 * Takes the transport public key of a site for trusted, in the token of an origin. One that is there and says the
 * same is kept; another under its label is replaced, since whoever calls has just vouched for this one.
 *
 * @param session logged in as `truster` says
 * @throws invalid-request for a key of another size or exponent; token-unsuitable; token errors
 */
export function trustTransport(session: TokenSession, profile: Profile, key: TransportKey): void {
  if (key.modulus.length !== MODULUS_BYTES || (key.modulus[0] ?? 0) < 0x80)
    throw new StrongroomError("invalid-request", "a transport public key has another size than 3072 bits");
  if (!equal(key.exponent, EXPONENT))
    throw new StrongroomError("invalid-request", "a transport public key has another exponent than 65537");
  const label = trustedLabel(key.fleet, key.site);
  const same = session
    .find({ CLASS: OBJECT_CLASS["public key"], TOKEN: true, LABEL: label })
    .filter((object) => isTrustedCopy(session, profile, object, key));
  if (same.length === 1) return;
  destroyLabelled(session, [label]);
  const object = session.createObject({
    CLASS: OBJECT_CLASS["public key"],
    KEY_TYPE: KEY_TYPE.RSA,
    TOKEN: true,
    PRIVATE: false,
    LABEL: label,
    ID: keyId(label),
    MODULUS: key.modulus,
    PUBLIC_EXPONENT: key.exponent,
    ENCRYPT: false,
    VERIFY: false,
    VERIFY_RECOVER: false,
    WRAP: true,
    ...trustedAttribute(profile),
    ...frozen(profile),
  });
  if (isTrustedCopy(session, profile, object, key)) return;
  session.discard(object);
  throw new StrongroomError("token-unsuitable", `the token does not keep ${label} as trusted`, {
    hint: "attributes.trusted in its profile says who can make trusted keys; `none` does without",
  });
}

function isTrustedCopy(
  session: TokenSession,
  profile: Profile,
  object: ObjectHandle,
  key: TransportKey,
): boolean {
  const modulus = readModulus(session, object);
  const exponent = readExponent(session, object);
  const trusted = truster(profile) === "user" || session.attribute(object, "TRUSTED") === true;
  return (
    trusted &&
    modulus !== undefined &&
    exponent !== undefined &&
    equal(modulus, key.modulus) &&
    equal(exponent, key.exponent)
  );
}

/** The trusted copy for a site. @throws key-missing, key-drift where it is not the key that the site gave out */
export function trustedCopy(session: TokenSession, profile: Profile, key: TransportKey): ObjectHandle {
  const object = theObject(session, "public key", trustedLabel(key.fleet, key.site));
  if (isTrustedCopy(session, profile, object, key)) return object;
  throw new StrongroomError(
    "key-drift",
    `the trusted transport key of ${key.site} is not the one it gave out`,
    {
      hint: "have the security officer check and import it again",
    },
  );
}

/**
 * Makes the one-time key that carries EC keys to a site; one that is left from an interrupted run is replaced.
 * @param session logged in as `truster` says
 * @throws token-unsuitable; token errors
 */
export function makeCarrier(session: TokenSession, profile: Profile, fleet: string, site: string): void {
  const label = carrierLabel(fleet, site);
  destroyLabelled(session, [label]);
  const support = attributeSupport(profile);
  const object = session.generateKey(
    { mechanism: session.traits.mechanisms.aesKeygen },
    {
      CLASS: OBJECT_CLASS["secret key"],
      KEY_TYPE: KEY_TYPE.AES,
      VALUE_LEN: 32,
      TOKEN: true,
      PRIVATE: truster(profile) === "user",
      LABEL: label,
      ID: keyId(label),
      SENSITIVE: true,
      EXTRACTABLE: true,
      ...(support.wrapWithTrusted ? { WRAP_WITH_TRUSTED: true } : {}),
      ...trustedAttribute(profile),
      ...frozen(profile),
      ENCRYPT: false,
      DECRYPT: false,
      SIGN: false,
      VERIFY: false,
      WRAP: true,
      UNWRAP: false,
      DERIVE: false,
    },
  );
  const { sensitive, extractable } = session.secrecy(object);
  const trusted = truster(profile) === "user" || session.attribute(object, "TRUSTED") === true;
  if (sensitive && extractable && trusted) return;
  session.discard(object);
  throw new StrongroomError("token-unsuitable", `the token does not protect ${label} as asked`, {
    hint: "`strongroom token doctor` shows which attributes the token ignores",
  });
}

/**
 * Destroys the trusted copies and the carriers in the token of an origin.
 * @param session logged in as `truster` says
 * @returns the labels of what was there
 */
export function removeTrusted(session: TokenSession, shape: FleetShape): readonly string[] {
  return destroyLabelled(session, trustedLabels(shape));
}

/** Destroys the site's transport pair: nothing can be brought to it any more. @returns the labels of what was there */
export function removeTransport(session: TokenSession, fleet: string): readonly string[] {
  return destroyLabelled(session, [transportKey(fleet).label]);
}

/**
 * One key on its way from the site that made it to one of its holders (design §3): wrapped in the origin's token for
 * the holder's transport key, unwrapped in the holder's token as a key that never leaves it again.
 *
 * RSA-OAEP says nothing of who wrapped: anybody who knows the transport public key could send a key of his own. So a
 * package carries what the original answers to a nonce (key-equality.ts), which finds a package that was damaged or
 * mistaken for another; that no package was replaced is what the comparison between all sites is for, before
 * anything is sealed.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "../token/attributes.ts";
import { CKM } from "../token/cryptoki.ts";
import { chooseKeyWrap, wrapMechanism } from "../token/key-wrap.ts";
import { type Mechanism, PARAMETER } from "../token/module.ts";
import { driftOf, namesOf, readAttributes } from "../token/objects.ts";
import { encodePoint } from "../token/points.ts";
import type { Profile, WrapFormat } from "../token/profile.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { carrierLabel, originalOf, transportKey } from "./fleet-keys.ts";
import { secretPart, theObject } from "./fleet-objects.ts";
import { EQUALITY_NONCE_BYTES, proveKey } from "./key-equality.ts";
import { halvesProblem } from "./key-proof.ts";
import { attributeSupport } from "./provision.ts";
import { readPublicPoint } from "./public-keys.ts";
import { type KeySpec, ROLES } from "./roles.ts";
import { keyTemplates, type ObjectTemplate } from "./templates.ts";
import { type OaepHash, oaepHashes, type TransportKey, trustedCopy } from "./transport.ts";

/** What travels; all of it may be seen by anybody. */
export interface KeyPackage {
  readonly fleet: string;
  readonly key: KeyName;
  /** The site that it is for, by name. */
  readonly to: string;
  readonly oaepHash: OaepHash;
  /** Of a secret key: itself under RSA-OAEP. Of an EC key: the carrier under RSA-OAEP. */
  readonly oaep: Uint8Array;
  /** Of an EC key only. */
  readonly carried?:
    | {
        readonly format: WrapFormat;
        /** The private key under AES key wrap by the carrier. */
        readonly wrapped: Uint8Array;
        /** Uncompressed, 65 bytes. */
        readonly publicKey: Uint8Array;
      }
    | undefined;
  readonly nonce: Uint8Array;
  readonly proof: Uint8Array;
}

/** CK_RSA_PKCS_MGF_TYPE and CKM of the hash; CKZ_DATA_SPECIFIED without data. */
const OAEP: Readonly<Record<OaepHash, { readonly hashAlg: number; readonly mgf: number }>> = {
  sha1: { hashAlg: CKM.SHA_1, mgf: 1 },
  sha256: { hashAlg: CKM.SHA256, mgf: 2 },
  sha384: { hashAlg: 0x260, mgf: 3 },
  sha512: { hashAlg: 0x270, mgf: 4 },
};
const PREFERRED: readonly OaepHash[] = ["sha256", "sha384", "sha512", "sha1"];

/** RSA-OAEP by this hash, also as its mask generation function, with an empty label. */
export function oaepMechanism(hash: OaepHash): Mechanism {
  return {
    mechanism: CKM.RSA_PKCS_OAEP,
    parameter: { type: PARAMETER.oaep, ...OAEP[hash], source: 1 },
  };
}

/**
 * Wraps the original of a key for one holder; nothing on the token changes.
 *
 * @param session logged in as the user, in the token of the key's origin
 * @param to      the holder's transport key, as `trustTransport` took it for trusted before
 * @throws key-missing where the original, the trusted copy or the carrier is not there; key-drift;
 *   token-unsuitable where the tokens have no mechanism in common; token errors
 */
export function exportKey(
  session: TokenSession,
  profile: Profile,
  spec: KeySpec,
  to: TransportKey,
): KeyPackage {
  const original = theObject(session, secretPart(spec), originalOf(spec).label);
  const transport = trustedCopy(session, profile, to);
  const own = oaepHashes(profile);
  const oaepHash = PREFERRED.find((hash) => own.includes(hash) && to.hashes.includes(hash));
  if (!oaepHash)
    throw new StrongroomError("token-unsuitable", `no RSA-OAEP hash is known here and at ${to.site}`);
  const mechanism = oaepMechanism(oaepHash);
  const nonce = Uint8Array.from(randomBytes(EQUALITY_NONCE_BYTES));
  const common = {
    fleet: to.fleet,
    key: spec.name,
    to: to.site,
    oaepHash,
    nonce,
    proof: proveKey(session, spec, original, nonce),
  };
  if (ROLES[spec.role].type !== "ec-p256")
    return { ...common, oaep: session.wrap(mechanism, transport, original) };
  const carrier = theObject(session, "secret key", carrierLabel(to.fleet, to.site));
  const keyWrap = chooseKeyWrap(session);
  return {
    ...common,
    oaep: session.wrap(mechanism, transport, carrier),
    carried: {
      format: keyWrap.format,
      wrapped: session.wrap(wrapMechanism(keyWrap), carrier, original),
      publicKey: readPublicPoint(session, theObject(session, "public key", originalOf(spec).label)),
    },
  };
}

/**
 * Unwraps a key in its holder's token, sealed, and checks everything about it: attributes as read back, the halves of
 * a pair, the answer to the package's nonce. What is not right is destroyed at once.
 *
 * @param session logged in as the user, in the token of the site `site`
 * @throws invalid-request for a package of another fleet, key or site; key-drift where the token has such a key
 *   already; key-missing without a transport key; decrypt-failed where another key came out than was sent;
 *   token-unsuitable where the token does not protect it; token errors where it does not unwrap
 */
export function importKey(
  session: TokenSession,
  profile: Profile,
  spec: KeySpec,
  site: string,
  parcel: KeyPackage,
): void {
  const ours = spec.label === `strongroom/${parcel.fleet}/${parcel.key}` && parcel.to === site;
  if (!ours)
    throw new StrongroomError("invalid-request", `a package with ${parcel.key} for ${parcel.to} came here`, {
      hint: `${spec.name} for ${site} was expected`,
    });
  if (session.find({ TOKEN: true, LABEL: spec.label }).length > 0)
    throw new StrongroomError("key-drift", `the token has a key ${spec.label} already`, {
      hint: "a key arrives once; `strongroom token inventory` shows it",
    });
  const made: ObjectHandle[] = [];
  try {
    unwrapAll(session, profile, spec, parcel, made);
  } catch (error) {
    session.discard(...made);
    throw error;
  }
}

function unwrapAll(
  session: TokenSession,
  profile: Profile,
  spec: KeySpec,
  parcel: KeyPackage,
  made: ObjectHandle[],
): void {
  const templates = keyTemplates(spec, "sealed-later", attributeSupport(profile));
  const transport = theObject(session, "private key", transportKey(parcel.fleet).label);
  const mechanism = oaepMechanism(parcel.oaepHash);
  const seal = (object: ObjectHandle): void => {
    made.push(object);
    if (session.traits.sealAfterUnwrap)
      session.setAttributes(object, { SENSITIVE: true, EXTRACTABLE: false });
  };
  if (templates.kind === "secret") {
    const key = session.unwrap(mechanism, transport, parcel.oaep, templates.secret.create);
    seal(key);
    requireAsExpected(session, spec, key, templates.secret);
    requireSent(session, spec, key, parcel);
    return;
  }
  if (!parcel.carried)
    throw new StrongroomError("invalid-request", `the package with ${spec.name} lacks the key itself`);
  const { format, wrapped, publicKey } = parcel.carried;
  const keyWrap = session.traits.keyWrap.find((candidate) => candidate.format === format);
  if (!keyWrap)
    throw new StrongroomError("token-unsuitable", `the token has no key wrap of the format ${format}`);
  // The carrier is gone with the session at the latest.
  const carrier = session.unwrap(mechanism, transport, parcel.oaep, CARRIER);
  try {
    const key = session.unwrap(wrapMechanism(keyWrap), carrier, wrapped, templates.private.create);
    seal(key);
    requireAsExpected(session, spec, key, templates.private);
    const half = session.createObject({
      ...templates.public.create,
      EC_POINT: encodePoint(publicKey, profile.points.read.value === "raw" ? "raw" : "der"),
    });
    made.push(half);
    requireAsExpected(session, spec, half, templates.public);
    const problem = halvesProblem(session, spec, key, half);
    if (problem) throw notSent(spec, problem);
    requireSent(session, spec, key, parcel);
  } finally {
    session.discard(carrier);
  }
}

/** The carrier at its destination: it unwraps, and nothing else. */
const CARRIER: Template = {
  CLASS: OBJECT_CLASS["secret key"],
  KEY_TYPE: KEY_TYPE.AES,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
  ENCRYPT: false,
  DECRYPT: false,
  SIGN: false,
  VERIFY: false,
  WRAP: false,
  UNWRAP: true,
  DERIVE: false,
};

function requireAsExpected(
  session: TokenSession,
  spec: KeySpec,
  object: ObjectHandle,
  { expect }: ObjectTemplate,
): void {
  const drift = driftOf(expect, readAttributes(session, object, namesOf(expect)));
  if (drift.length === 0) return;
  const names = drift.map(({ attribute }) => attribute).join(", ");
  throw new StrongroomError("token-unsuitable", `the token does not keep ${names} of ${spec.label}`, {
    hint: "the key was destroyed again; `strongroom token doctor` shows which attributes the token ignores",
    details: { attributes: names },
  });
}

function requireSent(
  session: TokenSession,
  spec: KeySpec,
  key: ObjectHandle,
  { nonce, proof }: KeyPackage,
): void {
  if (!equal(proveKey(session, spec, key, nonce), proof)) throw notSent(spec, "another key came out");
}

function notSent(spec: KeySpec, problem: string): StrongroomError {
  return new StrongroomError(
    "decrypt-failed",
    `the package with ${spec.name} is not what was sent: ${problem}`,
    {
      hint: "the key was destroyed again; have the package made and sent once more",
    },
  );
}

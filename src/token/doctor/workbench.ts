/** The doctor's bench: throw-away session keys, every one of which is destroyed when its check ends. */
import { randomBytes } from "node:crypto";
import { StrongroomError } from "../../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "../attributes.ts";
import { P256_PARAMS } from "../cryptoki.ts";
import { decodeEcPoint, decodeEdwardsPoint, encodePoint } from "../points.ts";
import type { Profile } from "../profile.ts";
import type { ObjectHandle, TokenSession } from "../session.ts";
import { refusalOf } from "./check.ts";
import { hostKey } from "./software.ts";

/** How the token was opened, for checks that open it again elsewhere. */
export interface Origin {
  readonly uri: string;
  readonly profile: string;
  /** What a person typed, where one did. */
  readonly pin?: Uint8Array | undefined;
}

export interface EcPair {
  readonly publicKey: ObjectHandle;
  readonly privateKey: ObjectHandle;
  /** Uncompressed, 65 bytes. */
  readonly point: Uint8Array;
  /** CKA_EC_POINT as the token gave it. */
  readonly raw: Uint8Array;
}

export interface EdwardsPair {
  readonly privateKey: ObjectHandle;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface KnownSecret {
  readonly key: ObjectHandle;
  /** Its value, which the host knows too; 32 bytes. */
  readonly value: Uint8Array;
  /** How it got onto the token, for details. */
  readonly how: string;
}

/** Session key pairs that derive, as the vault makes them for shares. */
const EC_PUBLIC: Template = {
  CLASS: OBJECT_CLASS["public key"],
  KEY_TYPE: KEY_TYPE.EC,
  TOKEN: false,
  PRIVATE: false,
  EC_PARAMS: P256_PARAMS,
};
const EC_PRIVATE: Template = {
  CLASS: OBJECT_CLASS["private key"],
  KEY_TYPE: KEY_TYPE.EC,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
};
const SECRET: Template = {
  CLASS: OBJECT_CLASS["secret key"],
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
};

export class Workbench {
  readonly session: TokenSession;
  readonly profile: Profile;
  readonly origin: Origin;
  readonly #made = new Set<ObjectHandle>();

  constructor(session: TokenSession, profile: Profile, origin: Origin) {
    this.session = session;
    this.profile = profile;
    this.origin = origin;
  }

  /** Has the object destroyed when the check ends. */
  keep(object: ObjectHandle): ObjectHandle {
    this.#made.add(object);
    return object;
  }

  /** Destroys what a check no longer needs. */
  release(...objects: readonly ObjectHandle[]): void {
    this.session.discard(...objects);
    for (const object of objects) this.#made.delete(object);
  }

  /** Ends a check. */
  clear(): void {
    this.release(...this.#made);
  }

  /** A key pair; DERIVE unless `privateKey` says otherwise, sensitive, not extractable. */
  ecPair(privateKey: Template = { DERIVE: true }, publicKey: Template = {}): EcPair {
    const pair = this.session.generateKeyPair(
      { mechanism: this.session.traits.mechanisms.ecKeygen },
      { ...EC_PUBLIC, ...publicKey },
      { ...EC_PRIVATE, ...privateKey },
    );
    this.keep(pair.publicKey);
    this.keep(pair.privateKey);
    const raw = this.session.attribute(pair.publicKey, "EC_POINT");
    if (!(raw instanceof Uint8Array))
      throw new StrongroomError("token-failed", "CKA_EC_POINT of the public key cannot be read");
    return { ...pair, raw, point: decodeEcPoint(raw) };
  }

  /** An Ed25519 key pair that signs, sensitive, not extractable. */
  edwardsPair(): EdwardsPair {
    const { mechanisms, edwardsParams } = this.session.traits;
    const KEY = KEY_TYPE["EC edwards"];
    const pair = this.session.generateKeyPair(
      { mechanism: mechanisms.edwardsKeygen },
      { ...EC_PUBLIC, KEY_TYPE: KEY, EC_PARAMS: edwardsParams, VERIFY: true },
      { ...EC_PRIVATE, KEY_TYPE: KEY, SIGN: true },
    );
    this.keep(pair.publicKey);
    this.keep(pair.privateKey);
    const raw = this.session.attribute(pair.publicKey, "EC_POINT");
    if (!(raw instanceof Uint8Array))
      throw new StrongroomError("token-failed", "CKA_EC_POINT of the public key cannot be read");
    return { privateKey: pair.privateKey, publicKey: decodeEdwardsPoint(raw) };
  }

  /** x(k·point) as the token says it. */
  derive(key: ObjectHandle, point: Uint8Array): Uint8Array {
    return this.session.derive(key, encodePoint(point, this.session.traits.pointSend));
  }

  /** A secret key that only the token knows; 32 bytes, sensitive, not extractable. */
  secret(type: "AES" | "generic secret", attributes: Template): ObjectHandle {
    const { aesKeygen, genericKeygen } = this.session.traits.mechanisms;
    return this.keep(
      this.session.generateKey(
        { mechanism: type === "AES" ? aesKeygen : genericKeygen },
        { ...SECRET, KEY_TYPE: KEY_TYPE[type], VALUE_LEN: 32, ...attributes },
      ),
    );
  }

  /**
   * A secret key that the host knows too, to compare results. It is imported; where the token takes no imports
   * it is the secret of a key agreement with the host.
   */
  knownSecret(type: "AES" | "generic secret", attributes: Template): KnownSecret {
    const template: Template = { ...SECRET, KEY_TYPE: KEY_TYPE[type], ...attributes };
    const value = Uint8Array.from(randomBytes(32));
    try {
      return {
        key: this.keep(this.session.createObject({ ...template, VALUE: value })),
        value,
        how: "imported",
      };
    } catch (error) {
      const host = hostKey();
      const pair = this.ecPair();
      const point = encodePoint(host.point, this.session.traits.pointSend);
      const key = this.session.deriveKey(pair.privateKey, point, { ...template, VALUE_LEN: 32 });
      return {
        key: this.keep(key),
        value: host.multiplyX(pair.point),
        how: `derived, as import is refused: ${refusalOf(error)}`,
      };
    }
  }
}

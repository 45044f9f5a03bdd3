/**
 * What every key of the hierarchy looks like on a token, derived from ROLES and nothing else. Provisioning
 * creates by this table and checks by it.
 *
 * Everything is said explicitly: CKA_PRIVATE, CKA_EXTRACTABLE, CKA_MODIFIABLE and CKA_COPYABLE have defaults
 * that differ between devices, and a usage flag that is left out is granted by some of them.
 */
import { fromHex, utf8 } from "../base/bytes.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { type AttributeName, KEY_TYPE, OBJECT_CLASS, type Template } from "../token/attributes.ts";
import type { KeySpec, KeyType, Role, RoleName, Usage } from "./roles.ts";
import { ROLES } from "./roles.ts";

/**
 * What an object of a key is (design §3).
 * sealed: made in this token, unextractable from birth. open: the original of a key that travels; it leaves the
 * token under a trusted key only, and is destroyed when every holder has the key. sealed-later: a holder's own, which
 * arrived by unwrapping and was unextractable from then on. The site that made a key gets its own in the same way:
 * many tokens let nobody turn CKA_MODIFIABLE off on an existing key, and a modifiable key is not sealed. Whoever
 * has the PIN could grant a share-kek DECRYPT and read every share under it.
 */
export type Stage = "sealed" | "open" | "sealed-later";

/** What a token can do with attributes; `driverTraits` and `Profile` say it per device. */
export interface AttributeSupport {
  readonly modifiable: boolean;
  readonly copyable: boolean;
  /** The token knows CKA_WRAP_WITH_TRUSTED. */
  readonly wrapWithTrusted: boolean;
  /** C_UnwrapKey heeds what its template says of secrecy; otherwise it is set afterwards, on a modifiable key. */
  readonly unwrapSeals: boolean;
  /** CKA_EC_PARAMS of Ed25519 as the token takes and tells it; RFC 8410's object identifier by default. */
  readonly edwardsParams?: Uint8Array | undefined;
}

/** One object: the template it is made with, and the attributes it must show afterwards. */
export interface ObjectTemplate {
  readonly create: Template;
  readonly expect: Template;
}

/** A secret key, or both halves of a pair. */
export type KeyTemplates =
  | { readonly kind: "secret"; readonly secret: ObjectTemplate }
  | { readonly kind: "pair"; readonly private: ObjectTemplate; readonly public: ObjectTemplate };

/** OID 1.2.840.10045.3.1.7, DER: P-256. */
const P256_PARAMS = "06082a8648ce3d030107";
/** OID 1.3.101.112, DER: Ed25519 (RFC 8410). */
const ED25519_PARAMS = "06032b6570";

interface TypeRow {
  readonly keyType: number;
  readonly kind: KeyTemplates["kind"];
  /** Given to C_GenerateKey or to the public half; what the object then has. */
  readonly shape: Template;
}

const TYPES: Readonly<Record<KeyType, TypeRow>> = {
  "ec-p256": { keyType: KEY_TYPE.EC, kind: "pair", shape: { EC_PARAMS: fromHex(P256_PARAMS) } },
  ed25519: { keyType: KEY_TYPE["EC edwards"], kind: "pair", shape: { EC_PARAMS: fromHex(ED25519_PARAMS) } },
  "rsa-3072": {
    keyType: KEY_TYPE.RSA,
    kind: "pair",
    shape: { MODULUS_BITS: 3072, PUBLIC_EXPONENT: fromHex("010001") },
  },
  "aes-256": { keyType: KEY_TYPE.AES, kind: "secret", shape: { VALUE_LEN: 32 } },
  "generic-256": { keyType: KEY_TYPE["generic secret"], kind: "secret", shape: { VALUE_LEN: 32 } },
};

/** Usage flags that each class of object has; those a role does not name are false. */
const FLAGS = {
  secret: ["ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE"],
  private: ["DECRYPT", "SIGN", "SIGN_RECOVER", "UNWRAP", "DERIVE"],
  public: ["ENCRYPT", "VERIFY", "VERIFY_RECOVER", "WRAP", "DERIVE"],
} as const satisfies Record<string, readonly AttributeName[]>;

/** What the public half does for each usage of the private one; an ECDH public key is only read. */
const COUNTERPART: Readonly<Record<Usage, AttributeName | undefined>> = {
  sign: "VERIFY",
  unwrap: "WRAP",
  wrap: undefined,
  derive: undefined,
};
const FLAG: Readonly<Record<Usage, AttributeName>> = {
  sign: "SIGN",
  derive: "DERIVE",
  wrap: "WRAP",
  unwrap: "UNWRAP",
};

function flags(kind: keyof typeof FLAGS, role: Role): Template {
  const granted = role.usage.map((usage) => (kind === "public" ? COUNTERPART[usage] : FLAG[usage]));
  return Object.fromEntries(FLAGS[kind].map((flag) => [flag, granted.includes(flag)]));
}

/** CKA_ID: the same for both halves of a pair and on every site, 16 bytes. */
export function keyId(label: string): Uint8Array {
  return sha256Of(utf8(label)).slice(0, 16);
}

/** What a role's keys are in the tokens of a running fleet. @param sites how many it has; one needs no transport */
export function stageInService(role: RoleName, sites: number): Stage {
  return sites > 1 && ROLES[role].life === "sealed" ? "sealed-later" : "sealed";
}

/** The templates of one key at one stage on a token of that support. */
export function keyTemplates(spec: KeySpec, stage: Stage, support: AttributeSupport): KeyTemplates {
  const role = ROLES[spec.role];
  const { keyType, kind, shape: usual } = TYPES[role.type];
  const { edwardsParams } = support;
  const shape: Template = role.type === "ed25519" && edwardsParams ? { EC_PARAMS: edwardsParams } : usual;
  const open = stage === "open";
  const common: Template = {
    TOKEN: true,
    LABEL: spec.label,
    ID: keyId(spec.label),
    KEY_TYPE: keyType,
  };
  // Last in every template, and MODIFIABLE last of all: SoftHSM goes through the template of C_UnwrapKey in order,
  // and refuses every attribute after it.
  const frozen = (modifiable: boolean): Template => ({
    ...(support.copyable ? { COPYABLE: false } : {}),
    ...(support.modifiable ? { MODIFIABLE: modifiable } : {}),
  });
  const protection: Template = {
    PRIVATE: true,
    SENSITIVE: true,
    EXTRACTABLE: open,
    // On a sealed key it changes nothing, and says the same in every stage.
    ...(support.wrapWithTrusted ? { WRAP_WITH_TRUSTED: true } : {}),
  };
  const own = frozen(stage === "sealed-later" && !support.unwrapSeals);
  // What modules say of a key that arrived by unwrapping differs, and none of it can be relied on.
  const provenance: Template =
    stage === "sealed"
      ? { LOCAL: true, ALWAYS_SENSITIVE: true, NEVER_EXTRACTABLE: true }
      : { ...(open ? { LOCAL: true, ALWAYS_SENSITIVE: true } : {}) };

  if (kind === "secret") {
    const create: Template = {
      CLASS: OBJECT_CLASS["secret key"],
      ...common,
      // What is unwrapped has its length in it: some tokens refuse to be told, and SoftHSM does not tell it then.
      ...(stage === "sealed-later" ? {} : shape),
      ...protection,
      ...flags("secret", role),
      ...own,
    };
    return { kind, secret: { create, expect: { ...create, ...provenance } } };
  }
  const privateKey: Template = {
    CLASS: OBJECT_CLASS["private key"],
    ...common,
    ...protection,
    ...flags("private", role),
    ...own,
  };
  const publicKey: Template = {
    CLASS: OBJECT_CLASS["public key"],
    ...common,
    ...shape,
    PRIVATE: false,
    ...flags("public", role),
    ...frozen(false),
  };
  // The private half takes its curve from the public template; that it has the right one is checked on it too.
  const curve: Template = shape.EC_PARAMS === undefined ? {} : { EC_PARAMS: shape.EC_PARAMS };
  return {
    kind,
    private: { create: privateKey, expect: { ...privateKey, ...curve, ...provenance } },
    public: { create: publicKey, expect: publicKey },
  };
}

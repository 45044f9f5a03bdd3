/**
 * The objects of a paper token: what their attributes are, who may see, make and change them, and with which return
 * code the rest is refused (PKCS#11 3.1 §4). What a profile says of a device goes before the standard.
 */
import {
  ATTRIBUTES,
  type AttributeName,
  type AttributeValue,
  attributeEntries,
  attributeName,
  KEY_TYPE,
  OBJECT_CLASS,
} from "./attributes.ts";
import { ckrValue } from "./ckr.ts";
import type { AttributeList } from "./module.ts";
import type { PaperSecret } from "./paper-crypto.ts";
import type { Profile } from "./profile.ts";

/** Who is logged in, and in which session: what decides about objects. */
export interface PaperAccess {
  readonly user: "none" | "user" | "so";
  readonly isReadWrite: boolean;
}

type Attributes = { [N in AttributeName]?: AttributeValue };

export interface PaperObject {
  readonly attributes: Attributes;
  /** Of a private or secret key. */
  readonly secret: PaperSecret | undefined;
  /** Of a session object: its session. */
  readonly session: number | undefined;
}

/** How an object came to be: decides LOCAL and what is remembered of its secrecy. */
export type Origin = "generated" | "created" | "unwrapped" | "derived";

/** An error as the native binding throws it. */
export function ckrError(name: string): Error {
  return Object.assign(new Error(name), { code: ckrValue(name) });
}

/** What an object of a class has besides CLASS, and with what value where the template is silent. */
const STORAGE: Attributes = { TOKEN: false, LABEL: "", MODIFIABLE: true, COPYABLE: true, DESTROYABLE: true };
const KEY: Attributes = { ID: new Uint8Array(), DERIVE: false };
const SECRECY: Attributes = { PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, WRAP_WITH_TRUSTED: false };
const DEFAULTS: Readonly<Record<number, Attributes>> = {
  [OBJECT_CLASS.data]: { ...STORAGE, PRIVATE: true, VALUE: new Uint8Array() },
  [OBJECT_CLASS.certificate]: { ...STORAGE, PRIVATE: false, VALUE: new Uint8Array(), ID: new Uint8Array() },
  [OBJECT_CLASS["public key"]]: {
    ...STORAGE,
    ...KEY,
    PRIVATE: false,
    TRUSTED: false,
    ENCRYPT: false,
    VERIFY: false,
    VERIFY_RECOVER: false,
    WRAP: false,
  },
  [OBJECT_CLASS["private key"]]: {
    ...STORAGE,
    ...KEY,
    ...SECRECY,
    DECRYPT: false,
    SIGN: false,
    SIGN_RECOVER: false,
    UNWRAP: false,
  },
  [OBJECT_CLASS["secret key"]]: {
    ...STORAGE,
    ...KEY,
    ...SECRECY,
    TRUSTED: false,
    ENCRYPT: false,
    DECRYPT: false,
    SIGN: false,
    VERIFY: false,
    WRAP: false,
    UNWRAP: false,
  },
};

/** What only the token says. */
const OWN: readonly AttributeName[] = ["LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"];
/** What an object is, and stays. */
const FIXED: readonly AttributeName[] = [
  ...OWN,
  "CLASS",
  "TOKEN",
  "PRIVATE",
  "KEY_TYPE",
  "VALUE",
  "VALUE_LEN",
  "MODULUS",
  "MODULUS_BITS",
  "PUBLIC_EXPONENT",
  "EC_PARAMS",
  "EC_POINT",
];
/** What can be turned one way only; true is the value that stays, but for EXTRACTABLE. */
const ONE_WAY: Readonly<Partial<Record<AttributeName, boolean>>> = {
  SENSITIVE: true,
  EXTRACTABLE: false,
  WRAP_WITH_TRUSTED: true,
  COPYABLE: false,
};

export class PaperRules {
  readonly #profile: Profile;
  readonly #unknown: readonly AttributeName[];

  constructor(profile: Profile) {
    const { modifiable, copyable, trusted } = profile.attributes;
    this.#profile = profile;
    this.#unknown = [
      ...(modifiable.value === false ? (["MODIFIABLE"] as const) : []),
      ...(copyable.value === false ? (["COPYABLE"] as const) : []),
      ...(trusted.value === "none" ? (["TRUSTED", "WRAP_WITH_TRUSTED"] as const) : []),
    ];
  }

  /** The template by name. Attributes that a profile adds are taken and mean nothing on paper. */
  template(list: AttributeList): Attributes {
    const extra = this.#profile.unwrap.extra.value;
    const named: Attributes = {};
    for (const { type, value } of list) {
      const name = attributeName(type);
      if (name === undefined && extra !== "unknown" && extra.some(({ attribute }) => attribute === type))
        continue;
      if (name === undefined || this.#unknown.includes(name)) throw ckrError("CKR_ATTRIBUTE_TYPE_INVALID");
      const { kind } = ATTRIBUTES[name];
      const bytes = value instanceof Uint8Array ? Uint8Array.from(value) : value;
      if ((kind === "bytes" ? "object" : kind === "text" ? "string" : kind) !== typeof bytes)
        throw ckrError("CKR_ATTRIBUTE_VALUE_INVALID");
      named[name] = bytes;
    }
    return named;
  }

  /**
   * A new object.
   * @param facts what follows from how it was made: CLASS, KEY_TYPE, the parts of a public key
   */
  make(
    template: Attributes,
    facts: Attributes,
    origin: Origin,
    secret: PaperSecret | undefined,
    access: PaperAccess,
    session: number,
  ): PaperObject {
    for (const name of OWN) if (template[name] !== undefined) throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
    const { sealAfter, omit } = this.#profile.unwrap;
    if (origin === "unwrapped") {
      const refused = omit.value === "unknown" ? [] : omit.value;
      if (attributeEntries(template).some(([name]) => refused.includes(ATTRIBUTES[name].type)))
        throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
      if (sealAfter.value === true) template = { ...template, SENSITIVE: false, EXTRACTABLE: true };
    }
    const CLASS = facts.CLASS ?? template.CLASS;
    const defaults = typeof CLASS === "number" ? DEFAULTS[CLASS] : undefined;
    if (!defaults) throw ckrError("CKR_TEMPLATE_INCOMPLETE");
    for (const [name, value] of attributeEntries(facts))
      if (["CLASS", "KEY_TYPE"].includes(name) && template[name] !== undefined && template[name] !== value)
        throw ckrError("CKR_TEMPLATE_INCONSISTENT");
    const attributes: Attributes = { ...defaults, ...template, ...facts };
    for (const name of this.#unknown) delete attributes[name];
    if (secret) {
      const { SENSITIVE, EXTRACTABLE } = attributes;
      const isBorn = origin === "generated";
      attributes.LOCAL = isBorn;
      attributes.ALWAYS_SENSITIVE = isBorn && SENSITIVE === true;
      attributes.NEVER_EXTRACTABLE = isBorn && EXTRACTABLE === false;
    } else if (CLASS === OBJECT_CLASS["public key"]) attributes.LOCAL = origin === "generated";
    const object = { attributes, secret, session: attributes.TOKEN === true ? undefined : session };
    this.#requireMayMake(object, access);
    return object;
  }

  #requireMayMake({ attributes }: PaperObject, access: PaperAccess): void {
    if (attributes.PRIVATE === true && access.user !== "user") throw ckrError("CKR_USER_NOT_LOGGED_IN");
    if (attributes.TOKEN === true && !access.isReadWrite) throw ckrError("CKR_SESSION_READ_ONLY");
    if (attributes.TRUSTED === true && access.user !== "so") throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
  }

  /** C_SetAttributeValue: all of the template or nothing. */
  change(object: PaperObject, template: Attributes, access: PaperAccess): void {
    const { attributes } = object;
    if (attributes.MODIFIABLE === false) throw ckrError("CKR_ACTION_PROHIBITED");
    if (attributes.TOKEN === true && !access.isReadWrite) throw ckrError("CKR_SESSION_READ_ONLY");
    for (const [name, value] of attributeEntries(template)) {
      if (FIXED.includes(name) || name === "MODIFIABLE") throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
      this.#requireMayChange(attributes, name, value, access);
    }
    Object.assign(attributes, template);
  }

  #requireMayChange(
    attributes: Attributes,
    name: AttributeName,
    value: AttributeValue,
    access: PaperAccess,
  ): void {
    if (attributes[name] === undefined) throw ckrError("CKR_ATTRIBUTE_TYPE_INVALID");
    const isStuck = ONE_WAY[name] !== undefined && attributes[name] === ONE_WAY[name];
    if (isStuck && value !== attributes[name]) throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
    const mayTrust = access.user === "so" && this.#profile.attributes.trusted.value === "so-set";
    if (name === "TRUSTED" && value === true && !mayTrust) throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
  }

  /** C_CopyObject. */
  copy(object: PaperObject, template: Attributes, access: PaperAccess, session: number): PaperObject {
    if (object.attributes.COPYABLE === false) throw ckrError("CKR_ACTION_PROHIBITED");
    for (const [name, value] of attributeEntries(template)) {
      if (["TOKEN", "PRIVATE", "MODIFIABLE"].includes(name)) continue;
      if (FIXED.includes(name)) throw ckrError("CKR_ATTRIBUTE_READ_ONLY");
      this.#requireMayChange(object.attributes, name, value, access);
    }
    const attributes = { ...object.attributes, ...template };
    const copy = { ...object, attributes, session: attributes.TOKEN === true ? undefined : session };
    this.#requireMayMake(copy, access);
    return copy;
  }

  requireMayDestroy({ attributes }: PaperObject, access: PaperAccess): void {
    if (attributes.TOKEN === true && !access.isReadWrite) throw ckrError("CKR_SESSION_READ_ONLY");
    if (attributes.DESTROYABLE === false) throw ckrError("CKR_ACTION_PROHIBITED");
  }
}

/** Private objects are the user's alone. */
export function isVisible({ attributes }: PaperObject, access: PaperAccess): boolean {
  return attributes.PRIVATE !== true || access.user === "user";
}

export function matches({ attributes }: PaperObject, template: Attributes): boolean {
  return attributeEntries(template).every(([name, value]) => {
    const own = attributes[name];
    return own instanceof Uint8Array && value instanceof Uint8Array
      ? Buffer.compare(own, value) === 0
      : own === value;
  });
}

/** One attribute as C_GetAttributeValue gives it; numbers are CK_ULONG. */
export function attributeBytes({ attributes, secret }: PaperObject, type: number): Buffer {
  const name = attributeName(type);
  if (name === "VALUE" && secret) {
    if (attributes.SENSITIVE !== false || attributes.EXTRACTABLE !== true)
      throw ckrError("CKR_ATTRIBUTE_SENSITIVE");
    if (secret.kind === "rsa") throw ckrError("CKR_ATTRIBUTE_TYPE_INVALID");
    return Buffer.from(secret.value);
  }
  const value = name === undefined ? undefined : attributes[name];
  if (value === undefined) throw ckrError("CKR_ATTRIBUTE_TYPE_INVALID");
  if (typeof value === "boolean") return Buffer.of(value ? 1 : 0);
  if (typeof value === "string") return Buffer.from(value, "utf8");
  if (typeof value !== "number") return Buffer.from(value);
  const number = Buffer.alloc(8);
  number.writeUInt32LE(value);
  return number;
}

/** Has the key what an operation wants of it? */
export function requireUse(object: PaperObject, flag: AttributeName, keyType: keyof typeof KEY_TYPE): void {
  if (object.attributes.KEY_TYPE !== KEY_TYPE[keyType]) throw ckrError("CKR_KEY_TYPE_INCONSISTENT");
  if (object.attributes[flag] !== true) throw ckrError("CKR_KEY_FUNCTION_NOT_PERMITTED");
}

/**
 * The PKCS#11 attributes that Strongroom sets, checks or shows: number and kind of value, once.
 * Names are CKA_ names without the prefix.
 */
import { toHex } from "../base/bytes.ts";

type AttributeKind = "boolean" | "number" | "bytes" | "text";
export type AttributeValue = boolean | number | Uint8Array | string;

const TABLE = {
  CLASS: [0x0000, "number"],
  TOKEN: [0x0001, "boolean"],
  PRIVATE: [0x0002, "boolean"],
  LABEL: [0x0003, "text"],
  VALUE: [0x0011, "bytes"],
  TRUSTED: [0x0086, "boolean"],
  KEY_TYPE: [0x0100, "number"],
  ID: [0x0102, "bytes"],
  SENSITIVE: [0x0103, "boolean"],
  ENCRYPT: [0x0104, "boolean"],
  DECRYPT: [0x0105, "boolean"],
  WRAP: [0x0106, "boolean"],
  UNWRAP: [0x0107, "boolean"],
  SIGN: [0x0108, "boolean"],
  SIGN_RECOVER: [0x0109, "boolean"],
  VERIFY: [0x010a, "boolean"],
  VERIFY_RECOVER: [0x010b, "boolean"],
  DERIVE: [0x010c, "boolean"],
  MODULUS: [0x0120, "bytes"],
  MODULUS_BITS: [0x0121, "number"],
  PUBLIC_EXPONENT: [0x0122, "bytes"],
  VALUE_LEN: [0x0161, "number"],
  EXTRACTABLE: [0x0162, "boolean"],
  LOCAL: [0x0163, "boolean"],
  NEVER_EXTRACTABLE: [0x0164, "boolean"],
  ALWAYS_SENSITIVE: [0x0165, "boolean"],
  MODIFIABLE: [0x0170, "boolean"],
  COPYABLE: [0x0171, "boolean"],
  DESTROYABLE: [0x0172, "boolean"],
  EC_PARAMS: [0x0180, "bytes"],
  EC_POINT: [0x0181, "bytes"],
  WRAP_WITH_TRUSTED: [0x0210, "boolean"],
} as const;

export type AttributeName = keyof typeof TABLE;
/** Attributes by name: what a new object shall have, or what an object has. */
export type Template = { readonly [N in AttributeName]?: AttributeValue };

interface AttributeInfo {
  /** CKA number. */
  readonly type: number;
  readonly kind: AttributeKind;
}

/** Every attribute, by name. */
export const ATTRIBUTES: Readonly<Record<AttributeName, AttributeInfo>> = Object.freeze(
  Object.fromEntries(Object.entries(TABLE).map(([name, [type, kind]]) => [name, { type, kind }])),
) as Readonly<Record<AttributeName, AttributeInfo>>;

const NAMES: ReadonlyMap<number, AttributeName> = new Map(
  Object.entries(TABLE).map(([name, [type]]) => [type, name as AttributeName]),
);

/** @param type CKA number */
export const attributeName = (type: number): AttributeName | undefined => NAMES.get(type);

export const isAttributeName = (name: string): name is AttributeName => Object.hasOwn(TABLE, name);

/** The attributes of a template with their CKA numbers, in the form that pkcs11js takes. */
export function attributeList(
  template: Template,
): { type: number; value: boolean | number | string | Buffer }[] {
  return attributeEntries(template).map(([name, value]) => ({
    type: ATTRIBUTES[name].type,
    value: value instanceof Uint8Array ? Buffer.from(value) : value,
  }));
}

/** Name and value of each attribute of a template. */
export function attributeEntries(template: Template): [AttributeName, AttributeValue][] {
  return Object.entries(template).flatMap(([name, value]) =>
    isAttributeName(name) && value !== undefined ? [[name, value]] : [],
  );
}

/** CKO and CKK by name. */
export const OBJECT_CLASS = {
  data: 0,
  certificate: 1,
  "public key": 2,
  "private key": 3,
  "secret key": 4,
} as const;
export const KEY_TYPE = {
  RSA: 0x00,
  EC: 0x03,
  "generic secret": 0x10,
  AES: 0x1f,
  "EC edwards": 0x40,
} as const;

const nameIn = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(table).find(([, number]) => number === value)?.[0] ?? `0x${value.toString(16)}`;

/** A value as people read it: yes and no, class and key type by name, bytes in hex. */
export function showAttribute(name: AttributeName, value: AttributeValue | undefined): string {
  if (value === undefined) return "absent";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (value instanceof Uint8Array) return value.length === 0 ? "empty" : toHex(value);
  if (typeof value === "string") return value;
  if (name === "CLASS") return nameIn(OBJECT_CLASS, value);
  if (name === "KEY_TYPE") return nameIn(KEY_TYPE, value);
  return String(value);
}

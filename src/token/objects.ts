/** Attributes of objects as typed values, and where they differ from what is expected. */
import {
  ATTRIBUTES,
  type AttributeName,
  type AttributeValue,
  attributeEntries,
  isAttributeName,
  type Template,
} from "./attributes.ts";
import { isCkr } from "./ckr.ts";
import type { ObjectHandle, TokenSession } from "./session.ts";

/**
 * The value in the bytes that a module gave, undefined where they are not of the attribute's kind. CK_ULONG has
 * the machine's width and order; all ones is CK_UNAVAILABLE_INFORMATION.
 */
export function decodeAttribute(name: AttributeName, bytes: Buffer): AttributeValue | undefined {
  switch (ATTRIBUTES[name].kind) {
    case "boolean":
      return bytes.length === 1 ? bytes[0] !== 0 : undefined;
    case "number":
      if (bytes.length !== 4 && bytes.length !== 8) return undefined;
      if (bytes.every((byte) => byte === 0xff)) return undefined;
      return bytes.length === 4 ? bytes.readUInt32LE() : Number(bytes.readBigUInt64LE());
    case "text":
      return bytes.toString("utf8");
    case "bytes":
      return Uint8Array.from(bytes);
  }
}

/**
 * The attributes that the object has. They are read singly, because C_GetAttributeValue fails as a whole on
 * one that the module does not know; those that it does not know or tell are left out.
 */
export function readAttributes(
  session: TokenSession,
  object: ObjectHandle,
  names: readonly AttributeName[],
): Template {
  const found: { [N in AttributeName]?: AttributeValue } = {};
  for (const name of names) {
    try {
      const value = session.attribute(object, name);
      if (value !== undefined) found[name] = value;
    } catch (error) {
      if (!isCkr(error, "CKR_ATTRIBUTE_SENSITIVE", "CKR_ATTRIBUTE_VALUE_INVALID")) throw error;
    }
  }
  return found;
}

/** One attribute that is not as the table wants it. */
export interface Drift {
  readonly attribute: AttributeName;
  readonly expected: AttributeValue;
  /** Undefined where the object does not have or not tell it. */
  readonly actual: AttributeValue | undefined;
}

/** Where `actual` differs from `expected`; attributes that nobody expects are not looked at. */
export function driftOf(expected: Template, actual: Template): readonly Drift[] {
  return attributeEntries(expected).flatMap(([attribute, value]) =>
    sameValue(value, actual[attribute]) ? [] : [{ attribute, expected: value, actual: actual[attribute] }],
  );
}

function sameValue(a: AttributeValue, b: AttributeValue | undefined): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  return a === b;
}

/** The attribute names among the fields of a template, or of a table by attribute. */
export function namesOf(
  template: Readonly<Partial<Record<AttributeName, unknown>>>,
): readonly AttributeName[] {
  return Object.keys(template).filter(isAttributeName);
}

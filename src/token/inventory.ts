/**
 * Everything that is stored on a token: a read-only walk over the object model of graphene-pk11.
 *
 * graphene is given the binding that is loaded already, so it sees the initialisation and the login of the session that
 * it walks beside, and never makes or ends either. Loaded a second time, some libraries know of neither (p11-kit's).
 */
import { Module, SessionFlag, type SessionObject } from "graphene-pk11";
import { StrongroomError } from "../base/errors.ts";
import { ATTRIBUTES, type AttributeName, type AttributeValue, type Template } from "./attributes.ts";
import { ckrOf, tokenError } from "./ckr.ts";
import { decodeAttribute, namesOf } from "./objects.ts";
import type { TokenSession } from "./session.ts";

type Library = ConstructorParameters<typeof Module>[0];

/** An object on the token. */
export interface InventoryObject {
  readonly attributes: Template;
  /** CKA_LABEL, empty where it has none. */
  readonly label: string;
}

/** Values of keys are never asked for. */
const SHOWN: readonly AttributeName[] = namesOf(ATTRIBUTES).filter((name) => name !== "VALUE");

function readObject(object: SessionObject): InventoryObject {
  const attributes: { [N in AttributeName]?: AttributeValue } = {};
  for (const name of SHOWN) {
    try {
      const value = decodeAttribute(name, object.getAttribute(ATTRIBUTES[name].type));
      if (value !== undefined) attributes[name] = value;
    } catch (error) {
      // Most attributes exist for some classes only; anything that is not a return code is a bug.
      if (!ckrOf(error)) throw error;
    }
  }
  const { LABEL } = attributes;
  return { attributes, label: typeof LABEL === "string" ? LABEL : "" };
}

/** Every token object that the session's login lets one see, by label. @throws token-absent; token errors */
export function listObjects(session: TokenSession): readonly InventoryObject[] {
  try {
    const slots = new Module(session.module.binding as unknown as Library).getSlots(true);
    for (let i = 0; i < slots.length; i++) {
      const slot = slots.items(i);
      if (!slot.handle.equals(session.slot)) continue;
      const beside = slot.open(SessionFlag.SERIAL_SESSION | SessionFlag.RW_SESSION);
      try {
        const found = beside.find({ token: true });
        return Array.from({ length: found.length }, (_, at) => readObject(found.items(at))).sort((a, b) =>
          a.label < b.label ? -1 : a.label > b.label ? 1 : 0,
        );
      } finally {
        beside.close();
      }
    }
  } catch (error) {
    throw tokenError("inventory", error);
  }
  throw new StrongroomError("token-absent", "the token has gone");
}

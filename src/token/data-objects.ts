/**
 * Small values that a token keeps: data objects (CKO_DATA). An auditor's token keeps in one what it signed last, so
 * that a restored backup of the disk cannot make it forget that (design §10).
 */
import { equal } from "../base/bytes.ts";
import { OBJECT_CLASS } from "./attributes.ts";
import type { ObjectHandle, TokenSession } from "./session.ts";

interface DataObject {
  readonly handle: ObjectHandle;
  readonly value: Uint8Array;
}

/** The data objects with that label. One that was cut short by an accident has no value, and is left out. */
export function dataValues(session: TokenSession, label: string): readonly DataObject[] {
  return session
    .find({ CLASS: OBJECT_CLASS.data, TOKEN: true, LABEL: label })
    .flatMap((handle): DataObject[] => {
      const value = session.attribute(handle, "VALUE");
      return value instanceof Uint8Array && value.length > 0 ? [{ handle, value }] : [];
    });
}

/** Makes the new object before it destroys the old ones: setting CKA_VALUE in place could leave neither value. */
export function writeData(session: TokenSession, label: string, value: Uint8Array): void {
  const before = session.find({ CLASS: OBJECT_CLASS.data, TOKEN: true, LABEL: label });
  const same = dataValues(session, label).find((found) => equal(found.value, value));
  const keep =
    same?.handle ??
    session.createObject({
      CLASS: OBJECT_CLASS.data,
      TOKEN: true,
      PRIVATE: true,
      LABEL: label,
      VALUE: value,
      MODIFIABLE: false,
    });
  for (const handle of before) if (!handle.equals(keep)) session.destroy(handle);
}

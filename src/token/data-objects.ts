/**
 * Small values that a token keeps: data objects (CKO_DATA). An auditor's token keeps in one what it signed last, so
 * that a restored backup of the disk cannot make it forget that (design §10).
 */
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { OBJECT_CLASS, type Template } from "./attributes.ts";
import type { ObjectHandle, TokenSession } from "./session.ts";
import type { WriteDataStep } from "./token.ts";

interface DataObject {
  readonly handle: ObjectHandle;
  readonly value: Uint8Array;
}

const TOKEN_DATA: Template = { TOKEN: true };
/** Of the doctor, who leaves nothing on a token. */
export const SESSION_DATA: Template = { TOKEN: false };

/** The data objects with that label. One that was cut short by an accident has no value, and is left out. */
export function dataValues(
  session: TokenSession,
  label: string,
  where: Template = TOKEN_DATA,
): readonly DataObject[] {
  return session
    .find({ CLASS: OBJECT_CLASS.data, ...where, LABEL: label })
    .flatMap((handle): DataObject[] => {
      const value = session.attribute(handle, "VALUE");
      return value instanceof Uint8Array && value.length > 0 ? [{ handle, value }] : [];
    });
}

/**
 * Makes the new object before it destroys the old ones: setting CKA_VALUE in place could leave neither value. PKCS#11
 * has no compare-and-swap, but objects of others are seen: of two writers, the one whose object came later sees the
 * other's, and takes its own back.
 *
 * @throws conflict where there is another value than the expected ones
 */
export function writeData(
  session: TokenSession,
  { label, value, expected }: Pick<WriteDataStep, "label" | "value" | "expected">,
  where: Template = TOKEN_DATA,
): void {
  const found = (): readonly DataObject[] => dataValues(session, label, where);
  const isExpected = (one: Uint8Array): boolean => [value, ...expected].some((known) => equal(known, one));
  const isOwn = (one: Uint8Array): boolean => equal(value, one);
  if (found().some((one) => !isExpected(one.value))) throw conflict(label);
  const there = found().some((one) => isOwn(one.value));
  const made = there
    ? undefined
    : session.createObject({
        CLASS: OBJECT_CLASS.data,
        ...where,
        PRIVATE: true,
        LABEL: label,
        VALUE: value,
        MODIFIABLE: false,
      });
  if (found().some((one) => !isExpected(one.value))) {
    session.discard(made);
    throw conflict(label);
  }
  const [, ...twins] = found().filter((one) => isOwn(one.value));
  const old = found().filter((one) => !isOwn(one.value) && isExpected(one.value));
  for (const { handle } of [...old, ...twins]) session.destroy(handle);
  const left = found();
  if (left.length !== 1 || left.some((one) => !isOwn(one.value))) throw conflict(label);
}

function conflict(label: string): StrongroomError {
  return new StrongroomError("conflict", `somebody else writes ${label} on the token`, {
    hint: "two services use one token; stop one of them",
  });
}

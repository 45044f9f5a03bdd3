/** Finding the objects of a fleet on a token: exactly one where one is needed, and all under the fleet's prefix. */
import { StrongroomError } from "../base/errors.ts";
import { OBJECT_CLASS } from "../token/attributes.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import { type KeySpec, ROLES } from "./roles.ts";

/** The object that holds the secret of a key. */
export function secretPart(spec: KeySpec): keyof typeof OBJECT_CLASS {
  const { type } = ROLES[spec.role];
  return type === "ec-p256" || type === "rsa-3072" ? "private key" : "secret key";
}

/** @throws key-missing, key-drift (several) */
export function theObject(
  session: TokenSession,
  part: keyof typeof OBJECT_CLASS,
  label: string,
): ObjectHandle {
  const found = session.find({ CLASS: OBJECT_CLASS[part], TOKEN: true, LABEL: label });
  const [object, other] = found;
  if (!object) {
    session.requirePresent();
    throw new StrongroomError("key-missing", `the token has no ${part} ${label}`, {
      hint: "the steps of a distribution have an order; `strongroom fleet init` goes through all of it",
      details: { label },
    });
  }
  if (other)
    throw new StrongroomError("key-drift", `the token has ${found.length} objects ${label}`, {
      hint: "`strongroom token inventory` lists them; only one may stay",
      details: { label },
    });
  return object;
}

/** Label and handle of every object of the fleet that this login can see. */
export function objectsOfFleet(
  session: TokenSession,
  fleet: string,
): readonly { readonly label: string; readonly object: ObjectHandle }[] {
  return session.find({ TOKEN: true }).flatMap((object) => {
    const label = session.attribute(object, "LABEL");
    return typeof label === "string" && label.startsWith(`strongroom/${fleet}/`) ? [{ label, object }] : [];
  });
}

/**
 * Destroys every object with one of the labels. They are looked for one by one, so that what a token is asked follows
 * from what shall go, and not from what else is there.
 * @returns the labels of those that were there
 */
export function destroyLabelled(session: TokenSession, labels: readonly string[]): readonly string[] {
  return labels.flatMap((label) => {
    const doomed = session.find({ TOKEN: true, LABEL: label });
    for (const object of doomed) session.destroy(object);
    return doomed.map(() => label);
  });
}

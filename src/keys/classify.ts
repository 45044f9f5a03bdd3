/** Which objects of a token belong to a fleet. */
import { OBJECT_CLASS } from "../token/attributes.ts";
import type { InventoryObject } from "../token/inventory.ts";
import { type Drift, driftOf } from "../token/objects.ts";
import type { KeySpec } from "./roles.ts";
import { type AttributeSupport, keyTemplates, type ObjectTemplate, type Stage } from "./templates.ts";

export interface Classified {
  readonly object: InventoryObject;
  /**
   * expected: a key of the fleet, as the table says. drift: one with other attributes. duplicate: one of several
   * for the same purpose. unexpected: nobody's.
   */
  readonly status: "expected" | "drift" | "duplicate" | "unexpected";
  readonly drift: readonly Drift[];
}

/** A key object of the fleet that is not on the token. */
export interface Missing {
  /** `private key`, `public key` or `secret key`. */
  readonly class: string;
  readonly label: string;
}

/**
 * Sorts every object into what belongs there and what does not, and says what is not there.
 * @param stage where each key stands; sealed from birth by default, as in a fleet of one
 */
export function classify(
  objects: readonly InventoryObject[],
  keys: readonly KeySpec[],
  support: AttributeSupport,
  stage: (key: KeySpec) => Stage = () => "sealed",
): { readonly classified: readonly Classified[]; readonly missing: readonly Missing[] } {
  const wanted = keys.flatMap((key) => {
    const templates = keyTemplates(key, stage(key), support);
    const parts: readonly ObjectTemplate[] =
      templates.kind === "secret" ? [templates.secret] : [templates.private, templates.public];
    return parts.map(({ expect }) => ({ label: key.label, expect }));
  });
  const same = (label: string, CLASS: unknown) => (object: InventoryObject) =>
    object.label === label && object.attributes.CLASS === CLASS;

  const classified = objects.map((object): Classified => {
    const { CLASS } = object.attributes;
    const want = wanted.find(({ label, expect }) => label === object.label && expect.CLASS === CLASS);
    if (!want) return { object, status: "unexpected", drift: [] };
    const drift = driftOf(want.expect, object.attributes);
    if (objects.filter(same(object.label, CLASS)).length > 1) return { object, status: "duplicate", drift };
    return { object, status: drift.length > 0 ? "drift" : "expected", drift };
  });
  const missing = wanted
    .filter(({ label, expect }) => !objects.some(same(label, expect.CLASS)))
    .map(({ label, expect }) => ({ class: className(expect.CLASS), label }));
  return { classified, missing };
}

function className(value: unknown): string {
  return Object.entries(OBJECT_CLASS).find(([, number]) => number === value)?.[0] ?? "object";
}

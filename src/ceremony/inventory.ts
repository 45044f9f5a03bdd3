/** Everything that a login sees on a token, without values: what a ceremony records before and after. */
import { toHex } from "../base/bytes.ts";
import { KEY_TYPE, OBJECT_CLASS, showAttribute } from "../token/attributes.ts";
import type { TokenSession } from "../token/session.ts";
import type { InventoryItem } from "./outputs.ts";

const KEYS: readonly number[] = [
  OBJECT_CLASS["public key"],
  OBJECT_CLASS["private key"],
  OBJECT_CLASS["secret key"],
];
const order = ({ label, class: kind }: InventoryItem): string => `${label} ${kind}`;

/** By label and class; the same questions for each object, in whatever order the token gives them. */
export function takeInventory(session: TokenSession): readonly InventoryItem[] {
  const items = session.find({ TOKEN: true }).map((object): InventoryItem => {
    const [label, kind] = [session.attribute(object, "LABEL"), session.attribute(object, "CLASS")];
    const isKey = typeof kind === "number" && KEYS.includes(kind);
    const type = isKey ? session.attribute(object, "KEY_TYPE") : undefined;
    const id = isKey ? session.attribute(object, "ID") : undefined;
    return {
      label: typeof label === "string" ? label : "",
      class: showAttribute("CLASS", kind),
      ...(type === undefined ? {} : { keyType: keyTypeName(type) }),
      ...(id instanceof Uint8Array && id.length > 0 ? { id: toHex(id) } : {}),
    };
  });
  return items.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

function keyTypeName(value: unknown): string {
  return Object.entries(KEY_TYPE).find(([, number]) => number === value)?.[0] ?? String(value);
}

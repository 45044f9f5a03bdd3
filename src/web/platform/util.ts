/** The page's build puts this in the place of node:util, of which judging evidence compares JSON values with one function. */

/** Of what JSON can say. */
export function isDeepStrictEqual(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [ours, theirs] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return (
    ours.size === theirs.size &&
    [...ours].every(([key, value]) => theirs.has(key) && isDeepStrictEqual(value, theirs.get(key)))
  );
}

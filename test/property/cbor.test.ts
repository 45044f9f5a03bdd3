/** Deterministic CBOR is that of RFC 8949 §4.2.1, whatever path of the library makes it. */
import { encode, rfc8949EncodeOptions } from "cborg";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import { decodeCbor, encodeCbor } from "../../src/wire/cbor.ts";

const bytes = fc.uint8Array({ maxLength: 40 });
const leaf = fc.oneof(bytes, fc.maxSafeInteger(), fc.string({ unit: "binary", maxLength: 30 }), fc.boolean());
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string({ unit: "binary", maxLength: 30 }), tie("value"), {
      maxKeys: 8,
      noNullPrototype: true,
    }),
  ),
}));

test("the library's fast path gives the bytes of its RFC 8949 path, and they decode to what went in", () => {
  fc.assert(
    fc.property(value, (one) => {
      const encoded = encodeCbor(one);
      expect(encoded).toEqual(encode(one, rfc8949EncodeOptions));
      expect(decodeCbor(encoded)).toEqual(one);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["keys out of order", "a2616201616102"],
  ["a longer key first", "a26261610161620261"],
  ["the same key twice", "a2616101616102"],
  ["an integer in too many bytes", "1800"],
  ["a float that is an integer", "f93c00"],
  ["bytes of indefinite length", "5f4101ff"],
  ["a map of indefinite length", "bf616101ff"],
  ["a byte after the end", "0000"],
  ["nothing", ""],
])("%s: refused", (_what, hex) => {
  let thrown: unknown;
  try {
    decodeCbor(Uint8Array.from(Buffer.from(hex, "hex")));
  } catch (error) {
    thrown = error;
  }
  expect(isStrongroomError(thrown, "decode-failed")).toBe(true);
});

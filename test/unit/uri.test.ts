/** RFC 7512 PKCS#11 URIs: what is taken, what is refused, and that formatting loses nothing. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import {
  describeTokenUri,
  formatTokenUri,
  matchesToken,
  parseTokenUri,
  type TokenUri,
} from "../../src/token/uri.ts";

function refusal(text: string): StrongroomError {
  try {
    parseTokenUri(text);
  } catch (error) {
    if (isStrongroomError(error, "uri-invalid")) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

test("path attributes match, query attributes configure", () => {
  expect(
    parseTokenUri(
      "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=ab12" +
        ";object=my-key;type=private;id=%69%95%3E%5C?module-path=/usr/lib/p11.so&pin-source=file:/etc/token_pin",
    ),
  ).toEqual({
    token: "The Software PKCS#11 Softtoken",
    manufacturer: "Snake Oil, Inc.",
    model: "1.0",
    serial: "ab12",
    object: "my-key",
    type: "private",
    id: Uint8Array.from([0x69, 0x95, 0x3e, 0x5c]),
    modulePath: "/usr/lib/p11.so",
    pinSource: "file:/etc/token_pin",
  });
  expect(parseTokenUri("pkcs11:")).toEqual({});
  expect(parseTokenUri("pkcs11:token=%C3%A9t%C3%A9").token).toBe("été");
});

test.each([
  ["not a PKCS#11 URI", "pkcs12:token=a"],
  ["upper-case scheme", "PKCS11:token=a"],
  ["slot-id", "pkcs11:slot-id=0"],
  ["slot-description", "pkcs11:slot-description=a"],
  ["slot-manufacturer", "pkcs11:slot-manufacturer=a"],
  ["library-version", "pkcs11:library-version=2"],
  ["module-name", "pkcs11:token=a?module-name=softhsm2"],
  ["unknown path attribute", "pkcs11:tocken=a"],
  ["unknown query attribute", "pkcs11:token=a?pin=1"],
  ["a name from Object.prototype", "pkcs11:constructor=a"],
  ["query attribute in the path", "pkcs11:module-path=/a.so"],
  ["path attribute in the query", "pkcs11:?token=a"],
  ["repeated attribute", "pkcs11:token=a;token=b"],
  ["empty value", "pkcs11:token="],
  ["no value", "pkcs11:token"],
  ["empty attribute", "pkcs11:token=a;;serial=1"],
  ["trailing semicolon", "pkcs11:token=a;"],
  ["space", "pkcs11:token=a b"],
  ["lone percent", "pkcs11:token=100%"],
  ["half a percent code", "pkcs11:token=%4"],
  ["percent without hex", "pkcs11:token=%zz"],
  ["raw non-ASCII", "pkcs11:token=é"],
  ["invalid UTF-8", "pkcs11:token=%FF"],
  ["NUL", "pkcs11:token=a%00b"],
  ["label longer than any token's", `pkcs11:token=${"a".repeat(33)}`],
  ["serial longer than any token's", `pkcs11:serial=${"1".repeat(17)}`],
  ["unknown object type", "pkcs11:type=secret"],
  ["relative module path", "pkcs11:token=a?module-path=softhsm.so"],
  ["relative PIN file", "pkcs11:token=a?pin-source=file:pin"],
  ["PIN from a command", "pkcs11:token=a?pin-source=%7Cecho%201234"],
  ["PIN from another host", "pkcs11:token=a?pin-source=file://host/pin"],
  ["PIN over the network", "pkcs11:token=a?pin-source=https://host/pin"],
])("refuses %s", (_, text) => {
  expect(refusal(text).hint).toBeTruthy();
});

test("a PIN in the URI is refused and not repeated", () => {
  const error = refusal("pkcs11:token=a?pin-value=geheim123");
  expect(`${error.message} ${error.hint}`).not.toContain("geheim123");
  expect(error.hint).toContain("pin-source");
});

test("formatting and parsing are inverse", () => {
  const text = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 8 })
    .filter((s) => !s.includes("\0") && !/\p{Surrogate}/u.test(s));
  const short = text.filter((s) => new TextEncoder().encode(s).length <= 16);
  const path = text.map((s) => `/${s.replace(/^\/+/, "x")}`);
  const uri: fc.Arbitrary<TokenUri> = fc.record(
    {
      token: short,
      manufacturer: short,
      serial: short,
      model: short,
      object: text,
      type: fc.constantFrom("cert", "data", "private", "public", "secret-key"),
      id: fc.uint8Array({ minLength: 1, maxLength: 20 }),
      modulePath: path,
      pinSource: path.map((p) => `file:${p}`),
      libraryParameters: text,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(uri, (value) => {
      expect(parseTokenUri(formatTokenUri(value))).toEqual(value);
    }),
  );
});

test("arbitrary text is parsed or refused with the typed error", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (rest) => {
      try {
        parseTokenUri(`pkcs11:${rest}`);
      } catch (error) {
        expect(isStrongroomError(error, "uri-invalid")).toBe(true);
      }
    }),
  );
});

test("the description names the token and nothing that configures", () => {
  const uri = parseTokenUri("pkcs11:token=a%3Bb?module-path=/m.so&pin-source=file:/pin");
  expect(describeTokenUri(uri)).toBe("pkcs11:token=a%3Bb");
  expect(formatTokenUri(uri)).toBe("pkcs11:token=a%3Bb?module-path=/m.so&pin-source=file:/pin");
  // opencryptoki's soft token has no serial number; `serial=` would be refused when it is read again.
  expect(formatTokenUri({ token: "a", serial: "" })).toBe("pkcs11:token=a");
});

test("a token matches when it has every attribute named", () => {
  const token = { label: "site-a", manufacturer: "SoftHSM project", serial: "00ff", model: "SoftHSM v2" };
  const matches = (text: string): boolean => matchesToken(parseTokenUri(text), token);
  expect(matches("pkcs11:")).toBe(true);
  expect(matches("pkcs11:token=site-a;serial=00ff")).toBe(true);
  expect(matches("pkcs11:token=site-a;serial=00fe")).toBe(false);
  expect(matches("pkcs11:token=site")).toBe(false);
  expect(matches("pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project")).toBe(true);
  expect(matches("pkcs11:manufacturer=other")).toBe(false);
});

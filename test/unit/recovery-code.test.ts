import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  generateRecoveryCode,
  parseNewRecoveryCode,
  parseRecoveryCode,
} from "../../src/client/recovery-code.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const invalid = expect.objectContaining({ code: "recovery-code-invalid" });

/** Any code that could be generated. */
const draw: fc.Arbitrary<Uint8Array> = fc
  .uint8Array({ minLength: 18, maxLength: 18 })
  .filter(([first = 0, second = 0]) => ALPHABET[first & 31] !== "S" || ALPHABET[second & 31] !== "R");
const generated: fc.Arbitrary<string> = draw.map((bytes) => generateRecoveryCode(() => bytes));
/** Where in `SR-XXXX-…` the n-th symbol stands. */
const place = (n: number): number => 3 + n + Math.floor(n / 4);
const replaceAt = (text: string, at: number, by: string): string =>
  text.slice(0, at) + by + text.slice(at + 1);

describe("generated codes", () => {
  test("have five groups of four, and 90 random bits", () => {
    expect(generateRecoveryCode()).toMatch(/^SR(?:-[0-9A-HJKMNP-TV-Z]{4}){5}$/);
    const ask: number[] = [];
    generateRecoveryCode((length) => {
      ask.push(length);
      return new Uint8Array(length);
    });
    expect(ask).toEqual([18]);
    fc.assert(
      fc.property(draw, (bytes) => {
        const data = generateRecoveryCode(() => bytes)
          .replaceAll("-", "")
          .slice(2, 20);
        expect([...data].map((symbol) => ALPHABET.indexOf(symbol))).toEqual(Array.from(bytes, (b) => b & 31));
      }),
    );
  });

  test("stay what they are, for codes that were written down long ago", () => {
    const bytes = Uint8Array.from({ length: 18 }, (_, i) => 7 * i + 3);
    expect(generateRecoveryCode(() => bytes)).toBe("SR-3AHR-Z6DM-V29G-QY5C-KTBF");
  });

  test("never begin like their own prefix", () => {
    const draws = [Uint8Array.of(25, 24, 1, 2), Uint8Array.of(25, 25, 1, 2)];
    expect(
      generateRecoveryCode((length) => {
        const bytes = new Uint8Array(length);
        bytes.set(draws.shift() ?? []);
        return bytes;
      }),
    ).toMatch(/^SR-SS12-/);
    expect(draws).toEqual([]);
    expect(ALPHABET[25]).toBe("S");
    expect(ALPHABET[24]).toBe("R");
  });

  test("are read as they were meant", () => {
    const messy = fc.record({
      code: generated,
      lower: fc.boolean(),
      prefix: fc.boolean(),
      separator: fc.constantFrom("", " ", "-", "  ", "–", ".", "- "),
      ohs: fc.boolean(),
      one: fc.constantFrom("1", "I", "l", "L", "i"),
    });
    fc.assert(
      fc.property(messy, ({ code, lower, prefix, separator, ohs, one }) => {
        let typed = code.slice(3).replaceAll("-", separator);
        if (ohs) typed = typed.replaceAll("0", "O");
        typed = typed.replaceAll("1", one);
        if (prefix) typed = `SR${separator}${typed}`;
        if (lower) typed = typed.toLowerCase();
        expect(parseRecoveryCode(` ${typed}\n`)).toEqual({ kind: "generated", text: code });
      }),
    );
  });

  test("with one or two wrong symbols are refused", () => {
    const change = fc.tuple(fc.nat(19), fc.integer({ min: 1, max: 31 }));
    fc.assert(
      fc.property(generated, fc.array(change, { minLength: 1, maxLength: 2 }), (code, changes) => {
        let typed = code;
        for (const [n, by] of changes) {
          const old = ALPHABET.indexOf(code[place(n)] ?? "");
          typed = replaceAt(typed, place(n), ALPHABET[(old + by) % 32] ?? "");
        }
        expect(() => parseRecoveryCode(typed)).toThrow(invalid);
      }),
      { numRuns: 2000 },
    );
  });

  test("with any single wrong symbol are refused, at every place", () => {
    const code = generateRecoveryCode();
    for (let n = 0; n < 20; n++)
      for (const symbol of ALPHABET.replace(code[place(n)] ?? "", ""))
        expect(() => parseRecoveryCode(replaceAt(code, place(n), symbol))).toThrow(invalid);
  });

  test("with two symbols swapped are refused", () => {
    fc.assert(
      fc.property(generated, fc.nat(19), fc.nat(19), (code, i, j) => {
        const [a, b] = [code[place(i)] ?? "", code[place(j)] ?? ""];
        fc.pre(a !== b);
        expect(() => parseRecoveryCode(replaceAt(replaceAt(code, place(i), b), place(j), a))).toThrow(
          invalid,
        );
      }),
    );
  });

  test("with a symbol too few or too many are refused", () => {
    fc.assert(
      fc.property(generated, fc.nat(19), fc.constantFrom(...ALPHABET), (code, n, extra) => {
        expect(() => parseRecoveryCode(code.slice(0, place(n)) + code.slice(place(n) + 1))).toThrow(invalid);
        expect(() => parseRecoveryCode(code.slice(0, place(n)) + extra + code.slice(place(n)))).toThrow(
          invalid,
        );
      }),
    );
  });

  test("never show up in the error", () => {
    const code = generateRecoveryCode();
    const typo = replaceAt(code, place(5), code[place(5)] === "7" ? "8" : "7");
    expect(() => parseRecoveryCode(typo)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(typo.slice(3, 12)) }),
    );
  });

  test("may be pasted with marks that nobody sees", () => {
    const code = generateRecoveryCode();
    const pasted = `\u200e${code.slice(0, 7)}\u00ad${code.slice(7)}\u200b\ufeff`;
    expect(parseRecoveryCode(pasted)).toEqual({ kind: "generated", text: code });
  });

  test("that are expected may come without the prefix, typo and all", () => {
    const bare = generateRecoveryCode().slice(3);
    const typo = replaceAt(bare, 0, bare[0] === "7" ? "8" : "7");
    expect(parseRecoveryCode(bare, "generated").kind).toBe("generated");
    expect(() => parseRecoveryCode(typo, "generated")).toThrow(invalid);
  });
});

describe("kinds", () => {
  test.each([
    ["493817", "pin"],
    [" 493817\n", "pin"],
    ["４９３８１７", "pin"],
    ["٤٩٣ ٨١٧", "pin"],
    ["49-3817", "password"],
    ["493  817", "password"],
    ["4938171", "password"],
    ["49381", "password"],
    ["correct horse battery", "password"],
    ["Sri Lanka 2019", "password"],
    ["srsly?!", "password"],
    ["Sr. Maria wears 2 hats", "password"],
  ])("%j is a %s", (text, kind) => {
    expect(parseRecoveryCode(text).kind).toBe(kind);
  });

  test("reading is stable: what was read reads as itself", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
        fc.pre(text.normalize("NFKC").trim() !== "");
        let code: ReturnType<typeof parseRecoveryCode>;
        try {
          code = parseRecoveryCode(text);
        } catch {
          return; // "SR-" and a typo
        }
        expect(parseRecoveryCode(code.text)).toEqual(code);
        expect(parseRecoveryCode(code.text, code.kind)).toEqual(code);
      }),
    );
  });

  test("two ways to type one password are one password", () => {
    expect(parseRecoveryCode("cafe\u0301 Ａ1 ﬁn")).toEqual(parseRecoveryCode("caf\u00e9 A1 fin "));
  });

  test.each([
    "007342",
    "007 342",
    "007-342",
    "٠٠٧٣٤٢",
    "۰۰۷۳۴۲",
    "००७३४२",
    "\u{1d7ce}\u{1d7d8}7\u{1d7e5}４２",
  ])("a PIN keeps its zeros, whatever keyboard types it: %s", (typed) => {
    expect(parseRecoveryCode(typed)).toEqual({ kind: "pin", text: "007342" });
  });

  test("another kind than the expected one is refused", () => {
    expect(() => parseRecoveryCode("12345", "pin")).toThrow(invalid);
    expect(() => parseRecoveryCode("493817", "password")).toThrow(invalid);
    expect(() => parseRecoveryCode(generateRecoveryCode(), "password")).toThrow(invalid);
    expect(() => parseRecoveryCode("some other words", "generated")).toThrow(invalid);
    expect(() => parseRecoveryCode("  ")).toThrow(invalid);
  });
});

describe("new codes", () => {
  const assess = (text: string): readonly string[] => parseNewRecoveryCode(text).warnings;

  test.each([
    "short7!",
    "aaaaaaaaaaaa",
    "abababababab",
    "password123",
    "Password123",
    "123456789",
    "qwertyuiop",
    "abcdefghijklm",
    "987654321098",
    "with a \u0007 bell in it",
    "a lone \ud800 surrogate",
    "private \ue000 use area",
  ])("%j is below the floor", (password) => {
    expect(() => assess(password)).toThrow(invalid);
  });

  test.each(["tram lamp river", "Grüße aus Köln", "x7!kQ9#z", "日本語の長い合言葉", "4938175520"])(
    "%j is accepted",
    (password) => {
      expect(assess(password)).toEqual([]);
    },
  );

  test.each([
    "000000",
    "123456",
    "654321",
    "121212",
    "777777",
    "010190",
    "311299",
    "199012",
    "246802",
    "123123",
  ])("PIN %s is among the first to be tried", (pin) => {
    expect(assess(pin)).toEqual([expect.stringContaining("first")]);
  });

  test("other PINs come with the limit they rest on, generated codes with nothing", () => {
    expect(assess("493817")).toEqual([expect.stringContaining("limit")]);
    expect(assess(generateRecoveryCode())).toEqual([]);
  });
});

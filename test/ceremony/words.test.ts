/** SOURCE of the vectors: github.com/trezor/python-mnemonic, vectors.json (BIP 39), 32 bytes of entropy. */
import { sha256 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex } from "../../src/base/bytes.ts";
import { fingerprintWords, wordsOf } from "../../src/ceremony/words.ts";

describe("words of a SHA-256", () => {
  test.each([
    ["00".repeat(32), `${"abandon ".repeat(23)}art`],
    ["ff".repeat(32), `${"zoo ".repeat(23)}vote`],
    [
      "80".repeat(32),
      `${"letter advice cage absurd amount doctor acoustic avoid ".repeat(2)}letter advice cage absurd amount doctor acoustic bless`,
    ],
    [
      "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c",
      "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length",
    ],
  ])("%s", (hex, words) => {
    expect(wordsOf(fromHex(hex))).toBe(words);
    expect(wordsOf(fromHex(hex), 12)).toBe(words.split(" ").slice(0, 12).join(" "));
  });

  test("of a public key are the first twelve of its hash", () => {
    const key = new Uint8Array(65).fill(4);
    expect(fingerprintWords(key)).toBe(wordsOf(sha256(key)).split(" ").slice(0, 12).join(" "));
  });

  test("differ for keys that differ in one bit", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 65 }), fc.nat(7), (key, bit) => {
        const other = key.with(0, (key[0] ?? 0) ^ (1 << bit));
        return fingerprintWords(key) !== fingerprintWords(other);
      }),
    );
  });

  test("are made of a SHA-256 and nothing shorter", () => {
    expect(() => wordsOf(new Uint8Array(16))).toThrow(expect.objectContaining({ code: "internal" }));
  });
});

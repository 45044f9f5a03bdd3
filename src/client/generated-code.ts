/**
 * Generated recovery codes: `SR-XXXX-XXXX-XXXX-XXXX-XXXX`, Crockford's base32 without the letters that are easily
 * misread. 18 random symbols (90 bits) and 2 check symbols.
 *
 * The 20 symbols are a word of a Reed-Solomon code over GF(32) of distance 3, so every mistake in one or two
 * symbols is noticed, and with them every two symbols that changed places. A typo is told before an attempt is spent.
 */
import { type RandomBytes, systemRandom } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX = "SR";
const SYMBOLS = 20;
const CHECKS = 2;
const GROUP = 4;

/** Powers of α in GF(32) = GF(2)[α] / (α⁵ + α² + 1), in which α generates all 31 non-zero elements. */
const POWERS: readonly number[] = (() => {
  const powers = [1];
  for (let i = 1; i < 31; i++) {
    const doubled = (powers[i - 1] ?? 0) << 1;
    powers.push(doubled & 32 ? doubled ^ 0b100101 : doubled);
  }
  return powers;
})();

function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0;
  return POWERS[(POWERS.indexOf(a) + POWERS.indexOf(b)) % 31] ?? 0;
}

/** The value of the polynomial whose coefficients, highest first, are the symbols. */
function evaluate(symbols: readonly number[], at: number): number {
  return symbols.reduce((sum, symbol) => multiply(sum, at) ^ symbol, 0);
}

const ALPHA = POWERS[1] ?? 0;
const ALPHA_SQUARED = POWERS[2] ?? 0;

/** A code word has the roots α and α². */
function isCodeWord(symbols: readonly number[]): boolean {
  return evaluate(symbols, ALPHA) === 0 && evaluate(symbols, ALPHA_SQUARED) === 0;
}

/** Appends the two symbols that make `data` a code word: the remainder of data·x² by (x−α)(x−α²). */
function withChecks(data: readonly number[]): readonly number[] {
  const middle = ALPHA ^ ALPHA_SQUARED;
  const last = multiply(ALPHA, ALPHA_SQUARED);
  let [high, low] = [0, 0];
  for (const symbol of data) {
    const factor = symbol ^ high;
    high = low ^ multiply(factor, middle);
    low = multiply(factor, last);
  }
  return [...data, high, low];
}

function letters(symbols: readonly number[]): string {
  return symbols.map((symbol) => ALPHABET[symbol] ?? "").join("");
}
function groups(text: string): readonly string[] {
  return text.match(new RegExp(`.{${GROUP}}`, "g")) ?? [];
}

/** What people type and paste instead: lower case, O for 0, I and L for 1, any spaces, dashes, dots, invisible marks. */
function compact(text: string): string {
  return text
    .normalize("NFKC")
    .replace(/[\s.\p{Pd}\p{Cf}]/gu, "")
    .toUpperCase();
}
/** −1 stands for a letter that is none of the alphabet's. */
function read(text: string): { readonly prefixed: boolean; readonly symbols: readonly number[] } {
  const typed = compact(text);
  const prefixed = typed.startsWith(PREFIX);
  const body = (prefixed ? typed.slice(PREFIX.length) : typed).replaceAll("O", "0").replace(/[IL]/g, "1");
  return { prefixed, symbols: [...body].map((letter) => ALPHABET.indexOf(letter)) };
}

/** A new code of 90 bits. Show it once. */
export function generateRecoveryCode(random: RandomBytes = systemRandom): string {
  for (;;) {
    // 256 is a multiple of 32, so the low five bits of a random byte are uniform.
    const code = withChecks(Array.from(random(SYMBOLS - CHECKS), (byte) => byte & 31));
    // One in a thousand begins like the prefix, and typed without it could be read in two ways.
    if (!letters(code).startsWith(PREFIX)) return [PREFIX, ...groups(letters(code))].join("-");
  }
}

/**
 * Whether a text means to be a generated code: by its prefix, a few letters lost or doubled or not, or, where the
 * prefix was left out, by being a code word. It depends on the text alone, so registration and recovery agree.
 */
export function looksGenerated(text: string): boolean {
  if (/^\s*sr\s*\p{Pd}/iu.test(text.normalize("NFKC"))) return true;
  const { prefixed, symbols } = read(text);
  if (symbols.includes(-1)) return false;
  return prefixed
    ? Math.abs(symbols.length - SYMBOLS) <= 2
    : symbols.length === SYMBOLS && isCodeWord(symbols);
}

/**
 * The one spelling of a generated code, whatever was typed.
 *
 * @throws recovery-code-invalid for a typo; the message never repeats what was typed
 */
export function parseGeneratedCode(text: string): string {
  const { symbols } = read(text);
  const invalid = (problem: string): StrongroomError =>
    new StrongroomError("recovery-code-invalid", `the recovery code ${problem}`, {
      hint: "compare it with what you wrote down; no attempt was spent",
    });
  if (symbols.includes(-1)) throw invalid("contains a character that codes never contain");
  if (symbols.length !== SYMBOLS)
    throw invalid(`has ${symbols.length} characters after ${PREFIX} instead of ${SYMBOLS}`);
  if (!isCodeWord(symbols)) throw invalid("has a typo: its check characters do not match");
  return [PREFIX, ...groups(letters(symbols))].join("-");
}

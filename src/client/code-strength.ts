/**
 * What a new recovery code must at least be. The vault allows a handful of attempts in all, so the floor keeps out
 * what is guessed within them. It is not a promise about somebody who has broken into the whole fleet and guesses
 * offline: against that only a generated code stands.
 */
import { StrongroomError } from "../base/errors.ts";

const MIN_PASSWORD_CHARACTERS = 8;
const MIN_DIFFERENT_CHARACTERS = 5;

/** The start of every list of leaked passwords, as far as length alone does not refuse it. */
const COMMON: ReadonlySet<string> = new Set(
  `password passw0rd p@ssw0rd p@ssword password1 password12 password123 password1! passwort passwort1 iloveyou
  iloveyou1 sunshine sunshine1 princess princess1 football football1 baseball superman trustno1 whatever
  starwars computer michelle jennifer qwerty123 qwerty12345 1q2w3e4r 1q2w3e4r5t 1qaz2wsx zaq12wsx q1w2e3r4
  qwertyuiop asdfghjkl letmein1 letmein123 welcome1 welcome123 admin123 administrator changeme abcd1234 abc12345
  a1b2c3d4 liverpool internet samsung1 charlie1 dragon123 monkey123 master123 shadow123 strongroom`.split(
    /\s+/,
  ),
);

/** Rows of keys and of the alphabet, along which lazy fingers walk. */
const ROWS = [
  "01234567890",
  "abcdefghijklmnopqrstuvwxyz",
  "qwertyuiop",
  "qwertzuiop",
  "asdfghjkl",
  "zxcvbnm",
];

/** How many characters are left if every walk of three and more along a row, either way, counts as one. */
function effectiveLength(password: string): number {
  const text = password.toLowerCase();
  const rows = [...ROWS, ...ROWS.map((row) => [...row].reverse().join(""))];
  let length = 0;
  for (let at = 0; at < text.length; length++) {
    const walk = Math.max(...rows.map((row) => walkLength(text, at, row)));
    at += walk >= 3 ? walk : 1;
  }
  return length;
}
function walkLength(text: string, at: number, row: string): number {
  const start = row.indexOf(text[at] ?? "\n");
  if (start < 0) return 0;
  let length = 0;
  while (length < row.length - start && text[at + length] === row[start + length]) length++;
  return length;
}

function tooWeak(problem: string): StrongroomError {
  return new StrongroomError("recovery-code-invalid", `this password is too weak: ${problem}`, {
    hint: "take a longer one, several words for instance, or let a code be generated",
  });
}

/** @throws recovery-code-invalid for a password below the floor; `password` is normalised */
export function checkNewPassword(password: string): void {
  // A character without a meaning yet may be normalised differently by the next phone's software.
  if (/[\p{Cc}\p{Cs}\p{Cn}\p{Co}]/u.test(password))
    throw tooWeak("it contains characters that not every device knows");
  const characters = [...password];
  if (characters.length < MIN_PASSWORD_CHARACTERS)
    throw tooWeak(`it has fewer than ${MIN_PASSWORD_CHARACTERS} characters`);
  if (new Set(characters).size < MIN_DIFFERENT_CHARACTERS)
    throw tooWeak(`it has fewer than ${MIN_DIFFERENT_CHARACTERS} different characters`);
  if (COMMON.has(password.toLowerCase())) throw tooWeak("it is one of the first that anybody tries");
  if (effectiveLength(password) < MIN_DIFFERENT_CHARACTERS)
    throw tooWeak("it only walks along the keys or the alphabet");
}

const WEAK_PINS: ReadonlySet<string> = new Set(
  `123123 121212 112233 123321 101010 159753 147258 147852 258456 789456 159357 131313 232323 696969 420420
  314159 142857 246810 102030 112358 520520 007007 100200 123654 456123`.split(/\s+/),
);

function isWeakPin(pin: string): boolean {
  const digits = [...pin].map(Number);
  const steps = new Set(digits.slice(1).map((digit, i) => (digit - (digits[i] ?? 0) + 10) % 10));
  if (steps.size === 1) return true; // 000000, 123456, 864208
  if (pin.slice(0, 3) === pin.slice(3) || new Set(digits).size <= 2) return true;
  if (/^(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d$/.test(pin)) return true; // a day of birth
  return /^(?:19|20)\d{4}$/.test(pin) || WEAK_PINS.has(pin);
}

/** What to say of a new PIN: there is always something. */
export function pinWarnings(pin: string): readonly string[] {
  if (isWeakPin(pin)) return ["this PIN is among the first that anybody tries; take another one"];
  return ["a PIN of six digits is safe only as long as the fleet's limit on attempts holds"];
}

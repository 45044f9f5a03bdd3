/**
 * Recovery codes, of three kinds: a generated code, a PIN of six digits, an own password. The kind follows from the
 * text alone, so a person never has to say which one it is, and two spellings of one code mean the same code.
 */
import { StrongroomError } from "../base/errors.ts";
import { checkNewPassword, pinWarnings } from "./code-strength.ts";
import { looksGenerated, parseGeneratedCode } from "./generated-code.ts";

export { generateRecoveryCode } from "./generated-code.ts";

/** generated: `generateRecoveryCode`; pin: six digits; password: anything else. */
export type RecoveryCodeKind = "generated" | "pin" | "password";

export interface RecoveryCode {
  readonly kind: RecoveryCodeKind;
  /** What OPAQUE takes as the password. A secret. */
  readonly text: string;
}

export interface NewRecoveryCode extends RecoveryCode {
  /** What the person should hear before going on; empty where there is nothing to say. */
  readonly warnings: readonly string[];
}

/** Six digits of any script, as its keyboards type them, perhaps in two groups. No password is as short. */
const PIN = /^(\p{Nd}{3})[\s\p{Pd}.]?(\p{Nd}{3})$/u;

/** Unicode has each script's digits in a row, and begins every row with zero. */
function digitOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
  return String((code - zero) % 10);
}

/** The one spelling of a PIN, ASCII digits; undefined for anything else. */
function pinOf(text: string): string | undefined {
  const [, first, second] = PIN.exec(text) ?? [];
  return first && second ? [...first, ...second].map(digitOf).join("") : undefined;
}

/**
 * Unicode's compatibility form, without spaces at either end: what one keyboard types as `é` or full-width `Ａ`
 * and another composes otherwise must be the same password.
 */
function normalise(typed: string): string {
  return typed.normalize("NFKC").trim();
}

/**
 * Reads what a person typed.
 *
 * @param expected where the screen asks for one kind only; anything else is then refused, never reinterpreted
 * @throws recovery-code-invalid for an empty text, a generated code with a typo, or a code of another kind
 */
export function parseRecoveryCode(typed: string, expected?: RecoveryCodeKind): RecoveryCode {
  if (expected === "generated" || looksGenerated(typed)) {
    if (expected !== undefined && expected !== "generated") throw otherKind(expected);
    return { kind: "generated", text: parseGeneratedCode(typed) };
  }
  const text = normalise(typed);
  if (text === "") throw new StrongroomError("recovery-code-invalid", "the recovery code is empty");
  const pin = pinOf(text);
  const kind = pin === undefined ? "password" : "pin";
  if (expected !== undefined && expected !== kind) throw otherKind(expected);
  return { kind, text: pin ?? text };
}

/**
 * Reads a code for a registration: also refuses passwords below the floor. (At a recovery nothing but typing errors
 * is refused: what was registered once may always be tried.)
 *
 * @throws recovery-code-invalid as `parseRecoveryCode`, and for a password that is too weak
 */
export function parseNewRecoveryCode(typed: string, expected?: RecoveryCodeKind): NewRecoveryCode {
  const code = parseRecoveryCode(typed, expected);
  if (code.kind === "password") checkNewPassword(code.text);
  return { ...code, warnings: code.kind === "pin" ? pinWarnings(code.text) : [] };
}

function otherKind(expected: RecoveryCodeKind): StrongroomError {
  const what = {
    pin: "a PIN has exactly six digits",
    password: "this is a PIN or a generated code, not a password",
    generated: "this is not a generated code",
  };
  return new StrongroomError("recovery-code-invalid", what[expected]);
}

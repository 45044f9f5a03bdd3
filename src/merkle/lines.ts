/**
 * The text forms that C2SP's formats share: lines, decimal numbers, base64 (RFC 4648 §4, padded). Every value has one
 * spelling, so that nothing that was signed or proved can be written in a second way. Runs in browsers.
 */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { logInvalid } from "./fault.ts";

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Canonical, padded base64 only: no white space, no stray bits. @throws log-invalid (not-canonical) */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    if (toBase64(bytes) === text) return bytes;
  }
  throw logInvalid("not-canonical", "base64 that is not canonical");
}

/** A hash of 32 bytes as a line. @throws log-invalid (not-canonical) */
export function hashOf(line: string): Uint8Array {
  // Before decoding: an attacker's line may be long.
  if (line.length === 44) {
    const hash = fromBase64(line);
    if (hash.length === 32) return hash;
  }
  throw logInvalid("not-canonical", "not the base64 of 32 bytes");
}

/** ASCII decimal without leading zeros, at most 2^53 − 1. @throws log-invalid (not-canonical) */
export function decimalOf(text: string): number {
  const value = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw logInvalid("not-canonical", "not a canonical decimal number below 2^53");
}

/**
 * Well-formed Unicode without control characters but line ends, ending in one.
 * @throws log-invalid (not-canonical, too-large)
 */
export function requireText(text: string, limit: number, what: string): void {
  if (text.length > limit) throw logInvalid("too-large", `${what} of more than ${limit} characters`);
  if (!text.endsWith("\n")) throw logInvalid("not-canonical", `${what} does not end with a line end`);
  if (Array.from(text).some((character) => character < " " && character !== "\n"))
    throw logInvalid("not-canonical", `control characters in ${what}`);
  if (fromUtf8(utf8(text)) !== text) throw logInvalid("not-canonical", `${what} is not well-formed Unicode`);
}

/** @throws log-invalid (not-canonical) for bytes that are not UTF-8 */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw logInvalid("not-canonical", `${what} is not UTF-8`, cause);
  }
}

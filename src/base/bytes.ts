/** Byte strings: Uint8Array everywhere, validated encodings, constant-time comparison. Runs in browsers. */
import { StrongroomError } from "./errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Strict UTF-8 decoding. @throws decode-failed */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new StrongroomError("decode-failed", "not valid UTF-8", { cause });
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Equality in time that depends on the lengths only. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

/** Overwrites secrets that are no longer needed. */
export function wipe(...buffers: readonly Uint8Array[]): void {
  for (const buffer of buffers) buffer.fill(0);
}

/** Big-endian unsigned integer of `width` bytes (I2OSP of RFC 8017). @throws internal if it does not fit */
export function uintBE(value: number | bigint, width: number): Uint8Array {
  const out = new Uint8Array(width);
  let rest = BigInt(value);
  if (rest < 0n) throw new StrongroomError("internal", "negative integer");
  for (let i = width - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new StrongroomError("internal", `integer does not fit ${width} bytes`);
  return out;
}

/**
 * An unambiguous encoding of several byte strings: each preceded by its length (4 bytes, big endian).
 * Whatever is signed or MACed here goes through this, so that no two field lists share an encoding.
 */
export function framed(...fields: readonly (Uint8Array | string)[]): Uint8Array {
  return concat(
    ...fields.flatMap((field) => {
      const bytes = typeof field === "string" ? utf8(field) : field;
      return [uintBE(bytes.length, 4), bytes];
    }),
  );
}

export function toHex(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += byte.toString(16).padStart(2, "0");
  return out;
}

/** Lower-case hex of whole bytes only. @throws decode-failed */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new StrongroomError("decode-failed", "not lower-case hex");
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}

/** Base64 with the URL alphabet, without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Canonical unpadded base64url only: no other alphabet, no white space, no stray bits. @throws decode-failed */
export function fromBase64Url(text: string): Uint8Array {
  if (/^[A-Za-z0-9_-]*$/.test(text) && text.length % 4 !== 1) {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
    if (toBase64Url(bytes) === text) return bytes;
  }
  throw new StrongroomError("decode-failed", "not canonical base64url");
}

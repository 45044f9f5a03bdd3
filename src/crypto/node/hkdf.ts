/** HKDF with SHA-256 (RFC 5869) and what it is made of. Synchronous: `hkdfSync` costs three times as much. */
import { createHash, createHmac } from "node:crypto";
import { concat, wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { HASH_BYTES } from "../../wire/limits.ts";

/** A view of a Buffer of its own as the plain Uint8Array that the rest of the project speaks. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash("sha256");
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

export function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac("sha256", key);
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

/** HKDF-Extract (RFC 5869 §2.2); an empty salt is the zero salt. */
export function extract(salt: Uint8Array, ...ikm: readonly Uint8Array[]): Uint8Array {
  return hmac(salt, ...ikm);
}

/** HKDF-Expand (RFC 5869 §2.3), with `info` given in parts. */
export function expand(prk: Uint8Array, length: number, ...info: readonly Uint8Array[]): Uint8Array {
  const count = Math.ceil(length / HASH_BYTES);
  if (count > 255) throw new StrongroomError("internal", "HKDF-Expand: too long");
  const blocks: Uint8Array[] = [];
  let block: Uint8Array = new Uint8Array(0);
  for (let i = 1; i <= count; i++) {
    block = hmac(prk, block, ...info, Uint8Array.of(i));
    blocks.push(block);
  }
  const whole = concat(...blocks);
  const out = whole.slice(0, length);
  wipe(whole, ...blocks);
  return out;
}

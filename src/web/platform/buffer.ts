/**
 * Node's Buffer for the page, as far as the code that judges evidence uses it: the page's build puts it wherever that
 * code says `Buffer`. What it leaves out fails the build's tests, or throws.
 */

type Encoding = "utf8" | "hex" | "base64" | "base64url";

function binary(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** As Node does: what is no base64 is skipped, and a hex text ends at the first character that is none. */
function encoded(text: string, encoding: Encoding): Uint8Array {
  if (encoding === "utf8") return new TextEncoder().encode(text);
  if (encoding === "hex") {
    const pairs = /^(?:[0-9a-fA-F]{2})*/.exec(text)?.[0].match(/../g) ?? [];
    return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
  }
  const digits = text
    .replaceAll("-", "+")
    .replaceAll("_", "/")
    .replaceAll(/[^A-Za-z0-9+/]/g, "");
  return binary(atob(digits.length % 4 === 1 ? digits.slice(0, -1) : digits));
}

function decoded(bytes: Uint8Array, encoding: Encoding): string {
  if (encoding === "utf8") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (encoding === "hex") return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  const base64 = btoa(text);
  return encoding === "base64"
    ? base64
    : base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export class PageBuffer extends Uint8Array<ArrayBuffer> {
  constructor(size: number | ArrayBuffer, offset?: number, length?: number) {
    super(typeof size === "number" ? new ArrayBuffer(size) : size, offset, length);
  }
  #view(): DataView {
    return new DataView(this.buffer, this.byteOffset, this.byteLength);
  }
  override toString(encoding: Encoding = "utf8"): string {
    return decoded(this, encoding);
  }
  readUInt32LE(at = 0): number {
    return this.#view().getUint32(at, true);
  }
  readBigUInt64LE(at = 0): bigint {
    return this.#view().getBigUint64(at, true);
  }
  writeUInt32LE(value: number, at = 0): number {
    this.#view().setUint32(at, value, true);
    return at + 4;
  }
}

function copy(bytes: ArrayLike<number>): PageBuffer {
  const out = new PageBuffer(bytes.length);
  out.set(bytes);
  return out;
}

function from(text: string, encoding?: Encoding): PageBuffer;
function from(bytes: ArrayLike<number>): PageBuffer;
function from(buffer: ArrayBuffer, offset?: number, length?: number): PageBuffer;
function from(
  source: string | ArrayLike<number> | ArrayBuffer,
  second?: Encoding | number,
  length?: number,
): PageBuffer {
  if (typeof source === "string") return copy(encoded(source, typeof second === "string" ? second : "utf8"));
  // Of memory it is a view, of anything else a copy.
  if (source instanceof ArrayBuffer)
    return new PageBuffer(source, typeof second === "number" ? second : 0, length);
  return copy(source);
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return Math.sign(a.length - b.length);
}

function concat(parts: readonly Uint8Array[]): PageBuffer {
  const out = new PageBuffer(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The static side, which is not that of a Uint8Array. */
export const Buffer: {
  readonly from: typeof from;
  readonly compare: typeof compare;
  readonly concat: typeof concat;
  alloc(length: number, fill?: number): PageBuffer;
  allocUnsafe(length: number): PageBuffer;
  of(...bytes: readonly number[]): PageBuffer;
  isBuffer(value: unknown): boolean;
  byteLength(text: string): number;
} = {
  from,
  compare,
  concat,
  alloc: (length, fill = 0) => new PageBuffer(length).fill(fill),
  allocUnsafe: (length) => new PageBuffer(length),
  of: (...bytes) => copy(bytes),
  isBuffer: (value) => value instanceof PageBuffer,
  byteLength: (text) => new TextEncoder().encode(text).length,
};

/** Deterministic CBOR (RFC 8949 §4.2.1): one value, one encoding; any other encoding of it is refused. */
import { decode, encode } from "cborg";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

/**
 * cborg's default order of map keys is that of RFC 7049 §3.9, which differs from RFC 8949's only between keys of
 * different types. Keys here are text, and its own way to encode is more than twice as fast as with options.
 */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value);
}

/**
 * Decodes one deterministic CBOR item that fills `bytes`.
 *
 * Re-encoding and comparing is what makes "canonical" mean exactly what our encoder does, with no second
 * list of rules (key order, shortest integers, no indefinite lengths) to keep in step.
 *
 * @throws decode-failed
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = decode(bytes, {
      strict: true,
      allowIndefinite: false,
      rejectDuplicateMapKeys: true,
      useMaps: false,
    });
    if (equal(encodeCbor(value), bytes)) return value;
  } catch (cause) {
    throw new StrongroomError("decode-failed", "not CBOR", { cause });
  }
  throw new StrongroomError("decode-failed", "not deterministic CBOR");
}

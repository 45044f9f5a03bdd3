/** Plaintexts in steps of PADDING_BYTES: whoever sees ciphertexts pass cannot tell operations apart by size. */
import { StrongroomError } from "../base/errors.ts";
import { PADDING_BYTES } from "./limits.ts";

/** ISO/IEC 7816-4 padding (80 00 …) to a multiple of PADDING_BYTES. */
export function pad(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil((message.length + 1) / PADDING_BYTES) * PADDING_BYTES);
  out.set(message);
  out[message.length] = 0x80;
  return out;
}

/** @throws decode-failed unless the padding is exactly what `pad` makes */
export function unpad(padded: Uint8Array): Uint8Array {
  let end = padded.length - 1;
  while (padded[end] === 0) end--;
  if (padded.length === 0 || padded.length % PADDING_BYTES !== 0 || padded[end] !== 0x80)
    throw new StrongroomError("decode-failed", "malformed padding");
  if (padded.length - end > PADDING_BYTES) throw new StrongroomError("decode-failed", "excess padding");
  return padded.slice(0, end);
}

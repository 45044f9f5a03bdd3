/** A copy in which bits of one byte are others. */
export function flipped(bytes: Uint8Array, at: number, bits = 1): Uint8Array {
  return Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ bits : byte));
}

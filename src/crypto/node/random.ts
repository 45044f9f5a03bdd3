/**
 * Random bytes in small pieces. A request draws a dozen of them (salts, nonces, a scalar, write ids), and a trip
 * into OpenSSL's generator costs as much for 16 bytes as for 4096; so they come from one buffer, which forgets what
 * it has given out.
 */
import { randomFillSync } from "node:crypto";
import type { RandomBytes } from "../../base/clock.ts";

const POOL_BYTES = 4096;
const MAX_PIECE_BYTES = 256;

const pool = new Uint8Array(POOL_BYTES);
let next = POOL_BYTES;

/** `length` fresh bytes in memory of their own. */
export const randomBytes: RandomBytes = (length) => {
  if (length > MAX_PIECE_BYTES) return randomFillSync(new Uint8Array(length));
  if (next + length > POOL_BYTES) {
    randomFillSync(pool);
    next = 0;
  }
  const piece = pool.slice(next, next + length);
  pool.fill(0, next, next + length);
  next += length;
  return piece;
};

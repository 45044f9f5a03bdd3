/** So many requests per second and address after a burst, in bounded memory. */
import type { Clock } from "../base/clock.ts";

export interface RateLimiter {
  /** Takes one request; 0 if it may pass, else the whole seconds until the next one may. */
  readonly take: (address: string) => number;
}

/** Addresses that are remembered; one that is forgotten only starts with a full burst again. */
const REMEMBERED = 50_000;

/**
 * GCRA: one instant per address says when its bucket will be full again, so nothing has to be refilled and an
 * address whose instant has passed can be forgotten.
 */
export function createRateLimiter(options: {
  readonly perSecond: number;
  readonly burst: number;
  readonly clock: Clock;
  readonly remembered?: number;
}): RateLimiter {
  const interval = 1000 / options.perSecond;
  const tolerance = interval * (options.burst - 1);
  const remembered = options.remembered ?? REMEMBERED;
  /** Least recently seen first. */
  const fullAt = new Map<string, number>();
  return {
    take(address) {
      const now = options.clock.now();
      const at = Math.max(fullAt.get(address) ?? now, now);
      fullAt.delete(address);
      const wait = at - now - tolerance;
      fullAt.set(address, wait > 0 ? at : at + interval);
      if (fullAt.size > remembered) {
        const [oldest] = fullAt.keys();
        if (oldest !== undefined) fullAt.delete(oldest);
      }
      return wait > 0 ? Math.ceil(wait / 1000) : 0;
    },
  };
}

/** Requests that are worked on at once: so many places, and word when all are empty. */
import { StrongroomError } from "../base/errors.ts";

export interface Places {
  /** @throws unavailable where all are taken */
  check(): void;
  /** Takes one for the time of the work. */
  during<T>(work: () => Promise<T>): Promise<T>;
  taken(): number;
  /** Resolves when none is taken. */
  idle(): Promise<void>;
}

export function createPlaces(count: number): Places {
  let taken = 0;
  let whenIdle: (() => void)[] = [];
  return {
    check() {
      if (taken >= count)
        throw new StrongroomError("unavailable", "too many requests at once", { details: { retryAfter: 1 } });
    },
    async during(work) {
      taken++;
      try {
        return await work();
      } finally {
        taken--;
        if (taken === 0) {
          for (const resolve of whenIdle) resolve();
          whenIdle = [];
        }
      }
    },
    taken: () => taken,
    idle: () => (taken === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}

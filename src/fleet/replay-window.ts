/**
 * Accepts each counter once, in any order within a window (as RFC 4303 §3.4.3 does): many requests of a channel are
 * under way at once and overtake each other. What is older than the window is refused, used or not.
 */
export interface ReplayWindow {
  /** True, once, for a counter that is new. Only counters of authentic messages may come here. */
  accept(counter: number): boolean;
}

const WORD = 32;

/** @param size counters that are remembered, a multiple of 32 @param counters are integers from 1 */
export function createReplayWindow(size: number): ReplayWindow {
  /** One bit for each of the last `size` counters, at counter mod size. */
  const used = new Uint32Array(size / WORD);
  let highest = 0;
  const wordOf = (counter: number): number => Math.floor((counter % size) / WORD);
  const bitOf = (counter: number): number => 1 << (counter % WORD);

  function advance(counter: number): void {
    if (counter - highest >= size) used.fill(0);
    else
      for (let skipped = highest + 1; skipped <= counter; skipped++)
        used[wordOf(skipped)] = (used[wordOf(skipped)] ?? 0) & ~bitOf(skipped);
    highest = counter;
  }

  return {
    accept(counter) {
      if (counter < 1 || counter <= highest - size) return false;
      if (counter > highest) advance(counter);
      const word = used[wordOf(counter)] ?? 0;
      if ((word & bitOf(counter)) !== 0) return false;
      used[wordOf(counter)] = word | bitOf(counter);
      return true;
    },
  };
}

/** A phase of load: the same operation over and over, as many at once as are asked for, and how long each took. */

/** Enough to keep every token worker of a site busy while answers are on their way. */
const CONCURRENCY = 32;

/** Latencies in milliseconds. */
export interface Phase {
  readonly perSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly count: number;
}

export interface PhaseLength {
  readonly ms?: number;
  readonly count?: number;
  /** Operations in flight; 32 by default. */
  readonly concurrency?: number;
}

/** Keeps operations in flight until the time is up or the count is reached. Rejects with the first that fails. */
export async function load(run: (index: number) => Promise<void>, length: PhaseLength): Promise<Phase> {
  const latencies: number[] = [];
  const start = performance.now();
  let next = 0;
  const more = (): boolean =>
    length.count === undefined ? performance.now() - start < (length.ms ?? 0) : next < length.count;
  await Promise.all(
    Array.from({ length: length.concurrency ?? CONCURRENCY }, async () => {
      while (more()) {
        const began = performance.now();
        await run(next++);
        latencies.push(performance.now() - began);
      }
    }),
  );
  const elapsed = performance.now() - start;
  latencies.sort((a, b) => a - b);
  const at = (q: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
  return {
    perSecond: (latencies.length * 1_000) / elapsed,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    count: latencies.length,
  };
}

/** The element at an index that goes round and round. */
export function pick<T>(all: readonly T[], index: number): T {
  const one = all[index % all.length];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
}

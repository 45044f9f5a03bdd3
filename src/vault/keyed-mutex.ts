/** Work under one key waits for earlier work under that key. It saves wasted work; correctness never rests on it. */
export type Exclusively = <T>(key: string, work: () => Promise<T>) => Promise<T>;

export function keyedMutex(): Exclusively {
  const last = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const turn = (last.get(key) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    last.set(key, settled);
    try {
      return await turn;
    } finally {
      if (last.get(key) === settled) last.delete(key);
    }
  };
}

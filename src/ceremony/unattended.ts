/** The people of a rehearsal and of test fleets: they find every value right, allow nothing to be erased, know no PIN. */
import type { StationHands } from "./hands.ts";

/** @param by who is said to have compared */
export function unattended(by: string): StationHands {
  return {
    compare: ({ words }) => Promise.resolve({ typed: words, by }),
    confirm: () => Promise.resolve({ typed: "", by }),
    pin: () => Promise.resolve(undefined),
    witness: () => Promise.resolve(""),
    exception: ({ expected, happened }) =>
      Promise.resolve({ expected, happened, decided: "nobody is here to decide: stop", by, goOn: false }),
    ready: () => Promise.resolve({ goOn: true, sheets: [] }),
  };
}

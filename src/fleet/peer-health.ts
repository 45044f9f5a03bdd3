/**
 * Whether a peer is worth asking, and how long it takes: what its last answers say. A peer that failed rests, longer
 * with every probe that fails too, and is live again with its next answer, whoever asked.
 */
import type { StrongroomError } from "../base/errors.ts";

export interface PeerHealth {
  live(): boolean;
  /** Moving average over its answers, milliseconds. */
  expectedMs(): number;
  /** Why it is not live; undefined where it is. */
  reason(): string | undefined;
  /** How long it should be left alone, milliseconds; 0 unless it failed. */
  restMs(): number;
  /** @param milliseconds how long it took; undefined for an answer that says nothing about that, such as a refusal */
  answered(milliseconds?: number): void;
  /** What it says about itself: a trouble that makes it useless although it answers, or none. */
  told(trouble: string | undefined): void;
  /** @param probe whether that was found out by a probe, which waits for the rest to end, or by a request */
  failed(milliseconds: number, error: StrongroomError, probe: boolean): void;
}

const REST_MS = { first: 1_000, longest: 10_000 } as const;
/** Weight of the newest answer: after ten, the ones before count for a tenth. */
const NEWEST = 0.2;
/** Before anything is known. */
const ASSUMED_MS = 50;

export function createPeerHealth(): PeerHealth {
  let average: number | undefined;
  let failures = 0;
  let failure: string | undefined;
  /** Until its first status it is not asked: its token may not be there. */
  let trouble: string | undefined = "not heard of yet";
  const observe = (milliseconds: number): void => {
    average = average === undefined ? milliseconds : average + NEWEST * (milliseconds - average);
  };
  const reason = (): string | undefined => failure ?? trouble;
  return {
    live: () => reason() === undefined,
    expectedMs: () => average ?? ASSUMED_MS,
    reason,
    restMs: () => (failures === 0 ? 0 : Math.min(REST_MS.longest, REST_MS.first * 2 ** (failures - 1))),
    answered(milliseconds) {
      if (milliseconds !== undefined) observe(milliseconds);
      failures = 0;
      failure = undefined;
    },
    told(said) {
      trouble = said;
    },
    failed(milliseconds, error, probe) {
      // A refused connection is quick, and the peer is none the quicker for it.
      observe(Math.max(milliseconds, average ?? 0));
      // Requests that fail together are one failure.
      if (failures === 0 || probe) failures++;
      failure = error.message;
    },
  };
}

/** Requests that may change something and are being worked on: a service that stops waits for them. */

const IDLE_POLL_MS = 20;

export interface WorkCount {
  readonly count: (change: 1 | -1) => void;
  readonly inFlight: () => number;
  /** Resolves when nothing is being worked on. */
  idle(): Promise<void>;
}

export function createWorkCount(): WorkCount {
  let working = 0;
  return {
    count: (change) => {
      working += change;
    },
    inFlight: () => working,
    async idle() {
      while (working > 0) await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
    },
  };
}

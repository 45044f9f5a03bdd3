/**
 * Destroys a record soon after its last attempt has failed, without waiting for the next request. Only a help: a
 * record whose timer a restart swept away is destroyed by the next recover-start or status.
 */
import { toHex } from "../base/bytes.ts";
import { COOKIE_LIFETIME_MS } from "../wire/limits.ts";

/** Past the end of the attempt, so that the record is overdue when the timer looks. */
const MARGIN_MS = 1_000;

export interface LastAttempts {
  /** Looks at `id` again when the attempt that was just counted is over. */
  watch(id: Uint8Array): void;
  close(): void;
}

export function watchLastAttempts(settle: (id: Uint8Array) => Promise<void>): LastAttempts {
  const timers = new Map<string, NodeJS.Timeout>();
  return {
    watch(id) {
      const key = toHex(id);
      clearTimeout(timers.get(key));
      const timer = setTimeout(() => {
        timers.delete(key);
        // A failure (store or token away) leaves the record to the next request that meets it.
        settle(id).catch(() => undefined);
      }, COOKIE_LIFETIME_MS + MARGIN_MS);
      timer.unref();
      timers.set(key, timer);
    },
    close() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}

/**
 * Envelopes that have been answered, for as long as the account token inside is good: whoever forwards requests can keep
 * them, and send them again in the account's name. The vault takes a repeated attempt for what it is only while that
 * attempt is the latest, so two kept ones that are sent in turn would use up an account's attempts.
 *
 * An envelope opens under one site's key, so that site's memory is all that there is to ask; a restart empties it.
 */
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { ACCOUNT_TOKEN_MEMORY_MS } from "../wire/limits.ts";
import type { Operation } from "../wire/messages.ts";

export interface SeenEnvelopes {
  /**
   * Only for what a good account token vouches for: strangers must not be able to fill the memory.
   * @param enc the KEM's encapsulated key, uncompressed: honest clients draw one for each envelope
   * @throws unavailable for one that was here before: an honest sender, whose answer was lost, seals anew
   */
  admit(operation: Operation, enc: Uint8Array): void;
}

/** What a repetition would do once more. Finishes are known by their cookies, and asking for a status changes nothing. */
const ONCE: readonly Operation[] = ["register-start", "recover-start", "delete"];

/** Of the x-coordinate: two envelopes of one sender that agree in it would take 2⁶⁴ tries, and gain nothing. */
const NAME = { start: 1, end: 17 } as const;

/** Each is remembered for as long as its account token is good, and at most twice as long. */
export function createSeenEnvelopes(clock: Clock): SeenEnvelopes {
  let recent = new Set<string>();
  let older = new Set<string>();
  let since = clock.now();

  /** A clock that was set back must neither end the memory early nor let it grow for ever. */
  function turn(now: number): void {
    if (now < since) since = now;
    if (now - since < ACCOUNT_TOKEN_MEMORY_MS) return;
    older = recent;
    recent = new Set();
    since = now;
  }

  return {
    admit(operation, enc) {
      if (!ONCE.includes(operation)) return;
      turn(clock.now());
      const name = Buffer.from(enc.subarray(NAME.start, NAME.end)).toString("latin1");
      if (recent.has(name) || older.has(name))
        throw new StrongroomError("unavailable", "this very envelope was here before", {
          details: { retryAfter: 1 },
        });
      recent.add(name);
    },
  };
}

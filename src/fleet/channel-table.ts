/**
 * The channels that peers have opened to this site, in bounded memory: a few for each peer (a new one does not end
 * requests of the one before), and the openings of the last minutes, so that none counts twice.
 */
import { toHex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { CHANNEL_LIFETIME_MS, SITE_CLOCK_SKEW_MS } from "../wire/limits.ts";
import type { ResponderEnd } from "./channel.ts";
import type { AcceptedChannel, Opener } from "./channel-opening.ts";

export interface OpenChannel {
  /** The name of the site at the other end. */
  readonly from: string;
  readonly end: ResponderEnd;
}

export interface ChannelTable {
  /**
   * @throws conflict for a channel that was opened before; rate-limited for a peer that opens more than it needs
   */
  readonly admit: (opener: Opener) => void;
  add(accepted: AcceptedChannel): void;
  /** @throws unknown-channel */
  find(channel: Uint8Array): OpenChannel;
}

const CHANNELS_PER_PEER = 4;
/** An honest peer opens two in a second at most, and openings are remembered for twice the clocks' difference. */
const OPENINGS_PER_PEER = 1_200;
/** For requests that were sealed before the initiator had its next channel. */
const GRACE_MS = 60_000;

interface Held extends OpenChannel {
  /** Milliseconds since the Unix epoch. */
  readonly until: number;
}

export function createChannelTable(clock: Clock): ChannelTable {
  /** By channel, oldest first. */
  const held = new Map<string, Held>();
  /** When each opening was issued, by peer and channel. */
  const seen = new Map<string, Map<string, number>>();

  function forgetOld(now: number): void {
    for (const [id, { until }] of held) if (now >= until) held.delete(id);
    // Older ones are refused by their time.
    for (const openings of seen.values())
      for (const [id, issuedAt] of openings) if (now - issuedAt > SITE_CLOCK_SKEW_MS) openings.delete(id);
  }

  return {
    admit({ from, channel, issuedAt }) {
      forgetOld(clock.now());
      const id = toHex(channel);
      // Peers choose these names; one must not take another's.
      if (held.has(id) || [...seen.values()].some((openings) => openings.has(id)))
        throw new StrongroomError("conflict", `${from.name} opened the channel before`);
      const openings = seen.get(from.name) ?? new Map<string, number>();
      if (openings.size >= OPENINGS_PER_PEER)
        throw new StrongroomError("rate-limited", `${from.name} opens too many channels`);
      seen.set(from.name, openings.set(id, issuedAt));
    },

    add({ from, channel, end }) {
      const own = [...held].filter(([, one]) => one.from === from.name);
      for (const [id] of own.slice(0, Math.max(0, own.length - CHANNELS_PER_PEER + 1))) held.delete(id);
      const until = clock.now() + CHANNEL_LIFETIME_MS + GRACE_MS;
      held.set(toHex(channel), { from: from.name, end, until });
    },

    find(channel) {
      const id = toHex(channel);
      const found = held.get(id);
      if (found && clock.now() < found.until) return found;
      throw new StrongroomError("unknown-channel", "no such channel");
    },
  };
}

/**
 * The way to one peer: its channel, opened when it is needed and renewed within the hour, and requests through it.
 *
 * Whoever stands between two sites can make requests fail and is believed nothing else. A plain `unknown-channel`,
 * which a peer says after a restart and anybody may forge, leads to one new opening and one repetition, and
 * openings of one peer keep a distance: a storm of forgeries costs the token two signatures a second.
 */
import type { Clock, RandomBytes } from "../base/clock.ts";
import { type ErrorCode, isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { Token } from "../token/token.ts";
import { CHANNEL_LIFETIME_MS } from "../wire/limits.ts";
import { decodeRefusal } from "../wire/site-frames.ts";
import {
  decodeSiteAnswer,
  encodeSiteRequest,
  type SiteAnswers,
  type SiteOperation,
  type SiteRequest,
} from "../wire/site-messages.ts";
import type { InitiatorEnd } from "./channel.ts";
import { openChannel } from "./channel-opening.ts";
import type { PeerHttp } from "./peer-http.ts";
import type { SiteKeys } from "./site-keys.ts";

export interface PeerLink {
  /**
   * @throws peer-unavailable for a connection, a channel or an answer that fails, and at the deadline; the peer's
   *   own codes (SiteCode); token errors of this site, whose signature an opening needs
   */
  call<R extends SiteRequest>(request: R, deadlineMs: number): Promise<SiteAnswers[R["op"]]>;
}

export interface PeerLinkOptions {
  readonly fleet: string;
  /** The name of this site. */
  readonly from: string;
  readonly to: SiteKeys;
  readonly token: Token;
  readonly http: PeerHttp;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly opened: () => void;
}

const NOT_OURS: readonly ErrorCode[] = ["decode-failed", "decrypt-failed", "expired"];
/** From the start of one opening to that of the next. */
const OPENINGS_APART_MS = 500;
const OPENING_MS = 3_000;
/** The next channel is opened while the old one serves. */
const RENEW_MS: number = CHANNEL_LIFETIME_MS - 300_000;
/** Requests under way; more are not even sealed. */
const IN_FLIGHT = 512;

/** The promise, or `late` at the end of the time, whichever comes first. */
async function within<T>(signal: AbortSignal, work: Promise<T>, late: () => StrongroomError): Promise<T> {
  if (signal.aborted) throw late();
  let stop: (() => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    stop = () => reject(late());
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    if (stop) signal.removeEventListener("abort", stop);
  }
}

export function createPeerLink(options: PeerLinkOptions): PeerLink {
  const { fleet, from, to, token, http, clock, random } = options;
  let channel: { readonly end: InitiatorEnd; readonly openedAt: number } | undefined;
  let opening: Promise<InitiatorEnd> | undefined;
  /** By a clock that does not jump. */
  let lastOpening = Number.NEGATIVE_INFINITY;
  let inFlight = 0;

  const unavailable = (message: string, cause?: unknown, reason?: string): StrongroomError =>
    new StrongroomError("peer-unavailable", `${to.name} ${message}`, {
      cause,
      ...(reason === undefined ? {} : { details: { reason } }),
    });

  async function sign(digest: Uint8Array): Promise<Uint8Array> {
    const [signature] = await token.run([{ op: "sign", key: "identity", digest }]);
    return signature;
  }

  async function open(): Promise<InitiatorEnd> {
    const since = performance.now() - lastOpening;
    if (since < OPENINGS_APART_MS) throw unavailable("was sent an opening a moment ago");
    lastOpening = performance.now();
    const pending = await openChannel({ fleet, from, to, sign, clock, random });
    const { status, body } = await http.post(pending.body, AbortSignal.timeout(OPENING_MS));
    if (status !== 200) {
      const reason = decodeRefusal(body) ?? `status-${status}`;
      const words = reason === "expired" ? "its clock and this site's differ by minutes" : reason;
      throw unavailable(`refuses a channel: ${words}`, undefined, reason);
    }
    try {
      const end = pending.confirm(body);
      channel = { end, openedAt: clock.now() };
      options.opened();
      return end;
    } catch (cause) {
      throw unavailable("does not confirm a channel", cause);
    }
  }

  /** One opening at a time; whoever needs it waits for the same one. */
  function opened(): Promise<InitiatorEnd> {
    opening ??= open().finally(() => {
      opening = undefined;
    });
    return opening;
  }

  async function current(): Promise<InitiatorEnd> {
    if (!channel) return opened();
    // A clock that was set back would make a channel eternal.
    const age = Math.abs(clock.now() - channel.openedAt);
    if (age >= CHANNEL_LIFETIME_MS) return opened();
    // Without luck, the next request tries again.
    if (age >= RENEW_MS) opened().catch(() => undefined);
    return channel.end;
  }

  async function exchange(plaintext: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    for (let again = false; ; again = true) {
      const end = await within(signal, current(), () => unavailable("opens no channel in time"));
      const request = end.seal(plaintext);
      let answer: Awaited<ReturnType<PeerHttp["post"]>>;
      try {
        answer = await http.post(request.body, signal);
      } catch (error) {
        if (!again && isStrongroomError(error) && error.details.stale === true) continue;
        throw error;
      }
      if (answer.status === 200) return request.openAnswer(answer.body);
      const reason = decodeRefusal(answer.body) ?? `status-${answer.status}`;
      if (reason === "unknown-channel" && channel?.end === end) channel = undefined;
      if (reason !== "unknown-channel" || again)
        throw unavailable(`refuses a request: ${reason}`, undefined, reason);
    }
  }

  /** What does not open is the peer's failure; errors of this site's token stay what they are. */
  function asPeers(error: unknown): unknown {
    // No counters are left.
    if (isStrongroomError(error, "expired")) channel = undefined;
    return isStrongroomError(error) && NOT_OURS.includes(error.code)
      ? unavailable("gives answers that do not open", error)
      : error;
  }

  return {
    async call(request, deadlineMs) {
      if (inFlight >= IN_FLIGHT) throw unavailable("has too many requests of this site under way");
      inFlight++;
      try {
        const op: (typeof request)["op"] & SiteOperation = request.op;
        const plaintext = encodeSiteRequest(request);
        const answer = decodeSiteAnswer(op, await exchange(plaintext, AbortSignal.timeout(deadlineMs)));
        if (!("error" in answer)) return answer;
        const { reason, retryAfter } = answer.details ?? {};
        throw new StrongroomError(answer.error, `${to.name} answers ${answer.error}`, {
          details: {
            ...(reason === undefined ? {} : { reason }),
            ...(retryAfter === undefined ? {} : { retryAfter }),
          },
        });
      } catch (error) {
        throw asPeers(error);
      } finally {
        inFlight--;
      }
    },
  };
}

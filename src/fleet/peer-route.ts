/**
 * What a site does with a body from another site (design §7), whatever brought it: openings make channels, requests
 * of a channel reach the site's service, and their answers go back sealed.
 *
 * Only the outermost troubles are told in the clear, by a code: whoever has no channel learns nothing else. Inside
 * one, a peer learns what concerns its request (SiteCode); the rest is for the log.
 */
import type { Clock, RandomBytes } from "../base/clock.ts";
import { ERROR_TRAITS, isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { Token } from "../token/token.ts";
import type { Manifest } from "../wire/manifest.ts";
import { encodeRefusal, frameKind, REFUSALS, type Refusal, splitMessage } from "../wire/site-frames.ts";
import {
  decodeSiteRequest,
  encodeSiteAnswer,
  SITE_CODES,
  type SiteAnswers,
  type SiteCode,
  type SiteError,
  type SiteOperation,
  type SiteRequest,
} from "../wire/site-messages.ts";
import { acceptChannel } from "./channel-opening.ts";
import { createChannelTable, type OpenChannel } from "./channel-table.ts";
import { ownKeys, siteKeys } from "./site-keys.ts";
import type { SiteService } from "./site-service.ts";

export interface PeerAnswer {
  /** An HTTP status; 200 exactly where the body is a frame. */
  readonly status: number;
  readonly body: Uint8Array;
  /** For the log: which site asked (where that is proved), what, and what went wrong. */
  readonly from?: string | undefined;
  readonly op?: SiteOperation | "open" | undefined;
  readonly error?: StrongroomError | undefined;
}

export interface PeerRoute {
  /** Never throws. */
  handle(body: Uint8Array): Promise<PeerAnswer>;
}

export interface PeerRouteOptions {
  readonly manifest: Manifest;
  /** The name of this site. */
  readonly self: string;
  readonly token: Token;
  readonly service: SiteService;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Requests of one peer that are worked on at once; 256 by default. More are told rate-limited. */
  readonly perPeer?: number | undefined;
}

/** Openings that may be in the token at once: strangers can send some that get as far. */
const OPENINGS_AT_ONCE = 8;
const PER_PEER = 256;
const MAX_DETAIL = 300;

/** The error's own code where it is one of `codes`; of any other only whose fault it is. */
function told<C extends SiteCode | Refusal>(
  codes: readonly C[],
  error: StrongroomError,
): C | "invalid-request" | "unavailable" {
  const own = codes.find((code) => code === error.code);
  return own ?? (error.wire === "invalid-request" ? "invalid-request" : "unavailable");
}

function siteError(error: StrongroomError): SiteError {
  const code = told(SITE_CODES, error);
  const { reason, retryAfter } = error.details;
  const details = {
    ...(typeof reason === "string" && /^[a-z0-9-]{1,40}$/.test(reason) ? { reason } : {}),
    ...(typeof retryAfter === "number" ? { retryAfter: Math.max(1, Math.ceil(retryAfter)) } : {}),
  };
  return { error: code, ...(Object.keys(details).length > 0 ? { details } : {}) };
}

function asOurs(error: unknown): StrongroomError {
  if (isStrongroomError(error)) return error;
  return new StrongroomError("internal", "unexpected error", { cause: error });
}

function refusal(error: StrongroomError): { status: number; body: Uint8Array } {
  const code = told(REFUSALS, error);
  return { status: ERROR_TRAITS[code].status, body: encodeRefusal(code) };
}

/** @throws manifest-invalid; config-invalid for a site that the manifest does not name */
export function createPeerRoute(options: PeerRouteOptions): PeerRoute {
  const { manifest, token, service, clock, random, perPeer = PER_PEER } = options;
  const sites = siteKeys(manifest);
  const self = ownKeys(sites, options.self);
  const channels = createChannelTable(clock);
  const inFlight = new Map<string, number>();
  let openings = 0;

  const ecdh = async (point: Uint8Array): Promise<Uint8Array> => {
    const [[x]] = await token.run([{ op: "ecdh", key: "session", points: [point] }]);
    if (!x) throw new StrongroomError("token-failed", "the token derived nothing");
    return x;
  };

  async function open(body: Uint8Array): Promise<PeerAnswer> {
    if (openings >= OPENINGS_AT_ONCE)
      throw new StrongroomError("rate-limited", "too many openings at once", { details: { retryAfter: 1 } });
    openings++;
    try {
      const { fleet } = manifest;
      const { admit } = channels;
      const accepted = await acceptChannel(body, { fleet, sites, self, ecdh, clock, random, admit });
      channels.add(accepted);
      return { status: 200, body: accepted.body, from: accepted.from.name, op: "open" };
    } finally {
      openings--;
    }
  }

  async function perform(request: SiteRequest): Promise<SiteAnswers[SiteOperation]> {
    switch (request.op) {
      case "create":
        return service.create(request);
      case "evaluate":
        return service.evaluate(request);
      case "announce":
        await service.announce(request);
        return {};
      case "status": {
        const status = await service.status();
        const brief = ({ ok, detail }: SiteAnswers["status"]["token"]) => ({
          ok,
          detail: detail.slice(0, MAX_DETAIL),
        });
        return { ...status, token: brief(status.token), store: brief(status.store) };
      }
    }
  }

  async function answer({ from, end }: OpenChannel, body: Uint8Array): Promise<PeerAnswer> {
    const opened = end.open(splitMessage("request", body));
    const underWay = inFlight.get(from) ?? 0;
    let op: SiteOperation | undefined;
    inFlight.set(from, underWay + 1);
    try {
      const request = decodeSiteRequest(opened.plaintext);
      op = request.op;
      if (underWay >= perPeer)
        throw new StrongroomError("rate-limited", `too many requests of ${from} at once`, {
          details: { retryAfter: 1 },
        });
      const answered = encodeSiteAnswer(await perform(request));
      return { status: 200, body: opened.sealAnswer(answered), from, op };
    } catch (thrown) {
      const error = asOurs(thrown);
      return { status: 200, body: opened.sealAnswer(encodeSiteAnswer(siteError(error))), from, op, error };
    } finally {
      inFlight.set(from, (inFlight.get(from) ?? 1) - 1);
    }
  }

  return {
    async handle(body) {
      try {
        if (frameKind(body) === "opening") return await open(body);
        return await answer(channels.find(splitMessage("request", body).channel), body);
      } catch (thrown) {
        const error = asOurs(thrown);
        return { ...refusal(error), error };
      }
    },
  };
}

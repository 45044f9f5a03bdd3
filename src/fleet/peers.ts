/**
 * The other sites of the fleet as this one reaches them: each as a SiteService, with what is known about its health.
 * Statuses are polled in the background, so that whoever shares out work knows before a user waits, and a peer that
 * was away is used again without anybody having to try.
 */
import type { Clock, RandomBytes } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { Token } from "../token/token.ts";
import type { SharePolicy } from "../vault/evaluator.ts";
import type { Manifest } from "../wire/manifest.ts";
import { SITE_CODES, type SiteAnswers, type SiteOperation, type SiteRequest } from "../wire/site-messages.ts";
import { createPeerHealth } from "./peer-health.ts";
import { createPeerHttp, type PeerTls } from "./peer-http.ts";
import { createPeerLink } from "./peer-link.ts";
import { ownKeys, type SiteKeys, siteKeys } from "./site-keys.ts";
import type { SiteService, SiteStatus } from "./site-service.ts";

/** What is known about a peer, for readiness and `fleet status`. */
export interface PeerReport {
  readonly site: string;
  readonly live: boolean;
  /** Why it is not live. */
  readonly reason?: string | undefined;
  readonly expectedMs: number;
  /** Its last status, however old. */
  readonly status?: SiteStatus | undefined;
}

export interface PeerHandle {
  readonly site: string;
  /** Calls are tried whatever `live` says; they throw peer-unavailable, or what the peer answered. */
  readonly service: SiteService;
  live(): boolean;
  /** How long an answer takes at present, milliseconds. */
  expectedMs(): number;
  report(): PeerReport;
}

export interface Peers {
  /** By the site's place in the manifest; this site is not among them. */
  readonly handles: ReadonlyMap<number, PeerHandle>;
  /** Resolves when every peer has been asked for its status once, whether it answered or not. */
  readonly asked: Promise<void>;
  /** Ends polling and connections. */
  close(): void;
}

/** Called as things happen; no value is ever secret. */
export interface PeerObserver {
  event?(
    name: "peer-live" | "peer-rests" | "channel-opened",
    fields: { readonly site: string; readonly reason?: string },
  ): void;
  /** @param outcome `ok` or an error code */
  call?(site: string, op: SiteOperation, outcome: string, seconds: number): void;
}

export interface PeersOptions {
  readonly manifest: Manifest;
  /** The name of this site. */
  readonly self: string;
  readonly token: Token;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Where peers are reached, by site; the manifest's URL by default. */
  readonly urls?: Readonly<Record<string, string>> | undefined;
  readonly tls?: PeerTls | undefined;
  /** Milliseconds for a request, an opening and a repetition included; 3,000 by default. */
  readonly callMs?: number | undefined;
  /** Milliseconds between two statuses; 2,000 by default. */
  readonly pollMs?: number | undefined;
  readonly observe?: PeerObserver | undefined;
}

const CALL_MS = 3_000;
const POLL_MS = 2_000;
/** A status is quick, or of no use. */
const STATUS_MS = 1_500;
/** After an answer that says "not now", the status tells whether that is so for everybody. */
const SOON_MS = 100;

/** Only the named fields travel: the other side refuses what it does not know. */
function policyOf({ recordId, generation, receiptPublicKey, maxAttempts }: SharePolicy): SharePolicy {
  return { recordId, generation, receiptPublicKey, maxAttempts };
}

interface Peer extends PeerHandle {
  readonly asked: Promise<void>;
  close(): void;
}

function createPeer(to: SiteKeys, options: PeersOptions): Peer {
  const { manifest, self: from, token, clock, random, observe = {}, callMs = CALL_MS } = options;
  const { pollMs = POLL_MS } = options;
  const site = to.name;
  const http = createPeerHttp(site, options.urls?.[site] ?? to.url, options.tls);
  const opened = (): void => observe.event?.("channel-opened", { site });
  const link = createPeerLink({ fleet: manifest.fleet, from, to, token, http, clock, random, opened });
  const health = createPeerHealth();
  let lastStatus: SiteStatus | undefined;
  let timer: NodeJS.Timeout | undefined;
  let probing = false;
  let closed = false;

  /** The next status, unless one is being asked for. */
  function schedule(milliseconds: number): void {
    if (closed || probing) return;
    clearTimeout(timer);
    timer = setTimeout(() => void probe(), milliseconds);
    timer.unref();
  }

  function changed(before: boolean): void {
    const live = health.live();
    if (live === before) return;
    const reason = health.reason();
    observe.event?.(live ? "peer-live" : "peer-rests", { site, ...(reason === undefined ? {} : { reason }) });
  }

  async function call<R extends SiteRequest>(
    request: R,
    milliseconds: number,
  ): Promise<SiteAnswers[R["op"]]> {
    if (closed) throw new StrongroomError("peer-unavailable", "this site is closing");
    const start = performance.now();
    const before = health.live();
    const elapsed = (): number => performance.now() - start;
    try {
      const answer = await link.call(request, milliseconds);
      health.answered(elapsed());
      observe.call?.(site, request.op, "ok", elapsed() / 1000);
      return answer;
    } catch (error) {
      const code = isStrongroomError(error) ? error.code : "internal";
      observe.call?.(site, request.op, code, elapsed() / 1000);
      if (isStrongroomError(error, "peer-unavailable")) {
        health.failed(elapsed(), error, request.op === "status");
        if (before) schedule(health.restMs());
      } else if (SITE_CODES.some((told) => told === code)) {
        health.answered();
        if (code === "unavailable") schedule(SOON_MS);
      }
      throw error;
    } finally {
      changed(before);
    }
  }

  async function probe(): Promise<void> {
    probing = true;
    try {
      const status = await call({ op: "status" }, Math.min(STATUS_MS, callMs));
      lastStatus = status;
      const before = health.live();
      health.told(status.token.ok ? undefined : `its token: ${status.token.detail}`);
      changed(before);
    } catch {
      // `call` has taken note of it.
    } finally {
      probing = false;
      schedule(health.restMs() || pollMs);
    }
  }

  return {
    site,
    asked: probe(),
    live: health.live,
    expectedMs: health.expectedMs,
    report: () => ({
      site,
      live: health.live(),
      reason: health.reason(),
      expectedMs: health.expectedMs(),
      status: lastStatus,
    }),
    service: {
      create: ({ accountToken, blindedElement, numbers, ...rest }) =>
        call({ op: "create", ...policyOf(rest), accountToken, blindedElement, numbers }, callMs),
      evaluate: ({ accountToken, blindedElement, shares, seq, base, lastReceipt, ...rest }) =>
        call(
          {
            op: "evaluate",
            ...policyOf(rest),
            accountToken,
            blindedElement,
            shares,
            seq,
            base,
            lastReceipt,
          },
          callMs,
        ),
      async announce({ shares, ...rest }) {
        await call({ op: "announce", ...policyOf(rest), shares }, callMs);
      },
      status: () => call({ op: "status" }, callMs),
    },
    close() {
      closed = true;
      clearTimeout(timer);
      http.close();
    },
  };
}

/** @throws manifest-invalid; config-invalid for a site that the manifest does not name */
export function createPeers(options: PeersOptions): Peers {
  const sites = siteKeys(options.manifest);
  const self = ownKeys(sites, options.self);
  const others = [...sites.values()].filter(({ name }) => name !== self.name);
  const peers = new Map(others.map((site) => [site.index, createPeer(site, options)]));
  return {
    handles: peers,
    asked: Promise.all([...peers.values()].map(({ asked }) => asked)).then(() => undefined),
    close() {
      for (const peer of peers.values()) peer.close();
    },
  };
}

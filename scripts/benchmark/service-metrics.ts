/** Sums of the services' own metrics: where the time of requests went, all sites together. */

/** Seconds since the services started, or between two readings. */
export interface ServiceSeconds {
  /** Requests of clients. */
  readonly requests: number;
  /** Requests of other sites, as the asked site measures them. */
  readonly siteRequests: number;
  /** The same, as the asking site measures them. */
  readonly peers: number;
  readonly token: number;
  readonly store: number;
  readonly guard: number;
}

function sumOf(text: string, histogram: string, labels: (labels: string) => boolean = () => true): number {
  const lines = text.matchAll(new RegExp(`^strongroom_${histogram}_sum(\\{.*\\})? (\\S+)$`, "gm"));
  return [...lines].reduce((sum, [, found = "", value]) => sum + (labels(found) ? Number(value) : 0), 0);
}

async function secondsAt(url: string): Promise<ServiceSeconds> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return {
    requests: sumOf(text, "request_seconds", (labels) => /operation="(recover|register)-/.test(labels)),
    siteRequests: sumOf(text, "request_seconds", (labels) => labels.includes('operation="site"')),
    // Each status is asked once a while by every site of every other, whatever the load.
    peers: sumOf(text, "peer_seconds", (labels) => !labels.includes('request="status"')),
    token: sumOf(text, "token_step_seconds"),
    store: sumOf(text, "store_seconds", (labels) => !labels.includes('call="check"')),
    guard: sumOf(text, "guard_seconds"),
  };
}

function combine(a: ServiceSeconds, b: ServiceSeconds, of: (a: number, b: number) => number): ServiceSeconds {
  return {
    requests: of(a.requests, b.requests),
    siteRequests: of(a.siteRequests, b.siteRequests),
    peers: of(a.peers, b.peers),
    token: of(a.token, b.token),
    store: of(a.store, b.store),
    guard: of(a.guard, b.guard),
  };
}

export async function serviceSeconds(urls: readonly string[]): Promise<ServiceSeconds> {
  const all = await Promise.all(urls.map(secondsAt));
  return all.reduce((sum, one) => combine(sum, one, (a, b) => a + b));
}

/** Milliseconds of one recovery. Parallel work of several sites is added up, so `rest` is what is left at least. */
export interface RecoveryParts {
  readonly request: number;
  readonly token: number;
  readonly etcd: number;
  readonly guard: number;
  /** Between a site that asks another and that one's work: sealing, HTTP, and waiting for a processor. */
  readonly channel: number;
  /** OPAQUE, envelopes, HTTP, and at saturation above all waiting for a processor or a token worker. */
  readonly rest: number;
}

export function recoveryParts(before: ServiceSeconds, after: ServiceSeconds, count: number): RecoveryParts {
  const spent = combine(after, before, (a, b) => ((a - b) * 1_000) / count);
  const channel = Math.max(0, spent.peers - spent.siteRequests);
  const known = spent.token + spent.store + spent.guard + channel;
  return {
    request: spent.requests,
    token: spent.token,
    etcd: spent.store,
    guard: spent.guard,
    channel,
    rest: Math.max(0, spent.requests - known),
  };
}

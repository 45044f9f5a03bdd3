/**
 * Two sites with keys in two SoftHSM tokens, over HTTP on loopback: what a peer answers, and what this site makes of
 * one that is dead, slow, restarted, forged or somebody else. The third site of the manifest is down throughout.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { createPeerRoute } from "../../src/fleet/peer-route.ts";
import { createPeers, type PeerHandle, type Peers, type PeersOptions } from "../../src/fleet/peers.ts";
import type { SiteService, SiteStatus } from "../../src/fleet/site-service.ts";
import { createServiceLog } from "../../src/service/log.ts";
import { createMetrics } from "../../src/service/metrics.ts";
import { createRateLimiter } from "../../src/service/rate-limit.ts";
import { createSiteRoute } from "../../src/service/site-route.ts";
import { openSession } from "../../src/token/open.ts";
import { startTokenPool, type TokenPool } from "../../src/token/pool.ts";
import type { TokenKey } from "../../src/token/session.ts";
import type { Token } from "../../src/token/token.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { encodeRefusal, frameKind, SITE_CONTENT_TYPE } from "../../src/wire/site-frames.ts";
import { codeOfAsync } from "../support/codes.ts";
import { type FaultyProxy, startFaultyProxy } from "../support/faulty-proxy.ts";
import { until } from "../support/http.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { manifestOfSites } from "../support/software-sites.ts";
import { importEcKey, publicPoint } from "../support/token-keys.ts";

const KEYS: readonly TokenKey[] = [
  { name: "identity", role: "identity", label: "peers/identity" },
  { name: "session", role: "session", label: "peers/session" },
];
const NAMES = ["site-a", "site-b", "site-c"] as const;
type Name = (typeof NAMES)[number];
const SECRET_TOKEN = "header.payload-of-an-account.signature";

interface TestToken {
  readonly hsm: SoftHsm;
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  pool: TokenPool;
  /** Steps by operation. */
  readonly steps: Map<string, number>;
}

async function makeToken(): Promise<TestToken> {
  const hsm = createSoftHsm();
  hsm.use();
  const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  const [identity, kem] = [randomBytes(32), randomBytes(32)];
  importEcKey(session, "peers/identity", identity, { SIGN: true });
  importEcKey(session, "peers/session", kem, { DERIVE: true });
  session.close();
  const steps = new Map<string, number>();
  const pool = startTokenPool(
    { uri: hsm.uri, profile: "softhsm2", keys: KEYS, workers: 1, env: hsm.env },
    { step: (op) => steps.set(op, (steps.get(op) ?? 0) + 1) },
  );
  await pool.whenReady(20_000);
  return { hsm, identity: publicPoint(identity), session: publicPoint(kem), pool, steps };
}

let tokens: Readonly<Record<Name, TestToken>>;
let manifest: Manifest;

beforeAll(async () => {
  const [a, b] = [await makeToken(), await makeToken()];
  // The third is never reached; its keys must only differ.
  const c = { ...b, identity: publicPoint(randomBytes(32)), session: publicPoint(randomBytes(32)) };
  tokens = { "site-a": a, "site-b": b, "site-c": c };
  manifest = manifestOfSites("test-fleet", NAMES, (name) => tokens[name as Name]);
});
afterAll(async () => {
  for (const name of ["site-a", "site-b"] as const) {
    await tokens[name].pool.close();
    tokens[name].hsm.remove();
  }
});

const point = Uint8Array.from(publicPoint(new Uint8Array(32).fill(9)));
const policy = {
  recordId: new Uint8Array(32).fill(1),
  generation: 1,
  receiptPublicKey: new Uint8Array(33).fill(2),
  maxAttempts: 10,
};
const share = {
  share: 1,
  mechanism: 7,
  wrapped: new Uint8Array(80).fill(3),
  publicKey: point,
  tag: new Uint8Array(32).fill(4),
};
const asked = { ...policy, accountToken: SECRET_TOKEN, blindedElement: point };
const create = { ...asked, numbers: [1] };
const evaluate = { ...asked, shares: [share], seq: 2, base: 1, lastReceipt: new Uint8Array(64).fill(5) };
const created = { shares: [share], partial: point };
const healthy: SiteStatus = {
  site: "site-b",
  token: { ok: true, detail: "ready" },
  store: { ok: true, detail: "majority" },
  inFlight: 1,
  manifest: "ab".repeat(32),
  now: 5,
};

/** What the peer's service does, and what reached it. */
interface Behaviour extends SiteService {
  readonly calls: (readonly [keyof SiteService, unknown])[];
}

function behaviour(changes: Partial<SiteService> = {}): Behaviour {
  const calls: Behaviour["calls"] = [];
  const noted =
    <A, R>(name: keyof SiteService, answer: (asked: A) => Promise<R>) =>
    (request: A): Promise<R> => {
      calls.push([name, request]);
      return answer(request);
    };
  return {
    calls,
    create: noted("create", changes.create ?? (async () => created)),
    evaluate: noted("evaluate", changes.evaluate ?? (async () => ({ partial: point }))),
    announce: noted("announce", changes.announce ?? (async () => undefined)),
    status: changes.status ?? (async () => healthy),
  };
}

interface RunningSite {
  readonly url: string;
  readonly bodies: { readonly sent: Buffer; readonly kind: string | undefined }[];
  readonly lines: string[];
  readonly clock: { offset: number; now(): number };
  service: SiteService;
  /** Answers in place of the route. */
  impostor: { readonly status: number; readonly body: Uint8Array } | undefined;
  /** Forgets every channel, as a new process does. */
  restart(): void;
  stop(): Promise<void>;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** site-b, with its real route. */
async function startSite(
  service: SiteService = behaviour(),
  limits: { concurrency?: number; perPeer?: number; burst?: number; token?: Token } = {},
): Promise<RunningSite> {
  const clock = { offset: 0, now: () => Date.now() + clock.offset };
  const lines: string[] = [];
  const make = () =>
    createSiteRoute({
      route: createPeerRoute({
        manifest,
        self: "site-b",
        token: limits.token ?? tokens["site-b"].pool,
        service: {
          create: (request) => site.service.create(request),
          evaluate: (request) => site.service.evaluate(request),
          announce: (request) => site.service.announce(request),
          status: () => site.service.status(),
        },
        clock,
        random: randomBytes,
        perPeer: limits.perPeer,
      }),
      log: createServiceLog("debug", { write: (line) => lines.push(line) }),
      metrics: createMetrics(),
      limiter: createRateLimiter({ perSecond: 0.01, burst: limits.burst ?? 100, clock }),
      trusts: undefined,
      concurrency: limits.concurrency ?? 1_000,
      admit: () => undefined,
    });
  let route = make();
  const bodies: RunningSite["bodies"] = [];
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const sent = Buffer.concat(parts);
      bodies.push({ sent, kind: frameKind(sent) });
    });
    const { impostor } = site;
    if (impostor) request.on("end", () => response.writeHead(impostor.status).end(impostor.body));
    else void route.handle(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const site: RunningSite = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    lines,
    clock,
    service,
    impostor: undefined,
    restart: () => {
      route = make();
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  closing.push(() => site.stop());
  return site;
}

interface Here {
  readonly peers: Peers;
  readonly b: PeerHandle;
  readonly clock: { offset: number; now(): number };
  readonly events: string[];
  opened(): number;
}

/** site-a, which reaches site-b at `url`. Resolves when it has asked for the statuses once. */
async function startPeers(url: string, options: Partial<PeersOptions> = {}): Promise<Here> {
  const clock = { offset: 0, now: () => Date.now() + clock.offset };
  const events: string[] = [];
  const peers = createPeers({
    manifest,
    self: "site-a",
    token: tokens["site-a"].pool,
    clock,
    random: randomBytes,
    urls: { "site-b": url, "site-c": "http://127.0.0.1:9" },
    pollMs: 60_000,
    observe: { event: (name, { site }) => events.push(`${name} ${site}`) },
    ...options,
  });
  closing.push(() => peers.close());
  await peers.asked;
  const b = peers.handles.get(1);
  if (!b) throw new Error("no handle");
  return {
    peers,
    b,
    clock,
    events,
    opened: () => events.filter((e) => e === "channel-opened site-b").length,
  };
}

const count = (name: Name, op: string): number => tokens[name].steps.get(op) ?? 0;
const post = (url: string, body: Uint8Array, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/site`, {
    method: "POST",
    headers: { "content-type": SITE_CONTENT_TYPE, ...headers },
    body: Uint8Array.from(body),
  });

describe("a peer that works", () => {
  test("every operation arrives as it was asked and comes back as it was answered", async () => {
    const service = behaviour();
    const site = await startSite(service);
    const { b, peers } = await startPeers(site.url);
    expect([...peers.handles.keys()]).toEqual([1, 2]);
    // Fields that the interface does not name stay at home.
    expect(await b.service.create({ ...create, ...{ more: 1 } })).toEqual(created);
    expect(await b.service.evaluate(evaluate)).toEqual({ partial: point });
    expect(await b.service.announce({ ...policy, shares: [share] })).toBeUndefined();
    expect(await b.service.status()).toEqual(healthy);
    expect(service.calls).toEqual([
      ["create", { op: "create", ...create }],
      ["evaluate", { op: "evaluate", ...evaluate }],
      ["announce", { op: "announce", ...policy, shares: [share] }],
    ]);
    expect(b.live()).toBe(true);
    expect(b.report()).toMatchObject({ site: "site-b", live: true, status: healthy });
    expect(b.expectedMs()).toBeLessThan(1_000);
  });

  test("a hundred at once share one channel: one signature here, one derivation there", async () => {
    const site = await startSite();
    const before = [count("site-a", "sign"), count("site-b", "ecdh")];
    const start = performance.now();
    const { b, opened } = await startPeers(site.url);
    await Promise.all(Array.from({ length: 100 }, () => b.service.evaluate(evaluate)));
    expect(opened()).toBe(1);
    await until(() => count("site-b", "ecdh") > (before[1] ?? 0));
    // The other signatures open to the third site, in vain, and again after each rest.
    const openings = 2 + (performance.now() - start) / 500;
    expect(count("site-a", "sign") - (before[0] ?? 0)).toBeLessThanOrEqual(openings);
    expect(count("site-b", "ecdh") - (before[1] ?? 0)).toBe(1);
  });

  test("its refusals come with their codes, everything else as unavailable; none makes it less live", async () => {
    const fails = (error: unknown) => behaviour({ evaluate: () => Promise.reject(error) });
    const site = await startSite();
    const { b } = await startPeers(site.url);
    for (const [thrown, expected] of [
      ["unauthorized", "unauthorized"],
      ["guard-refused", "guard-refused"],
      ["record-corrupt", "record-corrupt"],
      ["rate-limited", "rate-limited"],
      ["point-invalid", "invalid-request"],
      ["token-absent", "unavailable"],
      ["store-ambiguous", "unavailable"],
      ["peer-unavailable", "unavailable"],
    ] as const) {
      site.service = fails(new StrongroomError(thrown, "the reason in words"));
      expect(await codeOfAsync(b.service.evaluate(evaluate)), thrown).toBe(expected);
    }
    site.service = fails(new Error("a bug"));
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("unavailable");
    expect(site.lines.at(-1)).toContain('"code":"internal"');
    expect(b.live()).toBe(true);
    site.service = fails(
      new StrongroomError("guard-refused", "no", { details: { reason: "used-seq", recordId: "ff" } }),
    );
    const refused = await b.service.evaluate(evaluate).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "guard-refused", details: { reason: "used-seq" } });
    expect(Object.keys((refused as StrongroomError).details)).toEqual(["reason"]);
  });

  test("its log says who asked what, polls only when debugging, and never the account's token", async () => {
    const site = await startSite();
    const { b } = await startPeers(site.url);
    await b.service.evaluate(evaluate);
    const lines = site.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ level, from, op }) => [level, from, op])).toEqual([
      ["info", "site-a", "open"],
      ["debug", "site-a", "status"],
      ["info", "site-a", "evaluate"],
    ]);
    expect(site.lines.join("")).not.toContain(SECRET_TOKEN);
  });

  test("a broken token at the peer shows in its status, and the peer is not live until it is back", async () => {
    const site = await startSite(
      behaviour({ status: async () => ({ ...healthy, token: { ok: false, detail: "pulled out" } }) }),
    );
    const { b } = await startPeers(site.url, { pollMs: 50 });
    expect(b.live()).toBe(false);
    expect(b.report().reason).toContain("pulled out");
    // An answer does not make up for it.
    await b.service.evaluate(evaluate);
    expect(b.live()).toBe(false);
    site.service = behaviour();
    await until(() => b.live());
  });
});

describe("a peer behind https", () => {
  test("is reached where its certificate is known, and not where it is not", async () => {
    const site = await startSite();
    const { dir } = tokens["site-b"].hsm;
    const [key, cert] = [join(dir, "tls.key"), join(dir, "tls.pem")];
    const subject = ["-subj", "/CN=site-b", "-addext", "subjectAltName=IP:127.0.0.1"];
    const pair = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", cert];
    execFileSync("openssl", ["req", "-x509", "-nodes", "-days", "1", ...subject, ...pair], { stdio: "pipe" });
    const ca = readFileSync(cert);
    const front = createTlsServer({ key: readFileSync(key), cert: ca }, (client) => {
      const upstream = connect(Number(new URL(site.url).port), "127.0.0.1");
      for (const socket of [client, upstream]) socket.on("error", () => undefined);
      client.pipe(upstream).pipe(client);
    });
    await new Promise<void>((resolve) => {
      front.listen(0, "127.0.0.1", resolve);
    });
    closing.push(() => front.close());
    const url = `https://127.0.0.1:${(front.address() as AddressInfo).port}/`;
    const known = await startPeers(url, { tls: { ca } });
    expect(await known.b.service.evaluate(evaluate)).toEqual({ partial: point });
    const unknown = await startPeers(url);
    expect(unknown.b.live()).toBe(false);
    // What an operator reads of it, in the log and in `fleet status`.
    expect(unknown.b.report().reason).toContain("DEPTH_ZERO_SELF_SIGNED_CERT");
    expect(unknown.opened()).toBe(0);
  });
});

describe("what was sent before", () => {
  test("a recorded opening and a recorded request are refused, and nothing happens twice", async () => {
    const service = behaviour();
    const site = await startSite(service);
    const { b } = await startPeers(site.url);
    await b.service.evaluate(evaluate);
    const recorded = [...site.bodies];
    expect(recorded.map(({ kind }) => kind)).toEqual(["opening", "request", "request"]);
    const refused = [];
    for (const { sent } of recorded) {
      const response = await post(site.url, sent);
      refused.push([response.status, await response.json()]);
    }
    expect(refused).toEqual(Array(3).fill([409, { error: "conflict" }]));
    expect(service.calls).toHaveLength(1);
    // After a restart the opening is accepted, and of no use to whoever repeated it.
    site.restart();
    const statuses = [];
    for (const i of [1, 0, 1, 2])
      statuses.push((await post(site.url, recorded[i]?.sent ?? Buffer.alloc(0))).status);
    expect(statuses).toEqual([410, 200, 400, 400]);
    expect(service.calls).toHaveLength(1);
  });
});

describe("restart and renewal", () => {
  test("a peer that restarted under load costs nobody a request, and one opening", async () => {
    const site = await startSite();
    const { b, opened } = await startPeers(site.url);
    await new Promise((resolve) => setTimeout(resolve, 600));
    site.restart();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => codeOfAsync(b.service.evaluate(evaluate))),
    );
    expect(new Set(answers)).toEqual(new Set(["no error"]));
    expect(opened()).toBe(2);
  });

  test("a channel is renewed while requests are under way on the old one", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const site = await startSite(behaviour({ create: () => held.then(() => created) }));
    const { b, opened, clock } = await startPeers(site.url);
    await new Promise((resolve) => setTimeout(resolve, 600));
    const underWay = b.service.create(create);
    clock.offset = site.clock.offset = 56 * 60_000;
    const busy = Array.from({ length: 50 }, () => codeOfAsync(b.service.evaluate(evaluate)));
    expect(new Set(await Promise.all(busy))).toEqual(new Set(["no error"]));
    await until(() => opened() === 2);
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("no error");
    release();
    expect(await underWay).toEqual(created);
    const channels = site.bodies
      .filter(({ kind }) => kind === "request")
      .map(({ sent }) => sent.subarray(2, 18).toString("hex"));
    expect(new Set(channels).size).toBe(2);
    expect(channels.at(-1)).not.toBe(channels[0]);
  });

  test("a channel that is too old is not used, not even once", async () => {
    const site = await startSite();
    const { b, opened, clock } = await startPeers(site.url);
    await new Promise((resolve) => setTimeout(resolve, 600));
    clock.offset = site.clock.offset = 61 * 60_000;
    await b.service.evaluate(evaluate);
    expect(opened()).toBe(2);
    expect(site.bodies.at(-2)?.kind).toBe("opening");
  });
});

describe("a peer that does not work", () => {
  let proxy: FaultyProxy;
  async function behind(options: Partial<PeersOptions> = {}) {
    const site = await startSite();
    proxy = await startFaultyProxy(site.url);
    closing.push(() => proxy.close());
    return { site, ...(await startPeers(proxy.url.replace("https", "http"), options)) };
  }

  test("dead: its calls fail at once, it rests, and is live again by itself", async () => {
    const { b, events, site } = await behind({ pollMs: 100 });
    expect(b.live()).toBe(true);
    proxy.mode = "closed";
    await proxy.close();
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("peer-unavailable");
    expect(b.live()).toBe(false);
    expect(b.report().reason).toContain("site-b");
    const port = Number(new URL(proxy.url).port);
    proxy = await startFaultyProxy(site.url, port);
    const start = performance.now();
    await until(() => b.live());
    // It rested for a second, or for two where the first probe came too early.
    expect(performance.now() - start).toBeLessThan(3_500);
    expect(events.filter((event) => /live|rests/.test(event) && event.endsWith("b"))).toEqual([
      "peer-live site-b",
      "peer-rests site-b",
      "peer-live site-b",
    ]);
  });

  test("hanging: a call ends at its deadline, and the peer counts as slow", async () => {
    const { b } = await behind({ callMs: 300, pollMs: 100 });
    const before = b.expectedMs();
    proxy.mode = "deaf";
    const start = performance.now();
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("peer-unavailable");
    const took = performance.now() - start;
    expect(took).toBeGreaterThan(250);
    expect(took).toBeLessThan(1_000);
    expect(b.live()).toBe(false);
    expect(b.expectedMs()).toBeGreaterThan(before);
    proxy.mode = "pass";
    await until(() => b.live());
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("no error");
  });

  test("breaking every connection: one repetition, then the caller's turn", async () => {
    const { b, site } = await behind();
    proxy.mode = "cut";
    const before = site.bodies.length;
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("peer-unavailable");
    await until(() => site.bodies.length > before);
    expect(site.bodies.length - before).toBeLessThanOrEqual(2);
  });

  test("slow: its answers are still taken, and it is expected to be slow", async () => {
    const site = await startSite();
    const { b } = await startPeers(site.url);
    const quick = b.expectedMs();
    site.service = behaviour({
      evaluate: () => new Promise((resolve) => setTimeout(() => resolve({ partial: point }), 200)),
    });
    await Promise.all(Array.from({ length: 20 }, () => b.service.evaluate(evaluate)));
    expect(b.expectedMs()).toBeGreaterThan(quick + 100);
    site.service = behaviour();
    for (let i = 0; i < 20; i++) await b.service.evaluate(evaluate);
    expect(b.expectedMs()).toBeLessThan(60);
  });

  test("somebody else at its address: no channel, whatever they answer", async () => {
    const site = await startSite();
    const answers: readonly [number, Uint8Array][] = [
      [421, encodeRefusal("unknown-key")],
      [200, new Uint8Array(0)],
      [200, new Uint8Array(99).fill(1)],
      [200, new Uint8Array(40_000)],
      [302, new Uint8Array(0)],
      [500, Buffer.from("<html>")],
    ];
    for (const [status, body] of answers) {
      site.impostor = { status, body };
      const { b } = await startPeers(site.url);
      expect(b.live()).toBe(false);
      await new Promise((resolve) => setTimeout(resolve, 510));
      expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("peer-unavailable");
    }
  });

  test("a peer whose clock is wrong is told apart, by the reason", async () => {
    const site = await startSite();
    site.clock.offset = 301_000;
    const { b } = await startPeers(site.url);
    expect(b.live()).toBe(false);
    expect(b.report().reason).toContain("clock");
    expect(site.lines.at(-1)).toContain('"code":"expired"');
  });

  test("a storm of forged unknown-channel: two tries for a call, two openings a second", async () => {
    const site = await startSite();
    let forgeries = 0;
    // In between: openings pass, everything else is told that there is no such channel.
    const between = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      const answer = async (body: Buffer): Promise<void> => {
        if (frameKind(body) === "opening") {
          const passed = await post(site.url, body);
          response.writeHead(passed.status).end(Buffer.from(await passed.arrayBuffer()));
        } else {
          forgeries++;
          response.writeHead(410).end(encodeRefusal("unknown-channel"));
        }
      };
      request.on("end", () => void answer(Buffer.concat(parts)));
    });
    await new Promise<void>((resolve) => {
      between.listen(0, "127.0.0.1", resolve);
    });
    closing.push(() => between.close().closeAllConnections());
    const { b, opened } = await startPeers(`http://127.0.0.1:${(between.address() as AddressInfo).port}`);
    expect(b.live()).toBe(false);
    const start = performance.now();
    let calls = 0;
    while (performance.now() - start < 1_700) {
      expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("peer-unavailable");
      calls++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(calls).toBeGreaterThan(30);
    expect(opened()).toBeGreaterThan(1);
    expect(opened()).toBeLessThanOrEqual(1 + (performance.now() - start + 500) / 500);
    expect(forgeries).toBeLessThanOrEqual(2 * opened());
    expect(site.bodies.every(({ kind }) => kind === "opening")).toBe(true);
  });

  test("its own token in trouble: that error, and not the peer's", async () => {
    const site = await startSite();
    const absent: Token = { run: () => Promise.reject(new StrongroomError("token-absent", "gone")) };
    const { b } = await startPeers(site.url, { token: absent });
    await new Promise((resolve) => setTimeout(resolve, 510));
    expect(await codeOfAsync(b.service.evaluate(evaluate))).toBe("token-absent");
    expect(site.bodies).toHaveLength(0);
  });
});

describe("limits of the route", () => {
  test("strangers: typed refusals, and no token call before version, key and point are right", async () => {
    const site = await startSite();
    await startPeers(site.url);
    const [opening, , request] = [site.bodies[0]?.sent, 0, site.bodies[1]?.sent] as [Buffer, 0, Buffer];
    const before = count("site-b", "ecdh");
    const offCurve = Buffer.from(opening);
    offCurve[40] = (offCurve[40] ?? 0) ^ 1;
    const otherKey = Buffer.from(opening);
    otherKey[3] = (otherKey[3] ?? 0) ^ 1;
    const otherChannel = Buffer.from(request);
    otherChannel[3] = (otherChannel[3] ?? 0) ^ 1;
    const seen: unknown[] = [];
    for (const [body, headers] of [
      [new Uint8Array(0), {}],
      [Buffer.from("{}"), {}],
      [offCurve, {}],
      [otherKey, {}],
      [otherChannel, {}],
      [opening.subarray(0, 80), {}],
      [opening, { "content-type": "application/json" }],
      [opening, { "content-encoding": "gzip" }],
      [new Uint8Array(32_769), {}],
    ] as const) {
      const response = await post(site.url, body, headers);
      seen.push([response.status, ((await response.json()) as { error: string }).error]);
    }
    expect(seen).toEqual([
      [400, "invalid-request"],
      [400, "invalid-request"],
      [400, "invalid-request"],
      [421, "unknown-key"],
      [410, "unknown-channel"],
      [400, "invalid-request"],
      [415, "invalid-request"],
      [415, "invalid-request"],
      [413, "invalid-request"],
    ]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(count("site-b", "ecdh")).toBe(before);
  });

  test("openings are limited by address, messages of a channel are not", async () => {
    const site = await startSite(behaviour(), { burst: 2 });
    const { b } = await startPeers(site.url);
    const opening = site.bodies[0]?.sent ?? Buffer.alloc(0);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await post(site.url, opening)).status);
    expect(statuses).toEqual([409, 429, 429]);
    for (let i = 0; i < 20; i++) await b.service.evaluate(evaluate);
  });

  test("a peer that asks too much at once is told so, inside the channel", async () => {
    const slow = () =>
      new Promise<{ partial: Uint8Array }>((resolve) => setTimeout(() => resolve({ partial: point }), 200));
    const site = await startSite(behaviour({ evaluate: slow }), { perPeer: 3 });
    const { b } = await startPeers(site.url);
    const codes = await Promise.all(
      Array.from({ length: 5 }, () => codeOfAsync(b.service.evaluate(evaluate))),
    );
    expect(codes.toSorted()).toEqual([...Array(3).fill("no error"), ...Array(2).fill("rate-limited")]);
    expect(b.live()).toBe(true);
  });

  test("a site with all places taken refuses in the clear", async () => {
    const slow = () =>
      new Promise<{ partial: Uint8Array }>((resolve) => setTimeout(() => resolve({ partial: point }), 300));
    const site = await startSite(behaviour({ evaluate: slow }), { concurrency: 2 });
    const { b } = await startPeers(site.url);
    const codes = await Promise.all(
      Array.from({ length: 4 }, () => codeOfAsync(b.service.evaluate(evaluate))),
    );
    expect(codes.toSorted()).toEqual([...Array(2).fill("no error"), ...Array(2).fill("peer-unavailable")]);
  });
});

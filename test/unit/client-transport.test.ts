/** What a client makes of sites, and of whoever stands before them, that answer in the clear or not at all. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import {
  createVaultClient,
  type StrongroomError,
  type VaultClient,
  type VaultClientOptions,
} from "../../src/client/index.ts";
import { keyId } from "../../src/crypto/key-id.ts";
import { encodeManifest, type ManifestKey, type ManifestRole } from "../../src/wire/manifest.ts";
import { code } from "../support/codes.ts";
import { EcSigner } from "../support/signers.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A site that answers every request like this; counts them. */
async function startSite(answer: RequestListener): Promise<{ readonly url: string; requests: number }> {
  const site = { url: "", requests: 0 };
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      site.requests++;
      answer(request, response);
    });
  });
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  const address = server.address();
  if (typeof address === "object" && address !== null) site.url = `http://127.0.0.1:${address.port}`;
  return site;
}
const plain =
  (status: number, body: string, headers: Record<string, string> = {}): RequestListener =>
  (_, response) => {
    response.writeHead(status, headers).end(body);
  };

function key(role: ManifestRole, site?: string): ManifestKey {
  const { publicKey, hex } = new EcSigner();
  return {
    kid: toHex(keyId(publicKey)),
    role,
    algorithm: "P-256",
    publicKey: hex,
    ...(site ? { site } : {}),
  };
}

function clientOf(
  urls: readonly string[],
  tokens: { asked: number } = { asked: 0 },
  retrying: (reason: StrongroomError) => void = () => undefined,
  retryForMs = 700,
  options: Partial<VaultClientOptions> = {},
): VaultClient {
  const sites = urls.map((url, i) => ({ name: `site-${i}`, url, tokenSerial: "1" }));
  const manifest = encodeManifest({
    type: "strongroom/fleet-manifest/v1",
    fleet: "f",
    createdAt: 0,
    policy: { threshold: 1, maxAttempts: 10 },
    sites,
    keys: [key("ake"), ...sites.flatMap(({ name }) => [key("identity", name), key("session", name)])],
  });
  return createVaultClient({
    manifest,
    account: { tenant: "t", subject: "s" },
    accountToken: () => `token-${++tokens.asked}`,
    retryForMs,
    retrying,
    ...options,
  });
}

describe("answers in the clear", () => {
  test.each(["destroyed", "not-registered", "unauthorized", "expired", "conflict", "invalid-request"])(
    "%s is not believed",
    async (error) => {
      const site = await startSite(plain(410, JSON.stringify({ error })));
      await expect(clientOf([site.url]).status()).rejects.toThrow(code("unavailable"));
      expect(site.requests).toBeGreaterThan(1);
    },
  );

  test.each([
    ["a proxy's page", plain(502, "<html>bad gateway</html>")],
    ["a login page", plain(200, "<html>welcome to the hotel</html>")],
    ["a redirect", plain(302, "", { location: "http://127.0.0.1:1/" })],
    ["nothing", plain(204, "")],
    ["a broken connection", (request) => request.socket.destroy()],
  ] satisfies [string, RequestListener][])("%s is an outage, and tried again", async (_, answer) => {
    const site = await startSite(answer);
    const tokens = { asked: 0 };
    const told: string[] = [];
    const client = clientOf([site.url], tokens, (reason) => told.push(reason.code));
    await expect(client.status()).rejects.toThrow(code("unavailable"));
    expect(site.requests).toBeGreaterThan(1);
    expect(told).toEqual(Array.from({ length: tokens.asked - 1 }, () => "unavailable"));
    expect(tokens.asked).toBeGreaterThanOrEqual(site.requests);
  });

  test("an endless one is not read to its end", async () => {
    let sent = 0;
    const site = await startSite((_, response) => {
      const more = (): void => {
        sent += 16_384;
        if (!response.destroyed && sent < 1 << 28) response.write(Buffer.alloc(16_384), more);
      };
      more();
    });
    await expect(clientOf([site.url]).status()).rejects.toThrow(code("unavailable"));
    expect(sent).toBeLessThan(1 << 26);
  });
});

describe("several sites", () => {
  test("those that are down are passed over, whichever is tried first", async () => {
    const up = await startSite(plain(421, '{"error":"unknown-key"}'));
    const sites = ["http://127.0.0.1:1", "http://127.0.0.1:2", up.url];
    for (let i = 0; i < 8; i++)
      await expect(clientOf(sites, undefined, undefined, 60_000).status()).rejects.toThrow(
        code("unknown-key"),
      );
  });

  test("that all have other keys mean that the manifest is old", async () => {
    const sites = await Promise.all([1, 2, 3].map(() => startSite(plain(400, '{"error":"unknown-key"}'))));
    const tokens = { asked: 0 };
    await expect(
      clientOf(
        sites.map(({ url }) => url),
        tokens,
      ).status(),
    ).rejects.toThrow(code("unknown-key"));
    expect(sites.map(({ requests }) => requests)).toEqual([1, 1, 1]);
    expect(tokens.asked).toBe(3);
  });
});

describe("a site that is asked too often", () => {
  test("is left alone for as long as it says, if that is longer than we have", async () => {
    const site = await startSite(plain(429, '{"error":"rate-limited"}', { "retry-after": "600" }));
    const refused = clientOf([site.url]).status();
    await expect(refused).rejects.toThrow(code("rate-limited"));
    await expect(refused).rejects.toMatchObject({
      details: { retryAfter: 600 },
      hint: expect.stringMatching(/10 minutes/),
    });
    expect(site.requests).toBe(1);
  });
});

test("what fails in the app's own accountToken reaches the app, and is not tried again", async () => {
  const site = await startSite(plain(500, ""));
  const failure = new Error("signed out");
  const manifest = encodeManifest({
    type: "strongroom/fleet-manifest/v1",
    fleet: "f",
    createdAt: 0,
    policy: { threshold: 1, maxAttempts: 10 },
    sites: [{ name: "a", url: site.url, tokenSerial: "1" }],
    keys: [key("ake"), key("identity", "a"), key("session", "a")],
  });
  const client = createVaultClient({
    manifest,
    account: { tenant: "t", subject: "s" },
    accountToken: () => Promise.reject(failure),
  });
  await expect(client.status()).rejects.toBe(failure);
  expect(site.requests).toBe(0);
});

test.each([undefined, "", "x".repeat(4_097)])(
  "no account token is sent where there is none: %s",
  async (token) => {
    const site = await startSite(plain(500, ""));
    const accountToken = (): string => token as string;
    const client = clientOf([site.url], undefined, undefined, 60_000, { accountToken });
    await expect(client.status()).rejects.toThrow(code("usage"));
    expect(site.requests).toBe(0);
  },
);

describe("an app that gives up", () => {
  const reason = new Error("the dialog was closed");

  test("before anything is asked for asks for nothing", async () => {
    const site = await startSite(plain(500, ""));
    const tokens = { asked: 0 };
    const client = clientOf([site.url], tokens, undefined, 60_000, { signal: AbortSignal.abort(reason) });
    await expect(client.status()).rejects.toBe(reason);
    expect([site.requests, tokens.asked]).toEqual([0, 0]);
  });

  test("while a site says nothing waits no longer, and tries no other one", async () => {
    const aborting = new AbortController();
    const site = await startSite(() => aborting.abort(reason));
    const tokens = { asked: 0 };
    const { signal } = aborting;
    const client = clientOf([site.url, `${site.url}/2`, `${site.url}/3`], tokens, undefined, 60_000, {
      signal,
      timeoutMs: 60_000,
    });
    await expect(client.status()).rejects.toBe(reason);
    expect([site.requests, tokens.asked]).toEqual([1, 1]);
  });

  test("between two tries does not wait for the next one", async () => {
    const aborting = new AbortController();
    const site = await startSite(plain(429, '{"error":"rate-limited"}', { "retry-after": "600" }));
    const retrying = (): void => void setTimeout(() => aborting.abort(reason), 10);
    const client = clientOf([site.url], undefined, retrying, 3_600_000, { signal: aborting.signal });
    await expect(client.status()).rejects.toBe(reason);
    expect(site.requests).toBe(1);
  });
});

test("a path in a site's URL is kept", async () => {
  const paths: (string | undefined)[] = [];
  const site = await startSite((request, response) => {
    paths.push(request.url);
    response.writeHead(400).end('{"error":"unknown-key"}');
  });
  await expect(clientOf([`${site.url}/strongroom/`]).status()).rejects.toThrow(code("unknown-key"));
  expect(paths).toEqual(["/strongroom/v1/vault"]);
});

/** Limits under load, a port for operators, draining, and keys that are not the manifest's. */
import { cpSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { createVaultClient } from "../../src/client/index.ts";
import { loadServiceConfig } from "../../src/service/config.ts";
import { startService } from "../../src/service/start.ts";
import { encodeRequest } from "../../src/wire/messages.ts";
import { until } from "../support/http.ts";
import { post, seal } from "../support/sealed.ts";
import {
  createSite,
  type Overrides,
  startTestService,
  TENANT,
  type TestService,
} from "../support/service.ts";

const CODE = "orchard tandem velvet quarry";

async function start(overrides: Overrides): Promise<TestService> {
  const service = await startTestService(overrides);
  onTestFinished(() => service.close());
  return service;
}

async function sendStatus(service: TestService, subject: string): Promise<Response> {
  const accountToken = await service.issueToken(subject);
  const { body } = await seal(service, encodeRequest({ op: "status", accountToken }));
  return post(service.url, body);
}

const client = (service: TestService, subject: string) =>
  createVaultClient({
    manifest: service.manifestBytes,
    account: { tenant: TENANT, subject },
    accountToken: () => service.issueToken(subject),
  });

describe("limits", () => {
  test("requests per address: 429 with a time to wait; health checks are not counted", async () => {
    const service = await start({ limits: { requestsPerSecondPerAddress: 0.5, burst: 3 } });
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await sendStatus(service, "alice")).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    const refused = await fetch(`${service.url}/v1/manifest`);
    expect(refused.status).toBe(429);
    expect(["1", "2"]).toContain(refused.headers.get("retry-after"));
    expect(await refused.json()).toMatchObject({ error: "rate-limited" });
    expect((await fetch(`${service.url}/nothing`)).status).toBe(429);
    for (let i = 0; i < 5; i++) expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
  });

  test("an address that a trusted proxy names counts for itself", async () => {
    const service = await start({
      limits: { requestsPerSecondPerAddress: 0.1, burst: 1 },
      trustProxy: ["loopback"],
    });
    const from = (address: string): Promise<Response> =>
      fetch(`${service.url}/v1/manifest`, { headers: { "x-forwarded-for": address } });
    expect((await from("203.0.113.1")).status).toBe(200);
    expect((await from("203.0.113.1")).status).toBe(429);
    expect((await from("198.51.100.9, 203.0.113.1")).status).toBe(429);
    expect((await from("203.0.113.2")).status).toBe(200);
  });

  test("requests at once: those too many are told to come back, the others are served", async () => {
    const service = await start({ limits: { concurrency: 1 } });
    const responses = await Promise.all(
      Array.from({ length: 40 }, (_, i) => sendStatus(service, `user-${i}`)),
    );
    const statuses = responses.map((response) => response.status);
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    const busy = responses.find((response) => response.status === 503);
    expect(busy?.headers.get("retry-after")).toBe("1");
    expect(await busy?.json()).toEqual({ error: "unavailable", retryAfter: 1 });
    expect((await sendStatus(service, "later")).status).toBe(200);
  });
});

test("operators' pages on a port of their own are not on the public one", async () => {
  const service = await start({ operations: { host: "127.0.0.1", port: 0 } });
  const { operationsUrl } = service.service;
  expect(operationsUrl).not.toBe(service.url);
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    expect((await fetch(service.url + path)).status, path).toBe(404);
    expect((await fetch(operationsUrl + path)).status, path).toBe(200);
  }
  for (const path of ["/v1/manifest", "/v1/vault"])
    expect((await fetch(operationsUrl + path)).status).toBe(404);
  expect((await sendStatus(service, "alice")).status).toBe(200);
});

test("draining: red at once, what is under way is answered, then nobody is there, and nothing is lost", async () => {
  const service = await start({
    drain: { noticeMs: 1_000, deadlineMs: 20_000 },
    operations: { host: "127.0.0.1", port: 0 },
  });
  const alice = client(service, "alice");
  const { backupKey } = await alice.register(CODE);
  const ready = async (): Promise<{ status: number; text: string }> => {
    const response = await fetch(`${service.service.operationsUrl}/readyz`);
    return { status: response.status, text: await response.text() };
  };
  expect((await ready()).status).toBe(200);
  const closing = service.service.close();
  expect(await ready()).toEqual({ status: 503, text: expect.stringContaining('"draining":true') });
  // Noticed is not stopped: whoever still comes is served, and asked not to come again on this connection.
  const late = await sendStatus(service, "bob");
  expect([late.status, late.headers.get("connection")]).toEqual([200, "close"]);
  const flood = Array.from({ length: 30 }, async (_, i) => {
    await sleep(i * 60);
    return sendStatus(service, `user-${i}`).then(
      (response) => response.status,
      () => 0,
    );
  });
  const statuses = await Promise.all(flood);
  await closing;
  // Served, or refused, or not connected; never half an answer and never an error of ours.
  expect(statuses.every((status) => [0, 200, 503].includes(status))).toBe(true);
  expect(statuses).toContain(200);
  expect(statuses.at(-1)).toBe(0);
  await expect(fetch(service.url)).rejects.toThrow();
  await service.restart();
  expect((await alice.recover(CODE)).backupKey).toEqual(backupKey);
});

describe("keys that are not the manifest's", () => {
  test("refuse to start", async () => {
    const [site, other] = [await createSite(), await createSite()];
    onTestFinished(site.remove);
    onTestFinished(other.remove);
    site.hsm.use();
    cpSync(join(other.dir, "manifest.json"), join(site.dir, "manifest.json"));
    await expect(
      startService(loadServiceConfig(site.configFile), { write: () => undefined }),
    ).rejects.toMatchObject({
      code: "key-drift",
      message: expect.stringContaining("identity, session, ake"),
      hint: expect.any(String),
    });
  });

  test("of a token that comes back in place of another: not ready, nothing served, until the right one is back", async () => {
    const service = await start({});
    const [own, pin] = [join(service.dir, "tokens"), join(service.dir, "pin")];
    const label = service.hsm.label;
    const other = await createSite({}, { tokenLabel: label });
    onTestFinished(other.remove);
    service.hsm.use();
    const part = async (): Promise<unknown> => {
      const response = await fetch(`${service.url}/readyz`);
      const { ready, token, manifest } = await response.json();
      return { ready, token: token.ok, manifest: manifest.ok, why: manifest.detail };
    };
    const seen = async (expected: object): Promise<void> => {
      await until(async () => {
        const now = await part();
        return Object.entries(expected).every(([name, value]) =>
          String(Object(now)[name]).includes(String(value)),
        );
      });
    };
    service.hsm.takeAway();
    await seen({ ready: false, token: false });
    const ownPin = join(service.dir, "own-pin");
    renameSync(pin, ownPin);
    cpSync(join(other.dir, "pin"), pin);
    cpSync(join(other.dir, "tokens"), own, { recursive: true });
    await seen({ ready: false, token: true, manifest: false, why: "not the manifest's" });
    expect((await sendStatus(service, "alice")).status).toBe(503);
    rmSync(own, { recursive: true });
    await seen({ token: false });
    rmSync(pin);
    renameSync(ownPin, pin);
    service.hsm.putBack();
    await seen({ ready: true });
    expect((await sendStatus(service, "alice")).status).toBe(200);
  });

  test("a manifest that promises something else than the configuration", async () => {
    const site = await createSite({ policy: { maxAttempts: 5 } });
    onTestFinished(site.remove);
    await expect(
      startService(loadServiceConfig(site.configFile), { write: () => undefined }),
    ).rejects.toMatchObject({
      code: "config-invalid",
      details: { key: "policy.maxAttempts" },
    });
  });
});

/** The service over HTTP, on a real token and a real store. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { createVaultClient } from "../../src/client/index.ts";
import {
  decodeAnswer,
  ENVELOPE_CONTENT_TYPE,
  encodeRequest,
  type VaultRequest,
} from "../../src/wire/messages.ts";
import { raw, until } from "../support/http.ts";
import { exchange, post, seal } from "../support/sealed.ts";
import { startTestService, TENANT, type TestService } from "../support/service.ts";
import { randomPoint } from "../support/vault-world.ts";

const CODE = "orchard tandem velvet quarry";
let service: TestService;
beforeAll(async () => {
  service = await startTestService({ limits: { requestTimeoutMs: 1_500, headerBytes: 4_096 } });
});
afterAll(() => service.close());

const client = (subject: string, at: TestService = service) =>
  createVaultClient({
    manifest: at.manifestBytes,
    account: { tenant: TENANT, subject },
    accountToken: () => at.issueToken(subject),
  });
const get = (path: string, init?: RequestInit, at: string = service.url): Promise<Response> =>
  fetch(at + path, init);
const status = async (subject: string): Promise<VaultRequest> => ({
  op: "status",
  accountToken: await service.issueToken(subject),
});

describe("a person's key", () => {
  test("is recovered with the code, also after a restart, and not with another code", async () => {
    const alice = client("alice");
    const { backupKey } = await alice.register(CODE);
    await service.restart();
    expect((await alice.recover(CODE)).backupKey).toEqual(backupKey);
    await expect(alice.recover("orchard tandem velvet quarrel")).rejects.toMatchObject({
      code: "wrong-recovery-code",
      details: { attemptsLeft: 9 },
    });
    expect(await alice.status()).toMatchObject({ state: "active", attemptsLeft: 9 });
    await alice.delete();
    await expect(alice.status()).rejects.toMatchObject({ code: "not-registered" });
  });
});

describe("answers to opened requests", () => {
  test("look alike from outside: status 200, one size, sealed, whatever they say", async () => {
    await client("bob").register(CODE);
    const exchanges = [
      await exchange(service, await status("bob")),
      await exchange(service, await status("nobody")),
      await exchange(service, { op: "status", accountToken: "x" }),
      await exchange(service, {
        op: "recover-start",
        accountToken: await service.issueToken("bob"),
        ke1: new Uint8Array(98),
      }),
    ];
    expect(exchanges.map(({ answer }) => ("error" in answer ? answer.error : "ok"))).toEqual([
      "ok",
      "not-registered",
      "unauthorized",
      "invalid-request",
    ]);
    expect(new Set(exchanges.map(({ sealed }) => sealed.length)).size).toBe(1);
    for (const { response } of exchanges) {
      expect(response.headers.get("content-type")).toBe(ENVELOPE_CONTENT_TYPE);
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect([...response.headers.keys()].sort()).toEqual(
        [...(exchanges[0]?.response.headers.keys() ?? [])].sort(),
      );
    }
  });

  test.each([
    ["register-start", "recover"],
    ["register-finish", "recover"],
    ["recover-start", "register"],
    ["recover-finish", "register"],
    ["status", "delete"],
    ["delete", "status"],
  ] as const)("%s is not allowed by the scope %s", async (op, scope) => {
    const accountToken = await service.issueToken("bob", [scope]);
    const bytes = (length: number): Uint8Array => new Uint8Array(length);
    const requests: { [O in VaultRequest["op"]]: VaultRequest } = {
      "register-start": {
        op: "register-start",
        accountToken,
        blindedElement: bytes(33),
        receiptPublicKey: bytes(33),
      },
      "register-finish": {
        op: "register-finish",
        accountToken,
        cookie: bytes(99),
        registrationRecord: bytes(129),
        sealedBackupKey: bytes(60),
        sealedReceiptKey: bytes(60),
      },
      "recover-start": { op: "recover-start", accountToken, ke1: bytes(98) },
      "recover-finish": {
        op: "recover-finish",
        accountToken,
        cookie: bytes(99),
        ke3: bytes(32),
        receipt: bytes(64),
      },
      status: { op: "status", accountToken },
      delete: { op: "delete", accountToken, generation: 1 },
    };
    expect((await exchange(service, requests[op])).answer).toEqual({ error: "unauthorized" });
  });

  test("the issuer's keys cannot be read: unavailable, not unauthorized", async () => {
    const file = join(service.dir, "jwks.json");
    const keys = readFileSync(file);
    writeFileSync(file, "{");
    try {
      await until(async () => {
        const { answer } = await exchange(service, await status("bob"));
        expect("error" in answer && answer.error).not.toBe("unauthorized");
        return "error" in answer && answer.error === "unavailable";
      });
    } finally {
      writeFileSync(file, keys);
    }
    await until(async () => !("error" in (await exchange(service, await status("bob"))).answer));
  });
});

describe("a front end that keeps what was sealed, and sends it again", () => {
  const send = async (body: Uint8Array): Promise<number> => (await post(service.url, body)).status;
  const newKe1 = (): Uint8Array =>
    concat(randomPoint(), crypto.getRandomValues(new Uint8Array(32)), randomPoint());
  const start = async (subject: string, ke1 = newKe1()): Promise<Uint8Array> => {
    const accountToken = await service.issueToken(subject);
    return (await seal(service, encodeRequest({ op: "recover-start", accountToken, ke1 }))).body;
  };

  test("spends no attempts, whichever it sends in turn", async () => {
    const carol = client("carol");
    await carol.register(CODE);
    const wrong = [await start("carol"), await start("carol")];
    for (const body of wrong) expect(await send(body)).toBe(200);
    expect(await carol.status()).toMatchObject({ attemptsLeft: 8 });
    for (let n = 0; n < 6; n++) for (const body of wrong) expect(await send(body)).toBe(200);
    await Promise.all(wrong.map(send));
    expect(await carol.status()).toMatchObject({ attemptsLeft: 8 });
    await carol.recover(CODE);
  });

  test("spends no attempts with repetitions that it held back either", async () => {
    const erin = client("erin");
    await erin.register(CODE);
    const ke1s = [newKe1(), newKe1()];
    for (let n = 0; n < 6; n++)
      for (const ke1 of ke1s) expect(await send(await start("erin", ke1))).toBe(200);
    expect(await erin.status()).toMatchObject({ attemptsLeft: 8 });
    await erin.recover(CODE);
  });

  test("is told to come with a new one, sealed as every answer", async () => {
    await client("dora").register(CODE);
    const accountToken = await service.issueToken("dora");
    const ke1 = concat(randomPoint(), new Uint8Array(32), randomPoint());
    const envelope = await seal(service, encodeRequest({ op: "recover-start", accountToken, ke1 }));
    await send(envelope.body);
    const again = await post(service.url, envelope.body);
    const answer = await envelope.openAnswer(new Uint8Array(await again.arrayBuffer()));
    expect(decodeAnswer("recover-start", answer)).toMatchObject({ error: "unavailable" });
  });
});

describe("requests that cannot be opened", () => {
  const refusals: [string, () => Promise<Response>, number, string][] = [
    [
      "another site's key",
      async () => {
        const { body } = await seal(service, encodeRequest(await status("bob")));
        body[3] = (body[3] ?? 0) ^ 1;
        return post(service.url, body);
      },
      421,
      "unknown-key",
    ],
    ["nothing", () => post(service.url, new Uint8Array()), 400, "invalid-request"],
    ["noise", () => post(service.url, new Uint8Array(500).fill(7)), 400, "invalid-request"],
    [
      "a spoilt ciphertext",
      async () => {
        const { body } = await seal(service, encodeRequest(await status("bob")));
        body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
        return post(service.url, body);
      },
      400,
      "invalid-request",
    ],
    ["too much", () => post(service.url, new Uint8Array(32_769)), 413, "invalid-request"],
    [
      "another type",
      () => post(service.url, new Uint8Array(9), { "content-type": "application/json" }),
      415,
      "invalid-request",
    ],
    [
      "compressed",
      () => post(service.url, new Uint8Array(9), { "content-encoding": "gzip" }),
      415,
      "invalid-request",
    ],
    ["another method", () => get("/v1/vault"), 405, "invalid-request"],
    ["another path", () => get("/v1/vaults"), 404, "invalid-request"],
    ["a path that climbs", () => get("/v1/%2e%2e/%2e%2e/etc/passwd"), 404, "invalid-request"],
    ["half an escape", () => get("/%E0%A4%A"), 404, "invalid-request"],
  ];
  test.each(refusals)("%s", async (_, send, expectedStatus, error) => {
    const response = await send();
    expect(response.status).toBe(expectedStatus);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ error });
    if (expectedStatus === 405) expect(response.headers.get("allow")).toBe("POST");
  });

  test("too much is refused before it has been sent", async () => {
    const head = "POST /v1/vault HTTP/1.1\r\nhost: x\r\n";
    const type = `content-type: ${ENVELOPE_CONTENT_TYPE}\r\n`;
    expect(await raw(service.url, `${head}${type}content-length: 1000000000\r\n\r\nx`)).toMatch(
      /^HTTP\/1\.1 413 /,
    );
    const chunk = `8000\r\n${"x".repeat(0x8000)}\r\n`;
    expect(
      await raw(service.url, `${head}${type}transfer-encoding: chunked\r\n\r\n${chunk}${chunk}`),
    ).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("long headers and slow senders are cut off", async () => {
    expect(
      await raw(service.url, `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(5_000)}\r\n\r\n`),
    ).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw(service.url, "GET /healthz HTTP/1.1\r\nhost: x\r\n")).toMatch(/^HTTP\/1\.1 408 /);
    const slow = `POST /v1/vault HTTP/1.1\r\nhost: x\r\ncontent-type: ${ENVELOPE_CONTENT_TYPE}\r\ncontent-length: 50\r\n\r\nx`;
    // Whatever it is told, it is hung up on: `raw` resolves only then.
    expect(await raw(service.url, slow)).not.toMatch(/^HTTP\/1\.1 (?:2|500)/);
  });

  test("a path spelt otherwise reaches the same route", async () => {
    const envelope = await seal(service, encodeRequest(await status("bob")));
    const response = await fetch(`${service.url}/v1/vault/?x=1`, {
      method: "POST",
      headers: { "content-type": `${ENVELOPE_CONTENT_TYPE}; charset=binary` },
      body: Uint8Array.from(envelope.body),
    });
    expect(response.status).toBe(200);
    await envelope.openAnswer(new Uint8Array(await response.arrayBuffer()));
  });
});

describe("pages", () => {
  test("the manifest, byte for byte, with the hash that clients pin", async () => {
    const response = await get("/v1/manifest");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(service.manifestBytes);
    const etag = `"${sha256HexOf(service.manifestBytes)}"`;
    expect(response.headers.get("etag")).toBe(etag);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect((await get("/v1/manifest", { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await get("/v1/manifest", { method: "HEAD" })).headers.get("content-length")).toBe(
      String(service.manifestBytes.length),
    );
  });

  test("alive and ready", async () => {
    expect((await get("/healthz")).status).toBe(200);
    const response = await get("/readyz");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      ready: true,
      token: { ok: true, detail: "1 of 1 workers ready" },
      store: { ok: true, detail: "takes writes" },
      manifest: { ok: true, detail: "the token's keys are the manifest's" },
      draining: false,
    });
  });

  test("asking for readiness in a loop does not load the store", async () => {
    await get("/readyz");
    const checks = async (): Promise<number> => {
      const text = await (await get("/metrics")).text();
      return Number(/^strongroom_store_seconds_count\{call="check",outcome="ok"\} (\d+)/m.exec(text)?.[1]);
    };
    const before = await checks();
    const start = performance.now();
    for (let i = 0; i < 100; i++) await get("/readyz");
    const seconds = (performance.now() - start) / 1_000;
    expect((await checks()) - before).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
  });

  test("metrics count operations, outcomes and token calls, and name nobody", async () => {
    await client("carol").register(CODE);
    await exchange(service, await status("nobody"));
    const metrics = async (): Promise<string> => (await get("/metrics")).text();
    await until(async () =>
      /strongroom_token_calls_total\{function="C_DeriveKey",ckr="CKR_OK"\} \d/.test(await metrics()),
    );
    const text = await metrics();
    expect(text).toMatch(/^strongroom_requests_total\{operation="register-start",outcome="ok"\} \d/m);
    expect(text).toMatch(/^strongroom_requests_total\{operation="status",outcome="not-registered"\} \d/m);
    expect(text).toMatch(/^strongroom_request_seconds_bucket\{le="[\d.]+",operation="register-finish"\} \d/m);
    expect(text).toMatch(
      /^strongroom_token_step_seconds_bucket\{le="[\d.]+",step="create-share",outcome="ok"\} \d/m,
    );
    for (const name of ["token_queue_depth", "requests_in_flight", "vault_events_total", "store_seconds_sum"])
      expect(text).toContain(`strongroom_${name}`);
    expect(text).toMatch(/^process_resident_memory_bytes \d/m);
    expect(text).not.toMatch(/carol|nobody|127\.0\.0\.1/);
  });

  test("tell browsers to do nothing with them, and nobody what serves them", async () => {
    for (const path of ["/healthz", "/v1/manifest", "/nothing"]) {
      const { headers } = await get(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toBe("default-src 'none'");
      expect(headers.has("x-powered-by") || headers.has("server")).toBe(false);
    }
  });
});

describe("the token", () => {
  const unready = async (): Promise<string> => {
    const response = await get("/readyz");
    const text = await response.text();
    return response.status === 503 ? text : "";
  };

  test("gone and back: red, unavailable, green again; nothing is lost and nobody restarts anything", async () => {
    const dora = client("dora");
    const { backupKey } = await dora.register(CODE);
    service.hsm.takeAway();
    try {
      await until(async () => (await unready()) !== "");
      expect(JSON.parse(await unready())).toMatchObject({
        ready: false,
        token: { ok: false, detail: expect.stringMatching(/\w+ \w+/) },
        store: { ok: true },
      });
      const { body } = await seal(service, encodeRequest(await status("dora")));
      const response = await post(service.url, body);
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ error: "unavailable" });
    } finally {
      service.hsm.putBack();
    }
    await until(async () => (await unready()) === "");
    expect((await dora.recover(CODE)).backupKey).toEqual(backupKey);
  });

  test("absent at start: the service starts, says so, and serves when it comes", async () => {
    const { service: before } = service;
    await before.close();
    service.hsm.takeAway();
    const starting = service.restart();
    try {
      await starting;
      expect(await unready()).toContain('"manifest":{"ok":false');
      await expect(exchange(service, await status("dora"))).rejects.toThrow("unavailable");
    } finally {
      service.hsm.putBack();
    }
    await until(async () => (await unready()) === "");
    expect((await exchange(service, await status("dora"))).answer).toMatchObject({ state: "active" });
  });
});

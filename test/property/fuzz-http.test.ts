/**
 * Hostile HTTP against a real service on a real token: whatever is sent, the answer is one that the protocol knows,
 * nothing crashes, and no log line holds a secret. Afterwards everything works as before.
 */
import { readFileSync } from "node:fs";
import { p256 } from "@noble/curves/nist.js";
import { encode } from "cborg";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { KE1_BYTES, POINT_BYTES } from "../../src/wire/limits.ts";
import {
  decodeAnswer,
  ENVELOPE_CONTENT_TYPE,
  encodeRequest,
  OPERATIONS,
  type Operation,
  type VaultRequest,
} from "../../src/wire/messages.ts";
import { recover, register, type Seen } from "../support/flow.ts";
import { raw } from "../support/http.ts";
import { post, seal } from "../support/sealed.ts";
import { startTestService, type TestService } from "../support/service.ts";

const SUBJECT = "fuzzed-subject-name";
const CODE = "orchard tandem velvet quarry";
const seen: Seen = { requests: new Map(), secrets: [] };
let service: TestService;

beforeAll(async () => {
  service = await startTestService({ limits: { requestTimeoutMs: 500, headerBytes: 4_096 } });
  await register(service, SUBJECT, CODE, seen);
  await recover(service, SUBJECT, CODE, seen);
  const accountToken = await service.issueToken(SUBJECT);
  seen.requests.set("status", { op: "status", accountToken });
  seen.requests.set("delete", { op: "delete", accountToken, generation: 1 });
});
afterAll(() => service.close());

/** What a request that did not open may be answered. */
const REFUSED = [400, 404, 405, 413, 415, 421];
/** What an opened one may be told: never `unavailable`, for nothing is down here, so that would be a bug. */
const TOLD = [
  "unauthorized",
  "not-registered",
  "destroyed",
  "expired",
  "conflict",
  "rate-limited",
  "invalid-request",
];

async function expectRefusal(response: Response): Promise<void> {
  const text = await response.text();
  expect(REFUSED, text).toContain(response.status);
  expect(["invalid-request", "unknown-key"]).toContain(JSON.parse(text).error);
}

/** Sends a plaintext that is properly sealed, and says what came back. */
async function told(plaintext: Uint8Array, operation: Operation = "status"): Promise<string> {
  const envelope = await seal(service, plaintext);
  const response = await post(service.url, envelope.body);
  expect(response.status).toBe(200);
  const opened = await envelope.openAnswer(new Uint8Array(await response.arrayBuffer()));
  const answer = decodeAnswer(operation, opened);
  return "error" in answer ? answer.error : "ok";
}

function padded(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil((message.length + 1) / 2048) * 2048);
  out.set(message);
  out[message.length] = 0x80;
  return out;
}

/** Chance may make a compressed point, or a KE1 of two, that is as good as the one it replaces. */
function isSound(value: unknown): boolean {
  if (!(value instanceof Uint8Array)) return false;
  if (value.length === POINT_BYTES) return p256.utils.isValidPublicKey(value, true);
  return (
    value.length === KE1_BYTES && [value.slice(0, POINT_BYTES), value.slice(-POINT_BYTES)].every(isSound)
  );
}

const valid = (op: Operation): VaultRequest => {
  const request = seen.requests.get(op);
  if (!request) throw new Error(`no ${op} was seen`);
  return request;
};

describe("sealed requests", () => {
  test("bytes that are no envelope", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), async (body) => {
        await expectRefusal(await post(service.url, body));
        // The right version and key, then noise.
        const { body: real } = await seal(service, encodeRequest(valid("status")));
        await expectRefusal(await post(service.url, concat(real.subarray(0, 9), body)));
      }),
      { numRuns: 60 },
    );
  });

  test("every kind of damage to a real one", async () => {
    const { body } = await seal(service, encodeRequest(valid("delete")));
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.record({ bit: fc.integer({ min: 0, max: 8 * body.length - 1 }) }),
          fc.record({ length: fc.integer({ min: 0, max: body.length - 1 }) }),
          fc.record({ more: fc.uint8Array({ minLength: 1, maxLength: 50 }) }),
          fc.record({ enc: fc.uint8Array({ minLength: 65, maxLength: 65 }) }),
        ),
        async (damage) => {
          let spoilt = Uint8Array.from(body);
          if ("bit" in damage)
            spoilt[damage.bit >> 3] = (spoilt[damage.bit >> 3] ?? 0) ^ (1 << (damage.bit & 7));
          else if ("length" in damage) spoilt = spoilt.slice(0, damage.length);
          else if ("more" in damage) spoilt = Uint8Array.from(concat(spoilt, damage.more));
          else spoilt.set(damage.enc, 9);
          await expectRefusal(await post(service.url, spoilt));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("anything at all inside a good envelope", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 6_000 }), fc.boolean(), async (bytes, pad) => {
        expect(await told(pad ? padded(bytes) : bytes)).toBe("invalid-request");
      }),
      { numRuns: 60 },
    );
  });

  test("CBOR that is large, deep, endless, tagged, or not canonical", async () => {
    const request = encode(valid("status"));
    const repeat = (byte: number, times: number): Uint8Array => new Uint8Array(times).fill(byte);
    const hostile: Uint8Array[] = [
      repeat(0x81, 30_000),
      repeat(0xa1, 30_000),
      repeat(0xd8, 30_000),
      repeat(0x9f, 30_000),
      concat(repeat(0x81, 5_000), Uint8Array.of(0xf6)),
      ...[0x5b, 0x7b, 0x9b, 0xbb].flatMap((major) => [
        concat(Uint8Array.of(major), repeat(0xff, 8)),
        concat(Uint8Array.of(major, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff), repeat(0, 100)),
      ]),
      concat(Uint8Array.of(0xb8, (request[0] ?? 0) & 0x1f), request.subarray(1)),
      concat(Uint8Array.of(0xbf), request.subarray(1), Uint8Array.of(0xff)),
      concat(request, Uint8Array.of(0)),
      concat(Uint8Array.of(0xc2), request),
      encode({ ...valid("status"), extra: 1 }),
      encode({ ...valid("status"), accountToken: "x".repeat(28_000) }),
      encode({ ...valid("status"), op: "__proto__" }),
      encode(JSON.parse(`{"__proto__":{"op":"status"},"constructor":1}`)),
      encode([1, 2, 3]),
      encode(null),
      encode(Number.NaN),
    ];
    for (const message of hostile) expect(await told(padded(message))).toBe("invalid-request");
    const overpadded = concat(padded(request), new Uint8Array(2048));
    expect(await told(overpadded)).toBe("invalid-request");
  });

  test("any value in any field of a real message", async () => {
    const value = fc.oneof(
      fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true, maxDepth: 3 }),
      fc.uint8Array({ maxLength: 200 }),
      ...[32, 33, 60, 64, 98, 129].map((length) => fc.uint8Array({ minLength: length, maxLength: length })),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...OPERATIONS), fc.nat(), value, async (op, index, changed) => {
        const request = valid(op);
        const field = Object.keys(request)[index % Object.keys(request).length] ?? "op";
        let message: Uint8Array;
        try {
          message = encode({ ...request, [field]: changed });
        } catch {
          return; // No CBOR for it, hence no way to send it.
        }
        fc.pre(message.length < 20_000 && op !== "delete");
        const answers = isSound(changed) ? [...TOLD, "ok"] : TOLD;
        expect(answers).toContain(await told(padded(message), op));
      }),
      { numRuns: 300 },
    );
  });

  test("real messages at the wrong time, in the wrong place, of another account", async () => {
    const other = await service.issueToken("another-fuzzed-subject");
    for (const op of OPERATIONS) {
      const request = valid(op);
      expect([...TOLD, "ok"]).toContain(await told(encodeRequest({ ...request, accountToken: other }), op));
      for (const target of OPERATIONS) {
        const sameShape = ["status", "delete"].includes(op) && ["status", "delete"].includes(target);
        if (op === target || sameShape) continue;
        expect(await told(padded(encode({ ...valid(target), op })), op)).toBe("invalid-request");
      }
    }
  });
});

/** Pieces from which requests are made, right and wrong ones. */
const METHODS = [
  "GET",
  "POST",
  "HEAD",
  "PUT",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "PATCH",
  "PRI",
  "get",
  "",
  "X".repeat(99),
];
const PATHS = [
  "/v1/vault",
  "/v1/manifest",
  "/v1/fleet",
  "/v1/fleet/1",
  "/readyz",
  "/metrics",
  "*",
  "/",
  "//",
  "/v1/vault/../../x",
  "http://x/v1/vault",
  "/%00",
  "/%ff%",
  "/?".padEnd(3_000, "x"),
  "/v1\\vault",
  "/\u0000",
  "/ü",
];
const VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "HTTP/1.1 x"];
const HEADERS = [
  "host: x",
  "connection: close",
  "connection: upgrade\r\nupgrade: websocket",
  "expect: 100-continue",
  "expect: something",
  "content-length: 5",
  "content-length: -1",
  "content-length: 99999999999999999999",
  "content-length: 5\r\ncontent-length: 6",
  "transfer-encoding: chunked",
  "transfer-encoding: chunked\r\ncontent-length: 3",
  "transfer-encoding: gzip, chunked",
  `content-type: ${ENVELOPE_CONTENT_TYPE}`,
  "content-type: \u0000",
  "content-encoding: br",
  "x-forwarded-for: ::::::, 1.2.3.4",
  "authorization: Bearer x",
  "if-none-match: *",
  "range: bytes=0-0,1-1,2-2",
  `x: ${"y".repeat(3_000)}`,
  ": no name",
  "bare",
  " folded: x",
  "x\u0000: y",
];
const BODIES = [
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "ffffffffffffffff\r\nx",
  "5\r\nhel",
  "0\r\nx: y\r\n\r\n",
  "z\r\n",
  "-1\r\n",
];

/** The status lines among the bytes that came back. */
const statuses = (received: string): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));

describe("HTTP itself", () => {
  test("requests from wrong pieces, alone and pipelined", async () => {
    const request = fc
      .record({
        method: fc.constantFrom(...METHODS),
        path: fc.constantFrom(...PATHS),
        version: fc.constantFrom("HTTP/1.1", ...VERSIONS),
        headers: fc.subarray(HEADERS, { maxLength: 6 }),
        body: fc.constantFrom(...BODIES),
      })
      .map(({ method, path, version, headers, body }) =>
        [`${method} ${path} ${version}`, ...headers, "", body].join("\r\n"),
      );
    const close = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    await fc.assert(
      // Many at once, for each may be hung up on only after the time that a request may take.
      fc.asyncProperty(
        fc.array(fc.array(request, { minLength: 1, maxLength: 4 }), { minLength: 30, maxLength: 30 }),
        async (all) => {
          const received = await Promise.all(
            all.map((parts) => raw(service.url, parts.join("") + close).catch(() => "")),
          );
          for (const status of received.flatMap(statuses))
            expect(status === 501 || status < 500, String(status)).toBe(true);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("noise on the wire", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 30, maxLength: 30 }),
        async (all) => {
          const received = await Promise.all(all.map((bytes) => raw(service.url, bytes).catch(() => "")));
          for (const status of received.flatMap(statuses)) expect([400, 408, 431]).toContain(status);
        },
      ),
      { numRuns: 3 },
    );
  });

  test("a real request in pieces, in chunks, after others on one connection, and broken off", async () => {
    const { body } = await seal(service, encodeRequest(valid("status")));
    const head = `POST /v1/vault HTTP/1.1\r\nhost: x\r\ncontent-type: ${ENVELOPE_CONTENT_TYPE}\r\n`;
    const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
    const whole = (close: boolean): Buffer =>
      Buffer.concat([
        bytes(`${head}content-length: ${body.length}\r\n${close ? "connection: close\r\n" : ""}\r\n`),
        body,
      ]);
    const chunks = [...body].map((byte) => Buffer.concat([bytes("1\r\n"), Buffer.of(byte), bytes("\r\n")]));
    const chunked = Buffer.concat([
      bytes(`${head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n`),
      ...chunks,
      bytes("0\r\n\r\n"),
    ]);
    expect(statuses(await raw(service.url, chunked))).toEqual([200]);
    expect(
      statuses(await raw(service.url, Buffer.concat([whole(false), whole(false), whole(true)]))),
    ).toEqual([200, 200, 200]);
    for (const length of [10, 100, 200, 1_000, body.length])
      for (const status of statuses(await raw(service.url, whole(true).subarray(0, length))))
        expect([400, 408]).toContain(status);
  });
});

describe("afterwards", () => {
  test("a registration and a recovery work, and nothing is left over", async () => {
    const backupKey = await register(service, "after-the-storm", CODE, seen);
    expect(await recover(service, "after-the-storm", "another code")).toBeUndefined();
    expect(await recover(service, "after-the-storm", CODE, seen)).toEqual(backupKey);
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    expect(metrics).toMatch(/^strongroom_requests_in_flight 0$/m);
    expect(metrics).not.toMatch(/outcome="unavailable"/);
    expect(await service.service.readiness()).toMatchObject({ ready: true });
  });

  test("the log has a line for every request, none of them of a bug, none with a secret", () => {
    const { logs, hsm } = service;
    expect(logs.filter((line) => line.includes('"msg":"request"')).length).toBeGreaterThan(500);
    expect(logs.filter((line) => /"level":"error"|"code":"internal"|"unavailable"/.test(line))).toEqual([]);
    const pins = [hsm.pinFile, hsm.soPinFile].map((file) => ({
      name: "PIN",
      value: readFileSync(file, "utf8").trim(),
    }));
    const text = logs.join("");
    expect(seen.secrets.length).toBeGreaterThan(20);
    for (const { name, value } of [...seen.secrets, ...pins]) {
      const buffer = Buffer.from(value);
      const forms = [
        buffer.toString("hex"),
        buffer.toString("base64").replace(/=+$/, ""),
        buffer.toString("base64url"),
      ];
      const plain = typeof value === "string" ? [value, JSON.stringify(value).slice(1, -1)] : [];
      for (const form of [...forms, ...plain]) expect(text.includes(form), name).toBe(false);
      // Part of a secret is one too.
      if (buffer.length >= 32)
        expect(text.includes(buffer.subarray(8, 20).toString("hex")), name).toBe(false);
    }
    // Every JWT starts so.
    expect(text).not.toContain("eyJ");
  });
});

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CompactSign, exportJWK, type JWK, type JWTPayload, SignJWT } from "jose";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type AccountVerifier,
  createAccountVerifier,
  type IssuerAlgorithm,
} from "../../src/vault/account-token.ts";

const NOW = 1_800_000_000_000;
const S = NOW / 1000;
const ISSUER = "https://accounts.example";
const dir = mkdtempSync(join(tmpdir(), "strongroom-jwks-"));
afterAll(() => rmSync(dir, { recursive: true }));

interface Key {
  readonly private: KeyObject;
  readonly jwk: JWK;
  readonly alg: string;
}

const PAIRS = {
  EdDSA: () => generateKeyPairSync("ed25519"),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  RS1024: () => generateKeyPairSync("rsa", { modulusLength: 1024 }),
  ES384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
};
async function key(kind: keyof typeof PAIRS, kid: string): Promise<Key> {
  const pair = PAIRS[kind]();
  const alg = kind === "RS1024" ? "RS256" : kind;
  return { private: pair.privateKey, alg, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg } };
}

const ed = await key("EdDSA", "ed");
const es = await key("ES256", "es");
const rs = await key("RS256", "rs");
const other = await key("EdDSA", "ed");

let files = 0;
function jwksFile(...keys: readonly JWK[]): string {
  const path = join(dir, `jwks-${files++}.json`);
  writeFileSync(path, JSON.stringify({ keys }));
  return path;
}

const clock = { at: NOW, now: () => clock.at };
afterEach(() => {
  clock.at = NOW;
});

function verifier(
  jwks: { jwksFile: string } | { jwksUrl: string } = { jwksFile: jwksFile(ed.jwk, es.jwk, rs.jwk) },
  algorithms: readonly IssuerAlgorithm[] = ["EdDSA", "ES256", "RS256"],
): AccountVerifier {
  return createAccountVerifier({
    fleet: "example",
    clock,
    issuers: [{ issuer: ISSUER, tenant: "app", algorithms, ...jwks }],
  });
}

const CLAIMS = { iss: ISSUER, sub: "alice", aud: "example", iat: S, exp: S + 300, scope: "register recover" };
const sign = (claims: JWTPayload = CLAIMS, by: Key = ed, header: object = {}): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg: by.alg, kid: by.jwk.kid ?? "", ...header }).sign(by.private);
const unsigned = (header: object, claims: object = CLAIMS): string =>
  `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.`;

const unauthorized = expect.objectContaining({ code: "unauthorized" });
const unavailable = expect.objectContaining({ code: "unavailable" });

describe("accepted", () => {
  test.each([
    ["EdDSA", ed],
    ["ES256", es],
    ["RS256", rs],
  ] as const)("%s", async (_, by) => {
    expect(await verifier().verify(await sign(CLAIMS, by), "recover")).toEqual({
      tenant: "app",
      subject: "alice",
    });
  });

  test.each([
    ["aud as a list that contains the fleet", { aud: ["another", "example"] }],
    ["exactly ten minutes", { exp: S + 600 }],
    ["issued by a clock 5 seconds ahead", { iat: S + 5, exp: S + 300 }],
    ["expired 4 seconds ago", { iat: S - 300, exp: S - 4 }],
    ["not before 5 seconds from now", { nbf: S + 5 }],
    ["a subject of 256 characters", { sub: "x".repeat(256) }],
    ["a subject in any script", { sub: "ælíz 🗝" }],
  ])("%s", async (_, claims) => {
    const all = { ...CLAIMS, ...claims };
    expect(await verifier().verify(await sign(all), "recover")).toEqual({ tenant: "app", subject: all.sub });
  });
});

describe("refused", () => {
  test.each<[string, JWTPayload]>([
    ["another issuer", { iss: "https://evil.example" }],
    ["a prefix of the issuer", { iss: `${ISSUER}/` }],
    ["another fleet", { aud: "example-2" }],
    ["a list of other fleets", { aud: ["a", "b"] }],
    ["expired", { iat: S - 300, exp: S - 5 }],
    ["a lifetime beyond ten minutes", { exp: S + 601 }],
    ["an old iat that makes a long life look short", { iat: S - 1000, exp: S + 10 }],
    ["issued in the future", { iat: S + 6, exp: S + 300 }],
    ["not yet valid", { nbf: S + 6 }],
    ["no subject", { sub: "" }],
    ["a subject of 257 characters", { sub: "x".repeat(257) }],
    ["a subject with half a character", { sub: "a\ud800" }],
    ["another scope", { scope: "register status delete" }],
    ["a scope that only contains the word", { scope: "recovery norecover recover,status" }],
    ["an empty scope", { scope: "" }],
    ["a scope that is a list", { scope: ["recover"] }],
    ["exp as text", { exp: String(S + 300) as unknown as number }],
    ["iat as text", { iat: String(S) as unknown as number }],
    ["a subject that is a number", { sub: 7 as unknown as string }],
  ])("%s", async (_, claims) => {
    await expect(verifier().verify(await sign({ ...CLAIMS, ...claims }), "recover")).rejects.toEqual(
      unauthorized,
    );
  });

  test.each(["iss", "sub", "aud", "exp", "iat", "scope"])("without %s", async (claim) => {
    const claims = Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => name !== claim));
    await expect(verifier().verify(await sign(claims), "recover")).rejects.toEqual(unauthorized);
  });

  test("no signature, an HMAC with the public key, another algorithm", async () => {
    const hmacKey = new TextEncoder().encode(JSON.stringify(ed.jwk));
    const hmac = await new SignJWT(CLAIMS).setProtectedHeader({ alg: "HS256", kid: "ed" }).sign(hmacKey);
    const es384 = await key("ES384", "es384");
    for (const token of [
      unsigned({ alg: "none" }),
      unsigned({ alg: "none", kid: "ed" }),
      hmac,
      await sign(CLAIMS, es384),
    ])
      await expect(verifier().verify(token, "recover")).rejects.toEqual(unauthorized);
  });

  test("an algorithm that this issuer does not use, though its key is there", async () => {
    const only = verifier({ jwksFile: jwksFile(ed.jwk, es.jwk) }, ["EdDSA"]);
    await expect(only.verify(await sign(CLAIMS, es), "recover")).rejects.toEqual(unauthorized);
  });

  test("another key under the same id, an unknown id, a key in the token itself", async () => {
    for (const token of [
      await sign(CLAIMS, other),
      await sign(CLAIMS, ed, { kid: "unknown" }),
      await sign(CLAIMS, other, { kid: undefined, jwk: other.jwk }),
    ])
      await expect(verifier().verify(token, "recover")).rejects.toEqual(unauthorized);
  });

  test("every change of a single character", async () => {
    const token = await sign();
    const verify = verifier();
    for (let i = 0; i < token.length; i++) {
      const changed = `${token.slice(0, i)}${token[i] === "A" ? "B" : "A"}${token.slice(i + 1)}`;
      await expect(verify.verify(changed, "recover"), `at ${i}`).rejects.toEqual(unauthorized);
    }
  });

  test("another spelling of the same signature", async () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const token = await sign();
    // 64 bytes leave four unused bits in the last character.
    const spelt = token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? "") + 1];
    expect(Buffer.from(spelt.split(".")[2] ?? "", "base64url")).toEqual(
      Buffer.from(token.split(".")[2] ?? "", "base64url"),
    );
    await expect(verifier().verify(spelt, "recover")).rejects.toEqual(unauthorized);
  });

  test("what is no JWT, a critical extension, and what is too long", async () => {
    const crit = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
      .setProtectedHeader({ alg: "EdDSA", kid: "ed", crit: ["x"], x: 1 } as never)
      .sign(ed.private, { crit: { x: true } })
      .catch(() => "x");
    for (const token of ["x", "..", "a.b.c", "", `${await sign()}.`, crit, "a".repeat(5000)])
      await expect(verifier().verify(token, "recover")).rejects.toEqual(unauthorized);
  });

  test("the reason never repeats the token or its claims", async () => {
    const token = await sign({ ...CLAIMS, sub: "very-secret-name", aud: "another" });
    const error: unknown = await verifier()
      .verify(token, "recover")
      .catch((cause: unknown) => cause);
    expect(error).toEqual(unauthorized);
    expect(String(error)).toContain("aud");
    expect(String(error)).not.toMatch(/very-secret-name|eyJ/);
  });
});

describe("keys in a file", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  /** Beyond the interval at which files are looked at. */
  const later = (): void => {
    vi.advanceTimersByTime(1_500);
  };

  test("a removed key stops verifying within a second, remembered tokens included; a new one works", async () => {
    const path = jwksFile(ed.jwk);
    const { verify } = verifier({ jwksFile: path });
    const token = await sign();
    await verify(token, "recover");
    writeFileSync(path, JSON.stringify({ keys: [es.jwk] }));
    later();
    await expect(verify(token, "recover")).rejects.toEqual(unauthorized);
    await verify(await sign(CLAIMS, es), "recover");
  });

  test("a file that is gone or broken is unavailable, never unauthorized, until it is mended", async () => {
    const path = jwksFile(ed.jwk);
    const { verify } = verifier({ jwksFile: path });
    const token = await sign();
    await verify(token, "recover");
    for (const damage of [
      () => rmSync(path),
      () => writeFileSync(path, "{"),
      () => writeFileSync(path, "{}"),
    ]) {
      damage();
      later();
      await expect(verify(token, "recover")).rejects.toEqual(unavailable);
    }
    writeFileSync(path, JSON.stringify({ keys: [ed.jwk] }));
    later();
    await verify(token, "recover");
  });

  test("a change that keeps size and modification time is seen", async () => {
    const path = jwksFile(ed.jwk);
    utimesSync(path, 1, 1);
    const { verify } = verifier({ jwksFile: path });
    await verify(await sign(), "recover");
    writeFileSync(path, JSON.stringify({ keys: [other.jwk] }));
    utimesSync(path, 1, 1);
    later();
    await expect(verify(await sign(), "recover")).rejects.toEqual(unauthorized);
  });

  test("short RSA keys, secret keys and private keys are not accepted as an issuer's", async () => {
    const short = await key("RS1024", "short");
    const secret: JWK = { kty: "oct", k: "c2VjcmV0", kid: "ed" };
    const leaked: JWK = { ...(await exportJWK(ed.private)), kid: "ed" };
    for (const jwk of [short.jwk, secret, leaked]) {
      const { verify } = verifier({ jwksFile: jwksFile(ed.jwk, jwk) });
      await expect(verify(await sign(), "recover")).rejects.toEqual(unavailable);
    }
  });
});

describe("remembering", () => {
  test("a remembered token still needs the scope, and ends with its time", async () => {
    const { verify } = verifier();
    const token = await sign({ ...CLAIMS, exp: S + 10 });
    await verify(token, "recover");
    await verify(token, "recover");
    await expect(verify(token, "delete")).rejects.toEqual(unauthorized);
    clock.at = NOW + 16_000;
    await expect(verify(token, "recover")).rejects.toEqual(unauthorized);
  });
});

describe("keys at a URL", () => {
  let server: Server;
  let url: string;
  let asked: number;
  let keys: JWK[];
  let status: number;
  beforeEach(async () => {
    asked = 0;
    keys = [ed.jwk];
    status = 200;
    server = createServer((_request, response) => {
      asked++;
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ keys }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    vi.useFakeTimers({ toFake: ["Date", "performance"], now: NOW });
  });
  afterEach(async () => {
    vi.useRealTimers();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test("fetched once for many tokens", async () => {
    const { verify } = verifier({ jwksUrl: url });
    for (let i = 0; i < 5; i++) await verify(await sign({ ...CLAIMS, sub: `user-${i}` }), "recover");
    expect(asked).toBe(1);
  });

  test("unknown key ids cannot make us flood the issuer", async () => {
    const { verify } = verifier({ jwksUrl: url });
    for (let i = 0; i < 20; i++)
      await expect(verify(await sign(CLAIMS, ed, { kid: `k${i}` }), "recover")).rejects.toEqual(unauthorized);
    expect(asked).toBe(1);
  });

  test("unreachable or answering nonsense is unavailable; it recovers", async () => {
    const { verify } = verifier({ jwksUrl: url });
    const token = await sign();
    status = 503;
    await expect(verify(token, "recover")).rejects.toEqual(unavailable);
    for (let i = 0; i < 20; i++) await expect(verify(token, "recover")).rejects.toEqual(unavailable);
    expect(asked).toBe(1);
    status = 200;
    vi.advanceTimersByTime(1_100);
    await verify(token, "recover");
  });

  test("a removed key stops verifying within 60 seconds", async () => {
    const { verify } = verifier({ jwksUrl: url });
    const token = await sign();
    await verify(token, "recover");
    keys = [es.jwk];
    clock.at += 59_000;
    vi.advanceTimersByTime(59_000);
    await expect(verify(token, "recover")).rejects.toEqual(unauthorized);
  });

  test("a short outage of the issuer is not felt", async () => {
    const { verify } = verifier({ jwksUrl: url });
    await verify(await sign(), "recover");
    status = 500;
    vi.advanceTimersByTime(20_000);
    await verify(await sign({ ...CLAIMS, sub: "bob" }), "recover");
  });
});

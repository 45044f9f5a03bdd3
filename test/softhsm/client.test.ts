/** The SDK against a real service on SoftHSM: everything a person can do, and everything that can go wrong for them. */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import {
  createVaultClient,
  generateRecoveryCode,
  StrongroomError,
  type VaultClient,
  type VaultClientOptions,
} from "../../src/client/index.ts";
import { keyId } from "../../src/crypto/key-id.ts";
import { COOKIE_LIFETIME_MS } from "../../src/wire/limits.ts";
import { encodeManifest, type ManifestRole } from "../../src/wire/manifest.ts";
import { code } from "../support/codes.ts";
import { type FaultyProxy, startFaultyProxy } from "../support/faulty-proxy.ts";
import { startTestService, TENANT, type TestService } from "../support/service.ts";
import { EcSigner } from "../support/signers.ts";

const CODE = "tram lamp river";
const WRONG = "tram lamp rivet";

let service: TestService;
let proxy: FaultyProxy;
let subjects = 0;
const site = (): string => service.manifest.sites[0]?.name ?? "";
const newSubject = (): string => `user-${++subjects}`;

beforeAll(async () => {
  service = await startTestService();
  proxy = await startFaultyProxy(service.url);
});
afterAll(async () => {
  await proxy?.close();
  await service?.close();
});
afterEach(() => {
  proxy.mode = "pass";
  vi.useRealTimers();
});

function clientFor(subject: string, options: Partial<VaultClientOptions> = {}): VaultClient {
  return createVaultClient({
    manifest: service.manifestBytes,
    account: { tenant: TENANT, subject },
    accountToken: () => service.issueToken(subject),
    ...options,
  });
}
describe("a person", () => {
  test("gets the backup key back with the code, from another device", async () => {
    const subject = newSubject();
    const { backupKey, generation } = await clientFor(subject).register(CODE);
    expect(backupKey).toHaveLength(32);
    expect(generation).toBe(1);
    expect(await clientFor(subject).recover(`  ${CODE} `)).toEqual({
      backupKey,
      generation: 1,
      attemptsLeft: 10,
    });
  });

  test.each(["a PIN", "a generated code"])("may use %s", async (kind) => {
    const recoveryCode = kind === "a PIN" ? "493817" : generateRecoveryCode();
    const client = clientFor(newSubject());
    const given = crypto.getRandomValues(new Uint8Array(32));
    const kept = given.slice();
    expect((await client.register(recoveryCode, given)).backupKey).toEqual(kept);
    expect((await client.recover(recoveryCode.toLowerCase().replaceAll("-", " "))).backupKey).toEqual(kept);
  });

  test("is told how many attempts a wrong code leaves, and has all again after the right one", async () => {
    const client = clientFor(newSubject());
    await client.register(CODE);
    await expect(client.recover(WRONG)).rejects.toThrow(code("wrong-recovery-code", { attemptsLeft: 9 }));
    await expect(client.recover(WRONG)).rejects.toThrow("wrong recovery code, 8 attempts left");
    expect(await client.status()).toMatchObject({
      state: "active",
      attemptsLeft: 8,
      maxAttempts: 10,
      generation: 1,
    });
    expect((await client.recover(CODE)).attemptsLeft).toBe(10);
    expect((await client.status()).attemptsLeft).toBe(10);
  });

  test("loses the record with the last attempt, even with the right code afterwards", async () => {
    const client = clientFor(newSubject());
    await client.register(CODE);
    for (let attemptsLeft = 9; attemptsLeft >= 0; attemptsLeft--)
      await expect(client.recover(WRONG)).rejects.toThrow(code("wrong-recovery-code", { attemptsLeft }));
    await expect(client.recover(CODE)).rejects.toThrow(code("destroyed", { attemptsLeft: 0 }));
    await expect(client.recover(CODE)).rejects.toThrow(code("destroyed"));
    expect(await client.status()).toMatchObject({ state: "destroyed", attemptsLeft: 0 });
    const { generation } = await client.register(CODE);
    expect(generation).toBe(2);
    expect((await client.recover(CODE)).generation).toBe(2);
  });

  test("can change the code and keep the key", async () => {
    const client = clientFor(newSubject());
    const { backupKey } = await client.register(CODE);
    const again = await client.register("another river altogether", backupKey);
    expect(again).toEqual({ backupKey, generation: 2 });
    await expect(client.recover(CODE)).rejects.toThrow(code("wrong-recovery-code"));
    expect((await client.recover("another river altogether")).backupKey).toEqual(backupKey);
  });

  test("can delete the record and register anew", async () => {
    const client = clientFor(newSubject());
    await expect(client.recover(CODE)).rejects.toThrow(code("not-registered"));
    await expect(client.status()).rejects.toThrow(code("not-registered"));
    await client.register(CODE);
    await client.delete();
    await expect(client.recover(CODE)).rejects.toThrow(code("not-registered"));
    await client.register(CODE);
    expect((await client.recover(CODE)).attemptsLeft).toBe(10);
  });

  test("spends no attempt on a typo in a generated code, nor registers a weak password", async () => {
    const client = clientFor(newSubject());
    await expect(client.register("12345678")).rejects.toThrow(code("recovery-code-invalid"));
    await expect(client.status()).rejects.toThrow(code("not-registered"));
    const generated = generateRecoveryCode();
    await client.register(generated);
    const typo = generated.replace(/.$/, (last) => (last === "7" ? "8" : "7"));
    await expect(client.recover(typo)).rejects.toThrow(code("recovery-code-invalid"));
    expect((await client.status()).attemptsLeft).toBe(10);
  });

  test("never sees the code or a key in an error", async () => {
    const client = clientFor(newSubject());
    const { backupKey } = await client.register(CODE);
    const attempts = [
      () => client.recover(WRONG),
      () => client.register("riverrr"),
      () => client.register(CODE, backupKey.slice(1)),
    ];
    for (const attempt of attempts) {
      const error: unknown = await attempt().then(
        () => undefined,
        (failure: unknown) => failure,
      );
      expect(error).toBeInstanceOf(StrongroomError);
      const all = JSON.stringify(error, Object.getOwnPropertyNames(error));
      for (const secret of ["rivet", "riverr", toHex(backupKey)]) expect(all).not.toContain(secret);
    }
  });

  test("is not served with somebody else's token", async () => {
    const [alice, bob] = [newSubject(), newSubject()];
    await clientFor(alice).register(CODE);
    const thief = clientFor(alice, { accountToken: () => service.issueToken(bob) });
    await expect(thief.recover(CODE)).rejects.toThrow(code("not-registered"));
    await clientFor(bob).register(CODE);
    await expect(thief.recover(CODE)).rejects.toThrow(code("wrong-recovery-code"));
    const limited = clientFor(alice, { accountToken: () => service.issueToken(alice, ["status"]) });
    await expect(limited.recover(CODE)).rejects.toThrow(code("unauthorized"));
    expect((await clientFor(alice).status()).attemptsLeft).toBe(10);
  });
});

describe("answers that are lost on their way", () => {
  /** A client whose n-th request loses its answer where `cuts[n]` says so; the account token is asked for per try. */
  function unlucky(subject: string, cuts: boolean[]): VaultClient {
    return clientFor(subject, {
      siteUrls: { [site()]: proxy.url.replace("https:", "http:") },
      accountToken: () => {
        proxy.mode = cuts.shift() ? "cut" : "pass";
        return service.issueToken(subject);
      },
    });
  }

  test("leave a deletion done, and not taken for one of nothing", async () => {
    const subject = newSubject();
    await clientFor(subject).register(CODE);
    await unlucky(subject, [false, true, true]).delete();
    await expect(clientFor(subject).status()).rejects.toThrow(code("not-registered"));
  });

  test("cost no attempt, no generation and no key, whichever they are", async () => {
    const schedule = fc.array(fc.boolean(), { minLength: 6, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(schedule, async (cuts) => {
        const client = unlucky(newSubject(), [...cuts]);
        const { backupKey, generation } = await client.register(CODE);
        expect(generation).toBe(1);
        for (const attemptsLeft of [9, 8])
          await expect(client.recover(WRONG)).rejects.toThrow(code("wrong-recovery-code", { attemptsLeft }));
        expect(await client.recover(CODE)).toEqual({ backupKey, generation: 1, attemptsLeft: 10 });
        await expect(client.recover(WRONG)).rejects.toThrow(code("wrong-recovery-code", { attemptsLeft: 9 }));
      }),
      { numRuns: 8, examples: [[Array.from({ length: 12 }, (_, i) => i % 2 === 0)]] },
    );
  });

  test("cost nothing at the last attempt either", async () => {
    const subject = newSubject();
    const { backupKey } = await clientFor(subject).register(CODE);
    for (let i = 0; i < 9; i++)
      await expect(clientFor(subject).recover(WRONG)).rejects.toThrow(code("wrong-recovery-code"));
    const recovered = await unlucky(subject, [true, true, false, true, true]).recover(CODE);
    expect(recovered).toEqual({ backupKey, generation: 1, attemptsLeft: 10 });
  });

  test("are made up for when they return damaged", async () => {
    const subject = newSubject();
    let damaged = 0;
    const client = clientFor(subject, {
      fetch: async (...request) => {
        const response = await fetch(...request);
        const body = new Uint8Array(await response.arrayBuffer());
        if (damaged++ % 2 === 0) body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
        return new Response(body, { status: response.status, headers: response.headers });
      },
    });
    await client.register(CODE);
    await expect(client.recover(WRONG)).rejects.toThrow(code("wrong-recovery-code", { attemptsLeft: 9 }));
    expect(damaged).toBe(6);
  });

  test("a recovery that takes longer than its cookie goes on as the same attempt", async () => {
    const subject = newSubject();
    await clientFor(subject).register(CODE);
    await expect(clientFor(subject).recover(WRONG)).rejects.toThrow(code("wrong-recovery-code"));
    vi.useFakeTimers({ toFake: ["Date"] });
    let requests = 0;
    const seen: number[] = [];
    const slow = clientFor(subject, {
      accountToken: async () => {
        // Before the first finish its cookie expires; a status shows what the attempts are then.
        if (++requests === 2) vi.setSystemTime(Date.now() + COOKIE_LIFETIME_MS + 60_000);
        if (requests > 1) seen.push((await clientFor(subject).status()).attemptsLeft);
        return service.issueToken(subject);
      },
    });
    expect((await slow.recover(CODE)).attemptsLeft).toBe(10);
    expect(requests).toBe(4);
    expect(seen).toEqual([8, 8, 8]);
  });

  test("a service that is down is unavailable, within the time that was given", async () => {
    const siteUrls = { [site()]: "http://127.0.0.1:1" };
    const client = clientFor(newSubject(), { siteUrls, retryForMs: 500 });
    await expect(client.register(CODE)).rejects.toThrow(code("unavailable"));
    await expect(client.status()).rejects.toThrow(code("unavailable"));
  });
});

describe("a manifest", () => {
  /** The manifest with another key in one role. */
  function substituted(role: ManifestRole, keepKid = false): Uint8Array {
    const { publicKey, hex } = new EcSigner();
    const keys = service.manifest.keys.map((key) => {
      if (key.role !== role) return key;
      return { ...key, publicKey: hex, kid: keepKid ? key.kid : toHex(keyId(publicKey)) };
    });
    return encodeManifest({ ...service.manifest, keys });
  }

  test("that is not the pinned one is refused", () => {
    const manifestSha256 = toHex(new Uint8Array(32));
    expect(() => clientFor("x", { manifestSha256 })).toThrow(code("manifest-invalid"));
  });

  test("that is the pinned one is taken", async () => {
    const digest = await crypto.subtle.digest("SHA-256", Uint8Array.from(service.manifestBytes));
    expect(() => clientFor("x", { manifestSha256: toHex(new Uint8Array(digest)) })).not.toThrow();
  });

  test("with a substituted session key reaches no vault", async () => {
    expect(() => clientFor("x", { manifest: substituted("session", true) })).toThrow(
      code("manifest-invalid"),
    );
    const client = clientFor(newSubject(), { manifest: substituted("session") });
    await expect(client.register(CODE)).rejects.toThrow(code("unknown-key"));
  });

  test("with a substituted ake key neither registers nor recovers", async () => {
    const subject = newSubject();
    const other = clientFor(subject, { manifest: substituted("ake") });
    await expect(other.register(CODE)).rejects.toThrow(code("manifest-invalid"));
    await expect(clientFor(subject).status()).rejects.toThrow(code("not-registered"));
    await clientFor(subject).register(CODE);
    await expect(other.recover(CODE)).rejects.toThrow(code("manifest-invalid"));
  });

  test("with a substituted identity key believes no acknowledgment", async () => {
    const client = clientFor(newSubject(), { manifest: substituted("identity") });
    await expect(client.register(CODE)).rejects.toThrow(code("manifest-invalid"));
  });
});

import type { IncomingMessage } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressKey, clientAddress, trustedProxies } from "../../src/service/client-address.ts";
import { createRateLimiter } from "../../src/service/rate-limit.ts";
import { createSeenEnvelopes } from "../../src/service/seen-envelopes.ts";
import { nearest } from "../../src/token/nearest.ts";
import { ACCOUNT_TOKEN_MEMORY_MS } from "../../src/wire/limits.ts";

describe("rate limit", () => {
  const limiter = (perSecond: number, burst: number, remembered?: number) => {
    const clock = { at: 1000, now: () => clock.at };
    const options = { perSecond, burst, clock, ...(remembered ? { remembered } : {}) };
    return { clock, ...createRateLimiter(options) };
  };

  test("a burst passes, then the rate", () => {
    const { clock, take } = limiter(2, 3);
    expect([1, 2, 3].map(() => take("a"))).toEqual([0, 0, 0]);
    expect(take("a")).toBe(1);
    clock.at += 499;
    expect(take("a")).toBe(1);
    clock.at += 1;
    expect([take("a"), take("a")]).toEqual([0, 1]);
  });

  test("addresses do not count against each other", () => {
    const { take } = limiter(1, 1);
    expect([take("a"), take("a"), take("b")]).toEqual([0, 1, 0]);
  });

  test("never more than burst + rate × time, whatever the pattern", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 1000, noNaN: true }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 200 }),
        (perSecond, burst, gaps) => {
          const { clock, take } = limiter(perSecond, burst);
          const start = clock.at;
          let passed = 0;
          for (const gap of gaps) {
            clock.at += gap;
            if (take("a") === 0) passed++;
            expect(passed).toBeLessThanOrEqual(burst + ((clock.at - start) / 1000) * perSecond + 1e-6);
          }
        },
      ),
    );
  });

  test("waiting as told is enough", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 100, noNaN: true }),
        fc.integer({ min: 1, max: 20 }),
        (rate, burst) => {
          const { clock, take } = limiter(rate, burst);
          for (let i = 0; i < burst; i++) take("a");
          const wait = take("a");
          expect(wait).toBeGreaterThan(0);
          clock.at += wait * 1000;
          expect(take("a")).toBe(0);
        },
      ),
    );
  });

  test("only so many addresses are remembered, the latest ones", () => {
    const { take } = limiter(0.001, 1, 2);
    for (const address of ["a", "b", "c"]) take(address);
    expect([take("c"), take("b")]).not.toContain(0);
    expect(take("a")).toBe(0);
  });
});

describe("whose request it is", () => {
  const from = (
    peer: string,
    forwarded?: string,
    trust: Parameters<typeof trustedProxies>[0] = false,
  ): string =>
    clientAddress(
      {
        socket: { remoteAddress: peer },
        headers: { "x-forwarded-for": forwarded },
      } as unknown as IncomingMessage,
      trustedProxies(trust),
    );

  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::1", "2001:db8:1:2::/64"],
    ["2001:DB8:1:0002::9", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["nonsense", undefined],
  ])("%s counts as %s", (address, key) => expect(addressKey(address)).toBe(key));

  test.each([
    ["what a client says of itself is not believed", from("192.0.2.1", "203.0.113.9"), "192.0.2.1"],
    ["one hop: the last entry", from("10.0.0.1", "203.0.113.9, 198.51.100.7", 1), "198.51.100.7"],
    ["two hops: the one before", from("10.0.0.1", "203.0.113.9, 198.51.100.7", 2), "203.0.113.9"],
    ["more hops than entries", from("10.0.0.1", "203.0.113.9", 5), "203.0.113.9"],
    ["no header", from("10.0.0.1", undefined, 1), "10.0.0.1"],
    ["nonsense", from("10.0.0.1", "evil, , ", 1), "10.0.0.1"],
    [
      "a list: as far as it goes",
      from("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.9.9.9", ["10.0.0.0/8"]),
      "203.0.113.9",
    ],
    ["a list: a peer that is not in it", from("192.0.2.1", "203.0.113.9", ["10.0.0.0/8"]), "192.0.2.1"],
    ["a name", from("::ffff:127.0.0.1", "203.0.113.9", ["loopback"]), "203.0.113.9"],
    ["IPv6 in a list", from("fd00::1", "2001:db8::1", ["uniquelocal"]), "2001:db8:0:0::/64"],
  ])("%s", (_, found, expected) => expect(found).toBe(expected));
});

test("the nearest known word, or none", () => {
  const known = ["host", "port", "operations", "requestTimeoutMs"];
  expect(nearest("hots", known)).toBe("host");
  expect(nearest("operation", known)).toBe("operations");
  expect(nearest("requesttimeout", known)).toBe("requestTimeoutMs");
  expect(nearest("zzzzzz", known)).toBeUndefined();
});

describe("envelopes that were here before", () => {
  const LIFETIME = ACCOUNT_TOKEN_MEMORY_MS;
  const enc = (n: number): Uint8Array => new Uint8Array(65).fill(n);
  const memory = () => {
    const clock = { at: 50 * LIFETIME, now: () => clock.at };
    const seen = createSeenEnvelopes(clock);
    const isNew = (n: number): boolean => {
      try {
        seen.admit("recover-start", enc(n));
        return true;
      } catch (error) {
        expect(error).toMatchObject({ code: "unavailable" });
        return false;
      }
    };
    return { clock, isNew };
  };

  test("are known for a lifetime at least, and forgotten after two", () => {
    for (const offset of [0, 1, LIFETIME / 2, LIFETIME - 1]) {
      const { clock, isNew } = memory();
      clock.at += offset;
      expect([isNew(1), isNew(2), isNew(1)]).toEqual([true, true, false]);
      for (let passed = 0; passed < LIFETIME; passed += LIFETIME / 10) {
        clock.at += LIFETIME / 10;
        expect(isNew(2)).toBe(false);
      }
      clock.at += LIFETIME;
      isNew(3);
      clock.at += LIFETIME;
      expect(isNew(1)).toBe(true);
    }
  });

  test("stay known when the clock is set back, and are forgotten when it has gone on for long enough", () => {
    const { clock, isNew } = memory();
    isNew(1);
    clock.at -= 40 * LIFETIME;
    expect(isNew(1)).toBe(false);
    clock.at += LIFETIME;
    isNew(2);
    clock.at += LIFETIME;
    expect(isNew(1)).toBe(true);
  });

  test("are taken again where a repetition does nothing more", () => {
    const seen = createSeenEnvelopes({ now: () => 0 });
    for (const operation of ["register-finish", "recover-finish", "status"] as const)
      for (let n = 0; n < 2; n++) seen.admit(operation, enc(1));
  });
});

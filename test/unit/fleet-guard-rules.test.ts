/** What the guard's rules refuse, one by one; what holds in any order is in test/property. */
import { describe, expect, test } from "vitest";
import {
  type Attempt,
  admit,
  announced,
  firstSight,
  type GuardEntry,
  isNew,
  MAX_SPENT_TOKENS,
} from "../../src/fleet/guard-rules.ts";
import { ACCOUNT_TOKEN_MEMORY_MS } from "../../src/wire/limits.ts";
import { code } from "../support/codes.ts";

const refusal = (reason: string) => code("guard-refused", { reason });
const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const NOW = 1_800_000_000_000;
const POLICY = hash(1);

const attempt = (changes: Partial<Attempt> = {}): Attempt => ({
  generation: 2,
  policy: POLICY,
  maxAttempts: 3,
  seq: 1,
  base: 0,
  element: hash(100),
  token: hash(200),
  receiptVerifies: () => false,
  ...changes,
});
/** Attempt `seq` with an element and a token of its own. */
const nth = (seq: number, changes: Partial<Attempt> = {}): Attempt =>
  attempt({ seq, element: hash(100 + seq), token: hash(200 + seq), ...changes });

const fresh: GuardEntry = announced(undefined, { generation: 2, policy: POLICY });
const having = (...attempts: readonly Attempt[]): GuardEntry =>
  attempts.reduce((entry, one) => admit(entry, one, NOW), fresh);

describe("attempts", () => {
  test("are remembered, in order of their number", () => {
    const entry = having(nth(3), nth(1));
    expect(entry.used).toStrictEqual([
      { seq: 1, element: hash(101) },
      { seq: 3, element: hash(103) },
    ]);
    expect(entry.spent.map(({ seq }) => seq)).toStrictEqual([3, 1]);
  });

  test("may be repeated, which changes nothing", () => {
    const entry = having(nth(1), nth(2));
    expect(admit(entry, nth(1), NOW + 1)).toBe(entry);
  });

  test("may be repeated with another token, which is spent as well", () => {
    const entry = admit(having(nth(1)), nth(1, { token: hash(7) }), NOW);
    expect(entry.used).toHaveLength(1);
    expect(() => admit(entry, nth(2, { token: hash(7) }), NOW)).toThrow(code("unauthorized"));
  });

  test("are not two with one number", () => {
    const entry = having(nth(1));
    expect(() => admit(entry, nth(1, { element: hash(9), token: hash(9) }), NOW)).toThrow(refusal("used"));
  });

  test("end after maxAttempts without a proven success", () => {
    const entry = having(nth(1), nth(2), nth(3));
    expect(() => admit(entry, nth(4), NOW)).toThrow(refusal("beyond"));
    expect(() => admit(fresh, nth(4), NOW)).toThrow(refusal("beyond"));
  });

  test("have a number above their base", () => {
    expect(() => admit(fresh, nth(1, { base: 1, receiptVerifies: () => true }), NOW)).toThrow(
      refusal("range"),
    );
    expect(() => admit(fresh, nth(0), NOW)).toThrow(refusal("range"));
  });
});

describe("a proven success", () => {
  const proves = { base: 2, receiptVerifies: () => true };

  test("gives the attempts back, and ends those before it", () => {
    const entry = admit(having(nth(1), nth(2), nth(3)), nth(4, proves), NOW);
    expect(entry).toMatchObject({ base: 2, used: [{ seq: 3 }, { seq: 4 }] });
    expect(admit(entry, nth(5), NOW).used).toHaveLength(3);
    expect(() => admit(entry, nth(6), NOW)).toThrow(refusal("beyond"));
    expect(() => admit(entry, nth(2), NOW)).toThrow(refusal("proven"));
  });

  test("is none without its receipt", () => {
    expect(() => admit(having(nth(1)), nth(4, { base: 2 }), NOW)).toThrow(refusal("receipt"));
  });

  test("is not taken back, and an older one needs no receipt", () => {
    const entry = admit(fresh, nth(4, proves), NOW);
    expect(admit(entry, nth(5, { base: 1 }), NOW).base).toBe(2);
  });
});

describe("generations", () => {
  test("lower ones are refused", () => {
    expect(() => admit(fresh, attempt({ generation: 1 }), NOW)).toThrow(refusal("generation"));
  });

  test("a higher one is not taken on the request's word", () => {
    expect(() => admit(fresh, attempt({ generation: 3 }), NOW)).toThrow(refusal("generation"));
  });

  test("a higher one that the store has begins anew and keeps the tokens", () => {
    const changes = { generation: 5, policy: hash(2) };
    const stored = { ...changes, seq: 3 };
    const entry = admit(firstSight(having(nth(1), nth(2)), stored, nth(3, changes)), nth(3, changes), NOW);
    expect(entry).toMatchObject({ ...changes, base: 0, floor: 3, used: [{ seq: 3 }] });
    const again = nth(4, { ...changes, maxAttempts: 4, token: hash(201) });
    expect(() => admit(entry, again, NOW)).toThrow(code("unauthorized"));
  });

  test("have one policy: receipts under another key raise nothing", () => {
    const other = nth(4, { policy: hash(2), base: 3, receiptVerifies: () => true });
    expect(() => admit(having(nth(1)), other, NOW)).toThrow(refusal("policy"));
  });

  test("are announced upwards only", () => {
    const entry = having(nth(1));
    expect(announced(entry, { generation: 2, policy: hash(2) })).toBe(entry);
    expect(announced(entry, { generation: 1, policy: hash(2) })).toBe(entry);
    expect(announced(entry, { generation: 3, policy: hash(2) })).toMatchObject({ generation: 3, used: [] });
  });

  test("are new to a site that knows none, or a lower one only", () => {
    expect(isNew(undefined, attempt())).toBe(true);
    expect(isNew(fresh, attempt({ generation: 3 }))).toBe(true);
    expect(isNew(fresh, attempt())).toBe(false);
    expect(isNew(fresh, attempt({ generation: 1 }))).toBe(false);
  });
});

describe("without a memory", () => {
  const stored = { generation: 2, policy: POLICY, seq: 2 };
  const first = (one: Attempt): GuardEntry => admit(firstSight(undefined, stored, one), one, NOW);

  test("everything that the store knows counts as used, what is asked for apart", () => {
    const entry = first(nth(2));
    expect(entry).toMatchObject({ floor: 2, used: [{ seq: 2 }], spent: [{ seq: 2 }] });
    expect(admit(entry, nth(2), NOW)).toBe(entry);
    expect(() => admit(entry, nth(1), NOW)).toThrow(refusal("used"));
    expect(admit(entry, nth(3), NOW).used).toHaveLength(2);
  });

  test("the store's base counts with its receipt only", () => {
    expect(() => first(nth(2, { base: 1 }))).toThrow(refusal("receipt"));
    expect(first(nth(2, { base: 1, receiptVerifies: () => true }))).toMatchObject({ base: 1 });
  });

  test("nothing is evaluated that the store does not know", () => {
    expect(() => first(nth(3))).toThrow(refusal("skipped"));
    expect(() => first(attempt({ generation: 1 }))).toThrow(refusal("generation"));
    expect(() => first(attempt({ generation: 3 }))).toThrow(refusal("generation"));
    expect(() => first(attempt({ policy: hash(2) }))).toThrow(refusal("policy"));
  });
});

describe("account tokens", () => {
  test("authorise one attempt until they have expired", () => {
    const entry = having(nth(1));
    const again = nth(2, { token: hash(201) });
    expect(() => admit(entry, again, NOW + ACCOUNT_TOKEN_MEMORY_MS - 1)).toThrow(code("unauthorized"));
    expect(admit(entry, again, NOW + ACCOUNT_TOKEN_MEMORY_MS).spent).toHaveLength(1);
  });

  test("are remembered in a bounded number", () => {
    const spent = Array.from({ length: MAX_SPENT_TOKENS }, (_, n) => ({
      token: Uint8Array.from({ length: 32 }, () => n),
      seq: 0,
      until: NOW + 1_500 + n,
    }));
    const full = { ...fresh, spent };
    expect(() => admit(full, attempt({ token: new Uint8Array(31) }), NOW)).toThrow(
      expect.objectContaining({ code: "rate-limited", details: { retryAfter: 2 } }),
    );
    expect(admit(full, attempt({ token: new Uint8Array(31) }), NOW + 1_500).spent).toHaveLength(256);
  });
});

/**
 * The rules against a model that can only lose attempts: whatever order requests, repetitions, replays, deletions
 * and times come in, an account never gets more evaluations than its limits say.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import type { RecoverCookie, RegisterCookie } from "../../src/vault/cookie.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { decodeRecord, encodeRecord } from "../../src/vault/record-codec.ts";
import { deleteRecord, readStatus } from "../../src/vault/rules/account.ts";
import type { Rule, VaultPolicy } from "../../src/vault/rules/decision.ts";
import { beginRecovery, finishRecovery, settleExhausted } from "../../src/vault/rules/recover.ts";
import { beginRegistration, finishRegistration } from "../../src/vault/rules/register.ts";
import { COOKIE_LIFETIME_MS } from "../../src/wire/limits.ts";

type Command =
  | { readonly op: "register-start" }
  | { readonly op: "register-finish"; readonly pick: number }
  | { readonly op: "recover-start"; readonly element: number }
  | { readonly op: "recover-finish"; readonly pick: number; readonly right: boolean }
  | { readonly op: "status" | "settle" }
  /** So many generations too late. */
  | { readonly op: "delete"; readonly late: number }
  | { readonly op: "wait"; readonly ms: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Command>({ op: "register-start" }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("register-finish" as const), pick: fc.nat(9) }) },
  // Few elements, so that repetitions are common.
  { weight: 8, arbitrary: fc.record({ op: fc.constant("recover-start" as const), element: fc.nat(5) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("recover-finish" as const),
      pick: fc.nat(9),
      right: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Command>({ op: "status" }) },
  { weight: 1, arbitrary: fc.constant<Command>({ op: "settle" }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("delete" as const), late: fc.nat(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("wait" as const),
      ms: fc.oneof(fc.nat(1000), fc.nat(2 * COOKIE_LIFETIME_MS), fc.nat(40_000_000)),
    }),
  },
);

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

/** One account, its record, and what an adversary who saw every answer could do. */
class World {
  readonly policy: VaultPolicy;
  now = 1_800_000_000_000;
  record: VaultRecord | undefined;
  readonly registerCookies: RegisterCookie[] = [];
  readonly recoverCookies: RecoverCookie[] = [];
  /** In each generation, the one element that each attempt was evaluated on. */
  readonly evaluated = new Map<number, Map<number, number>>();
  /** In each generation, the latest attempt that was proven right. */
  readonly proven = new Map<number, number>();
  readonly evaluationTimes: number[] = [];
  readonly finished = new Set<number>();
  readonly #begunBeforeDeletion = new Set<RegisterCookie>();
  #serial = 0;

  constructor(policy: VaultPolicy) {
    this.policy = policy;
  }

  decide<T>(rule: Rule<T>): T | undefined {
    try {
      const decision = rule(this.record, this.now);
      // Through the codec: what cannot be stored must not be decided.
      if (decision.write) this.record = decodeRecord(encodeRecord(decision.write, 1), 1);
      return "ok" in decision.outcome ? decision.outcome.ok : undefined;
    } catch (error) {
      if (isStrongroomError(error)) return undefined;
      throw error;
    }
  }

  step(next: Command): void {
    switch (next.op) {
      case "register-start": {
        const generation = this.decide(beginRegistration(this.policy));
        if (generation === undefined) return;
        this.evaluationTimes.push(this.now);
        const tag = fill(32, ++this.#serial);
        const share = { share: 0, mechanism: 1, wrapped: fill(80, 1), publicKey: fill(65, 4), tag };
        this.registerCookies.unshift({
          generation,
          shares: [share],
          receiptPublicKey: fill(33, 2),
          maxAttempts: this.policy.maxAttempts,
          expiresAt: this.now + COOKIE_LIFETIME_MS,
        });
        return;
      }
      case "register-finish": {
        const cookie = this.registerCookies[next.pick % Math.max(1, this.registerCookies.length)];
        if (!cookie) return;
        const before = this.record;
        const upload = {
          registrationRecord: fill(129, 1),
          sealedBackupKey: fill(60, 2),
          sealedReceiptKey: fill(60, 3),
        };
        if (this.decide(finishRegistration(cookie, upload)) === undefined) return;
        expect(this.#begunBeforeDeletion).not.toContain(cookie);
        // Finishing twice changes nothing; a generation is born once.
        if (this.finished.has(cookie.generation)) expect(this.record).toStrictEqual(before);
        this.finished.add(cookie.generation);
        return;
      }
      case "recover-start": {
        const attempt = this.decide(beginRecovery(fill(32, next.element + 1), this.policy));
        if (attempt === undefined) return;
        this.evaluationTimes.push(this.now);
        const { generation, expiresAt } = attempt;
        const { seq } = attempt.registration;
        const attempts = this.evaluated.get(generation) ?? new Map<number, number>();
        this.evaluated.set(generation, attempts);
        expect(attempts.get(seq) ?? next.element).toBe(next.element);
        attempts.set(seq, next.element);
        expect(this.record?.generation).toBe(generation);
        expect(this.record?.state).toBe("active");
        this.recoverCookies.unshift({ generation, seq, expectedClientMac: fill(32, 1), expiresAt });
        return;
      }
      case "recover-finish": {
        const cookie = this.recoverCookies[next.pick % Math.max(1, this.recoverCookies.length)];
        if (!cookie) return;
        const done = this.decide(
          finishRecovery({
            cookie,
            ke3Matches: next.right,
            receipt: fill(64, 5),
            receiptVerifies: () => next.right,
          }),
        );
        if (done === undefined) return;
        expect(next.right).toBe(true);
        this.proven.set(cookie.generation, Math.max(this.proven.get(cookie.generation) ?? 0, cookie.seq));
        return;
      }
      case "status":
        this.decide(readStatus);
        return;
      case "settle":
        this.decide(settleExhausted);
        return;
      case "delete":
        this.#delete((this.record?.generation ?? 0) - next.late);
        return;
      case "wait":
        this.now += next.ms;
    }
  }

  #delete(generation: number): void {
    const before = this.record;
    if (this.decide(deleteRecord(generation)) === undefined) return;
    // One that comes late, or again, changes nothing.
    if (before?.generation !== generation) expect(this.record).toStrictEqual(before);
    else for (const one of this.registerCookies) this.#begunBeforeDeletion.add(one);
  }

  checkAttempts(): void {
    for (const [generation, attempts] of this.evaluated) {
      const proven = this.proven.get(generation) ?? 0;
      const unproven = [...attempts.keys()].filter((seq) => seq > proven);
      expect(unproven.length).toBeLessThanOrEqual(this.policy.maxAttempts);
      // So few elements are all remembered: however their repetitions come in, each counts once.
      expect(new Set(attempts.values()).size).toBe(attempts.size);
    }
  }

  checkBudget(): void {
    const interval = Math.ceil(86_400_000 / this.policy.evaluationsPerDay);
    const times = this.evaluationTimes;
    for (let i = 0; i < times.length; i++) {
      const span = (times.at(-1) ?? 0) - (times[i] ?? 0);
      expect(times.length - i).toBeLessThanOrEqual(this.policy.evaluationBurst + span / interval);
    }
  }
}

const policy: fc.Arbitrary<VaultPolicy> = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 4 }),
  evaluationBurst: fc.integer({ min: 1, max: 12 }),
  evaluationsPerDay: fc.integer({ min: 1, max: 100 }),
});

/** Without this an account would often have no registration, and the interesting part would be rare. */
const REGISTERED: readonly Command[] = [{ op: "register-start" }, { op: "register-finish", pick: 0 }];

describe("however requests interleave", () => {
  test("no generation is evaluated on more elements than its attempts, and no account beyond its budget", () => {
    let evaluations = 0;
    let exhausted = 0;
    fc.assert(
      fc.property(policy, fc.array(command, { minLength: 10, maxLength: 60 }), (limits, commands) => {
        const world = new World(limits);
        const gone = new Set<number>();
        for (const next of [...REGISTERED, ...commands]) {
          const before = world.record;
          const evaluatedBefore = world.evaluationTimes.length;
          world.step(next);
          world.checkAttempts();
          if (world.evaluationTimes.length > evaluatedBefore) world.checkBudget();
          const after = world.record;
          // Generations only grow, budgets are never given back, and what was destroyed stays so.
          expect(after?.generation ?? 0).toBeGreaterThanOrEqual(before?.generation ?? 0);
          expect(after?.budgetAt ?? 0).toBeGreaterThanOrEqual(before?.budgetAt ?? 0);
          if (after?.state === "destroyed" || after?.state === "deleted") gone.add(after.generation);
          if (after?.state === "active") expect(gone).not.toContain(after.generation);
          if (after?.state === "destroyed" && before?.state === "active") exhausted++;
        }
        evaluations += world.evaluationTimes.length;
      }),
      { numRuns: 5000 },
    );
    // The property is not met by a vault that refuses everything.
    expect(evaluations).toBeGreaterThan(15_000);
    expect(exhausted).toBeGreaterThan(500);
  });

  test("a clock that jumps grants no more than the budget from each jump on, and locks nobody out for good", () => {
    const jumping = fc.oneof(
      { weight: 4, arbitrary: fc.constant<Command>({ op: "register-start" }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant("wait" as const), ms: fc.nat(10_000_000) }) },
      {
        weight: 1,
        arbitrary: fc.record({
          op: fc.constant("wait" as const),
          ms: fc.integer({ min: -1_500_000_000_000, max: -1 }),
        }),
      },
    );
    fc.assert(
      fc.property(policy, fc.array(jumping, { maxLength: 40 }), (limits, commands) => {
        const world = new World(limits);
        for (const next of commands) {
          const jumped = next.op === "wait" && next.ms < 0;
          if (jumped && world.now + next.ms < 1) continue;
          world.step(next);
          // After a jump the spans of the times before it mean nothing.
          if (jumped) world.evaluationTimes.length = 0;
          world.checkBudget();
        }
        // One refused request notices the jump; a burst's time later there is budget again.
        const interval = Math.ceil(86_400_000 / limits.evaluationsPerDay);
        world.step({ op: "register-start" });
        world.step({ op: "wait", ms: interval * limits.evaluationBurst });
        const before = world.evaluationTimes.length;
        world.step({ op: "register-start" });
        expect(world.evaluationTimes.length).toBe(before + 1);
      }),
      { numRuns: 2000 },
    );
  });

  test("with the right code each time, an account within its budget is never locked out", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.nat(30), (maxAttempts, rounds) => {
        const world = new World({ maxAttempts, evaluationBurst: 100, evaluationsPerDay: 100 });
        for (const next of REGISTERED) world.step(next);
        for (let round = 0; round < rounds; round++) {
          world.step({ op: "recover-start", element: round });
          world.step({ op: "recover-finish", pick: 0, right: true });
          expect(world.decide(readStatus)).toMatchObject({ state: "active", attemptsLeft: maxAttempts });
        }
      }),
      { numRuns: 200 },
    );
  });
});

/**
 * The whole vault under faults: writes whose answer is lost, writes that are refused, deaths between counting an
 * attempt and evaluating it, answers that never reach the client, requests at the same time. A counter may lose
 * attempts in that, and never gains any.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import {
  type Crash,
  OmniscientAccount,
  randomPoint,
  type StoreFault,
  type VaultWorld,
  vaultWorld,
} from "../support/vault-world.ts";

let directory: string;
let store: RecordStore;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "strongroom-attempts-"));
  store = await openLmdbStore({ path: directory });
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Command {
  readonly op:
    | "register"
    | "register-start"
    | "register-finish"
    | "recover-start"
    | "recover-finish"
    | "delete";
  /** How many of it at once. */
  readonly times: number;
  readonly element: number;
  readonly pick: number;
  readonly right: boolean;
  readonly answerLost: boolean;
  readonly store: readonly (StoreFault | undefined)[];
  readonly crash: Crash | undefined;
  readonly wait: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  op: fc.oneof(
    { weight: 1, arbitrary: fc.constant("register" as const) },
    { weight: 1, arbitrary: fc.constantFrom("register-start" as const, "register-finish" as const) },
    { weight: 6, arbitrary: fc.constant("recover-start" as const) },
    { weight: 2, arbitrary: fc.constant("recover-finish" as const) },
    { weight: 1, arbitrary: fc.constant("delete" as const) },
  ),
  times: fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 2, max: 4 }) },
  ),
  element: fc.nat(7),
  pick: fc.nat(5),
  right: fc.boolean(),
  answerLost: fc.boolean(),
  store: fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.constantFrom("lost-before" as const, "lost-after" as const, "refused" as const),
      },
    ),
    { maxLength: 2 },
  ),
  crash: fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom("before-evaluation" as const, "after-evaluation" as const) },
  ),
  wait: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(300_000) }),
});

const MAX_ATTEMPTS = 3;
const BURST = 12;
let worlds = 0;

class Run {
  readonly world: VaultWorld;
  readonly account: OmniscientAccount;
  readonly elements = Array.from({ length: 8 }, randomPoint);
  readonly registerCookies: Uint8Array[] = [];
  readonly recoverCookies: Uint8Array[] = [];
  readonly proven = new Map<number, number>();

  constructor() {
    this.world = vaultWorld(store, {
      maxAttempts: MAX_ATTEMPTS,
      evaluationBurst: BURST,
      evaluationsPerDay: 24,
    });
    this.account = new OmniscientAccount(this.world, `account ${worlds++}`);
  }

  /** Attempts for which a right finish was sent, `generation:seq`. */
  readonly rightlyFinished = new Set<string>();

  #provenIn(generation: number): number {
    return this.proven.get(generation) ?? 0;
  }

  async step(next: Command): Promise<void> {
    const { world } = this;
    world.clock.now += next.wait;
    world.storeFaults.splice(0, Number.POSITIVE_INFINITY, ...next.store);
    world.crashes.splice(0, Number.POSITIVE_INFINITY, next.crash);
    await Promise.all(Array.from({ length: next.times }, (_, n) => this.#once(next, n)));
    world.storeFaults.length = 0;
    world.crashes.length = 0;
  }

  async #once(next: Command, n: number): Promise<void> {
    try {
      await this.#perform(next, n);
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      // Nothing that these requests can do is a bug or a broken record.
      expect(["internal", "record-corrupt"]).not.toContain(error.code);
    }
  }

  async #perform(next: Command, n: number): Promise<void> {
    const { account } = this;
    if (next.op === "register" || next.op === "register-start") {
      const { cookie } = await account.registerStart();
      this.registerCookies.unshift(cookie);
      if (next.op === "register") await account.registerFinish(cookie);
    } else if (next.op === "register-finish") {
      const cookie = this.registerCookies[next.pick % Math.max(1, this.registerCookies.length)];
      if (cookie) await account.registerFinish(cookie);
    } else if (next.op === "recover-start") {
      const { cookie } = await account.recoverStart(this.elements[(next.element + n) % this.elements.length]);
      if (!next.answerLost) this.recoverCookies.unshift(cookie);
    } else if (next.op === "recover-finish") {
      const cookie = this.recoverCookies[next.pick % Math.max(1, this.recoverCookies.length)];
      if (!cookie) return;
      const { generation, seq } = this.world.recoverCookie(account.account, cookie);
      if (next.right) this.rightlyFinished.add(`${generation}:${seq}`);
      await account.recoverFinish(cookie, next.right);
      expect(next.right).toBe(true);
      this.proven.set(generation, Math.max(this.proven.get(generation) ?? 0, seq));
    } else await account.delete();
  }

  /** What the store admits, against what was really evaluated. */
  async check(): Promise<void> {
    const record = await this.world.record(this.account.account);
    // A success whose answer was lost shows only in the record, and the record never claims one that was not proven.
    const base = record?.registration?.base ?? 0;
    expect(base).toBeGreaterThanOrEqual(record?.registration ? this.#provenIn(record.generation) : 0);
    if (record?.registration) this.proven.set(record.generation, base);
    expect(base === 0 || this.rightlyFinished.has(`${record?.generation}:${base}`)).toBe(true);
    const bySeq = new Map<string, string>();
    const unproven = new Map<number, Set<string>>();
    for (const { generation, seq, element } of this.world.evaluations) {
      const attempt = `${generation}:${seq}`;
      expect(bySeq.get(attempt) ?? element).toBe(element);
      bySeq.set(attempt, element);
      if (seq <= this.#provenIn(generation)) continue;
      unproven.set(generation, (unproven.get(generation) ?? new Set()).add(element));
    }
    for (const elements of unproven.values()) expect(elements.size).toBeLessThanOrEqual(MAX_ATTEMPTS);
    const elapsed = this.world.clock.now - 1_800_000_000_000;
    const evaluations = this.world.creations.count + this.world.evaluations.length;
    expect(evaluations).toBeLessThanOrEqual(BURST + elapsed / 3_600_000);
    if (record?.registration) {
      // Every evaluated attempt is counted.
      const latest = this.world.evaluations.filter((one) => one.generation === record.generation);
      for (const { seq } of latest) expect(record.registration.seq).toBeGreaterThanOrEqual(seq);
    }
  }
}

test("faults cost attempts and never give any", async () => {
  let evaluations = 0;
  const events = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 25 }), async (commands) => {
      const run = new Run();
      const { cookie } = await run.account.registerStart();
      await run.account.registerFinish(cookie);
      const gone = new Set<number>();
      for (const next of commands) {
        await run.step(next);
        await run.check();
        const record = await run.world.record(run.account.account);
        if (record?.state === "destroyed" || record?.state === "deleted") gone.add(record.generation);
        if (record?.state === "active") expect(gone).not.toContain(record.generation);
      }
      for (const vault of run.world.vaults) vault.close();
      evaluations += run.world.evaluations.length;
      for (const event of run.world.events) events.set(event, (events.get(event) ?? 0) + 1);
    }),
    { numRuns: 150 },
  );
  // What was to be tried did happen.
  expect(evaluations).toBeGreaterThan(200);
  for (const event of [
    "destroyed",
    "recovered",
    "store-ambiguous",
    "attempt-repeated",
    "rate-limited",
    "deleted",
  ])
    expect(events.get(event) ?? 0, event).toBeGreaterThan(5);
});

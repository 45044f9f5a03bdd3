/**
 * The guard's rules against everything that can come in any order: an account that registers, tries and succeeds,
 * and an attacker who owns all other sites and the store. The attacker replays, forges, rolls back, skips, has shares
 * made under a receipt key of his own, takes the site's memory away, and uses every account token that was ever issued.
 *
 * What must hold is counted beside the rules, at the place where the token would evaluate.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { equal, toHex, uintBE } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { decodeGuardEntry, encodeGuardEntry } from "../../src/fleet/guard-codec.ts";
import {
  type Attempt,
  admit,
  announced,
  firstSight,
  type GuardEntry,
  isNew,
  type StoredState,
} from "../../src/fleet/guard-rules.ts";
import { ACCOUNT_TOKEN_MEMORY_MS } from "../../src/wire/limits.ts";

const MAX = 3;
const ID = new Uint8Array(32).fill(5);
const hash = (kind: number, n: number): Uint8Array =>
  Uint8Array.from([kind, ...uintBE(n, 8), ...new Uint8Array(23)]);
const honestPolicy = (generation: number): Uint8Array => hash(1, generation);
const attackersPolicy = (generation: number): Uint8Array => hash(2, generation);

type Step =
  /** The account: a new registration, which may be announced. */
  | { readonly op: "register"; readonly announce: boolean }
  /** The account: an attempt, whose evaluation here may be asked for; a right code proves it. */
  | { readonly op: "recover"; readonly ask: boolean; readonly right: boolean }
  | { readonly op: "announce"; readonly generation: number; readonly own: boolean }
  | {
      readonly op: "ask";
      readonly generation: number;
      readonly own: boolean;
      readonly seq: number;
      readonly base: number;
      readonly element: number;
      readonly token: number;
      readonly snapshot: number;
    }
  /** One of the last requests again, as it was. */
  | { readonly op: "replay"; readonly which: number }
  | { readonly op: "lose-memory" }
  | { readonly op: "wait"; readonly milliseconds: number };

const small = fc.nat(6);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ op: fc.constant("register" as const), announce: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant("recover" as const), ask: fc.boolean(), right: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("announce" as const), generation: small, own: fc.boolean() }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant("ask" as const),
      generation: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: small }),
      own: fc.oneof(
        { weight: 4, arbitrary: fc.constant(false) },
        { weight: 1, arbitrary: fc.constant(true) },
      ),
      seq: fc.nat(14),
      base: fc.nat(12),
      element: fc.nat(20),
      token: fc.nat(30),
      snapshot: fc.nat(20),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("replay" as const), which: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.constant({ op: "lose-memory" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("wait" as const), milliseconds: fc.nat(ACCOUNT_TOKEN_MEMORY_MS) }),
  },
);

interface Evaluation {
  readonly generation: number;
  readonly policy: string;
  readonly seq: number;
  readonly element: string;
}

class World {
  entry: GuardEntry | undefined;
  now = 1_800_000_000_000;
  generation = 0;
  seq = 0;
  base = 0;
  issued = 0;
  elements = 1_000;
  /** Everything that the store ever held of the account. */
  readonly snapshots: StoredState[] = [];
  /** Numbers of attempts that were proved, by generation. */
  readonly proven = new Map<number, number[]>();
  readonly requests: { readonly attempt: Attempt; readonly snapshot: StoredState | undefined }[] = [];
  /** Since the site's memory began. */
  evaluations: Evaluation[] = [];
  /** When each token authorised what, over all memories that overlap its life. */
  readonly authorised = new Map<string, { readonly at: number; readonly what: string }>();
  admitted = 0;
  refusals = new Map<string, number>();

  #stored(): StoredState {
    const { generation, seq } = this;
    return { generation, policy: honestPolicy(generation), seq };
  }

  #proves(policy: Uint8Array, generation: number, base: number): boolean {
    if (equal(policy, attackersPolicy(generation))) return true;
    return this.proven.get(generation)?.includes(base) ?? false;
  }

  /** Shares of a generation exist once its registration began; the attacker has his made whenever he likes. */
  #tagsVerify(policy: Uint8Array, generation: number): boolean {
    if (equal(policy, attackersPolicy(generation))) return true;
    return generation >= 1 && generation <= this.generation && equal(policy, honestPolicy(generation));
  }

  #ask(attempt: Attempt, snapshot: StoredState | undefined): void {
    this.requests.unshift({ attempt, snapshot });
    const before = this.entry;
    try {
      if (before && !isNew(before, attempt)) this.#write(admit(before, attempt, this.now));
      else {
        if (!snapshot) return;
        const next = admit(firstSight(before, snapshot, attempt), attempt, this.now);
        if (!this.#tagsVerify(attempt.policy, attempt.generation)) return;
        this.#write(next);
      }
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      expect(["guard-refused", "unauthorized"]).toContain(error.code);
      const reason = String(error.details.reason ?? error.code);
      this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
      return;
    }
    this.#evaluate(attempt);
    // What was admitted once is admitted again, and changes nothing.
    expect(admit(this.entry ?? expect.fail(), attempt, this.now)).toBe(this.entry);
  }

  #write(next: GuardEntry): void {
    const before = this.entry;
    this.entry = decodeGuardEntry(ID, encodeGuardEntry(ID, next));
    if (!before) return;
    expect(next.generation).toBeGreaterThanOrEqual(before.generation);
    if (next.generation > before.generation) return;
    expect(next.base).toBeGreaterThanOrEqual(before.base);
    expect(next.policy).toStrictEqual(before.policy);
  }

  #evaluate(attempt: Attempt): void {
    this.admitted++;
    const { generation, seq } = attempt;
    const policy = toHex(attempt.policy);
    const element = toHex(attempt.element);
    for (const one of this.evaluations.filter((other) => other.generation === generation)) {
      expect(one.policy).toBe(policy);
      if (one.seq === seq) expect(one.element).toBe(element);
    }
    this.evaluations.push({ generation, policy, seq, element });

    const token = toHex(attempt.token);
    const what = `${generation} ${seq} ${element}`;
    const earlier = this.authorised.get(token);
    // A token is alive for as long as it must be remembered, and whoever takes the memory away takes that too.
    if (earlier && this.now - earlier.at < ACCOUNT_TOKEN_MEMORY_MS) expect(what).toBe(earlier.what);
    else this.authorised.set(token, { at: this.now, what });
    this.#checkBound(generation, policy);
  }

  /** The bound that the README states: between two proven successes at most MAX elements. */
  #checkBound(generation: number, policy: string): void {
    if (policy !== toHex(honestPolicy(generation))) return;
    const proven = [...(this.proven.get(generation) ?? [])].sort((a, b) => a - b);
    const mine = this.evaluations.filter((one) => one.generation === generation);
    const latest = proven.at(-1) ?? 0;
    const beyond = new Set(mine.filter(({ seq }) => seq > latest).map(({ element }) => element));
    expect(beyond.size).toBeLessThanOrEqual(MAX);
    expect(Math.max(...mine.map(({ seq }) => seq))).toBeLessThanOrEqual(latest + MAX);
    // No receipt is worth more than its own place: what was evaluated between two of them fits a budget as well.
    for (const [i, until] of proven.entries()) {
      const since = proven[i - 1] ?? 0;
      const between = mine.filter(({ seq }) => seq > since && seq <= until);
      expect(new Set(between.map(({ element }) => element)).size).toBeLessThanOrEqual(until - since);
    }
    expect([0, ...proven]).toContain(this.entry?.base);
  }

  #announce(generation: number, policy: Uint8Array): void {
    if (isNew(this.entry, { generation }) && !this.#tagsVerify(policy, generation)) return;
    this.#write(announced(this.entry, { generation, policy }));
  }

  take(next: Step): void {
    if (next.op === "register") {
      this.generation++;
      this.seq = 0;
      this.base = 0;
      this.snapshots.unshift(this.#stored());
      if (next.announce) this.#announce(this.generation, honestPolicy(this.generation));
    } else if (next.op === "recover") this.#recover(next.ask, next.right);
    else if (next.op === "announce")
      this.#announce(
        Math.max(1, next.generation),
        (next.own ? attackersPolicy : honestPolicy)(Math.max(1, next.generation)),
      );
    else if (next.op === "ask") this.#attack(next);
    else if (next.op === "replay") {
      const again = this.requests[next.which];
      if (again) this.#ask(again.attempt, again.snapshot);
    } else if (next.op === "lose-memory") {
      this.entry = undefined;
      this.evaluations = [];
      this.authorised.clear();
    } else this.now += next.milliseconds;
  }

  #recover(ask: boolean, right: boolean): void {
    if (this.generation === 0 || this.seq - this.base >= MAX) return;
    const { generation, base } = this;
    this.seq++;
    this.snapshots.unshift(this.#stored());
    const policy = honestPolicy(generation);
    const attempt: Attempt = {
      generation,
      policy,
      maxAttempts: MAX,
      seq: this.seq,
      base,
      element: hash(3, this.elements++),
      token: hash(4, this.issued++),
      receiptVerifies: () => this.#proves(policy, generation, base),
    };
    if (ask) this.#ask(attempt, this.#stored());
    if (!right) return;
    this.base = this.seq;
    this.proven.set(generation, [...(this.proven.get(generation) ?? []), this.seq]);
  }

  #attack(next: Extract<Step, { op: "ask" }>): void {
    const generation = next.generation < 1 ? this.generation : next.generation;
    const policy = (next.own ? attackersPolicy : honestPolicy)(generation);
    const attempt: Attempt = {
      generation,
      policy,
      maxAttempts: MAX,
      seq: next.seq,
      base: next.base,
      element: hash(3, next.element),
      token: hash(4, Math.max(0, this.issued - next.token)),
      receiptVerifies: () => this.#proves(policy, generation, next.base),
    };
    // Whoever has the record key can write a record of any content, too.
    const forged = { generation, policy, seq: next.snapshot };
    this.#ask(attempt, next.snapshot > 10 ? forged : this.snapshots[next.snapshot]);
  }
}

test("no order of requests gets more out of a site than its bound", () => {
  let admitted = 0;
  const refusals = new Map<string, number>();
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const world = new World();
      world.take({ op: "register", announce: true });
      for (const next of steps) world.take(next);
      admitted += world.admitted;
      for (const [reason, count] of world.refusals) refusals.set(reason, (refusals.get(reason) ?? 0) + count);
    }),
    { numRuns: 3_000 },
  );
  // What was to be tried did happen.
  expect(admitted).toBeGreaterThan(3_000);
  const reasons = ["generation", "policy", "range", "receipt", "proven", "beyond", "used", "skipped"];
  for (const reason of [...reasons, "unauthorized"])
    expect(refusals.get(reason) ?? 0, reason).toBeGreaterThan(20);
});

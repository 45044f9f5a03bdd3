/**
 * Carries out what the rules decide: read → rule → seal → compare-and-swap, and only then let anybody know.
 *
 * A conflict means that another request was faster: the rule decides again on the record that stood in the way. An
 * ambiguous answer of the store is resolved by sending the same swap again; if that conflicts, the write ids of the
 * record in the way tell whether the first one did happen. What cannot be resolved fails, and if the write was an
 * attempt, the attempt counts.
 */
import { equal, toHex, wipe } from "../base/bytes.ts";
import type { Clock, RandomBytes } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { RecordStore, SwapResult, Versioned } from "../store/record-store.ts";
import type { HmacStep, ResultsOf, Token, TokenStep } from "../token/token.ts";
import { WRITE_ID_BYTES } from "../wire/limits.ts";
import { keyedMutex } from "./keyed-mutex.ts";
import type { VaultRecord } from "./record.ts";
import { MAX_WRITE_IDS } from "./record-codec.ts";
import { openRecord, recordKeyStep, SALT_BYTES, saltOf, sealRecord } from "./record-seal.ts";
import type { Decision, Rule, VaultEvent } from "./rules/decision.ts";

/** Within one process requests for an account wait for each other, so only other sites cause conflicts. */
const MAX_ROUNDS = 16;
const MAX_RESENDS = 5;
const RESEND_DELAY_MS = 5;

export interface ExecutorOptions {
  readonly token: Token;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** How many shares a registration of this fleet has: it sets the size of every record. */
  readonly shareCount: number;
  readonly observe?: ((event: VaultEvent) => void) | undefined;
}

/** What the caller gets when the decision is durable. */
interface Executed<T, S extends readonly TokenStep[]> {
  readonly outcome: T;
  /** Results of the extra steps; the caller wipes them. */
  readonly results: ResultsOf<S>;
}

export interface Executor {
  /**
   * Decides by a rule on the record of `id` and makes the decision durable.
   *
   * @param steps token work that needs nothing of the record; it rides in the message that opens the record
   * @param rule  the rule, given the results of `steps`
   * @throws what the rule refuses with; unavailable where others kept winning; store and token errors
   */
  execute<T, const S extends readonly TokenStep[]>(
    id: Uint8Array,
    steps: S,
    rule: (results: ResultsOf<S>) => Rule<T>,
  ): Promise<Executed<T, S>>;
}

type Swap =
  | { readonly committed: true }
  | { readonly committed: false; readonly current: Versioned | undefined };

const ABSENT_SALT = new Uint8Array(SALT_BYTES);

/** The keys for one record: the one it is sealed under and a fresh one. */
interface OpenedRecord<S extends readonly TokenStep[]> {
  readonly record: VaultRecord | undefined;
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
  readonly results: ResultsOf<S>;
}

export function createExecutor(options: ExecutorOptions): Executor {
  const { token, store, clock, random, shareCount } = options;
  const observe = options.observe ?? (() => undefined);
  const exclusively = keyedMutex();

  /** One message: the key of the record at hand, a fresh key for the next one, and whatever rides along. */
  async function openAndPrepare<const S extends readonly TokenStep[]>(
    id: Uint8Array,
    found: Versioned | undefined,
    steps: S,
  ): Promise<OpenedRecord<S>> {
    const salt = random(SALT_BYTES);
    const oldSalt = found ? saltOf(found.value, shareCount) : ABSENT_SALT;
    const all: readonly [HmacStep, HmacStep, ...S] = [
      recordKeyStep(id, oldSalt),
      recordKeyStep(id, salt),
      ...steps,
    ];
    const [oldKey, key, ...results] = (await token.run(all)) as [Uint8Array, Uint8Array, ...ResultsOf<S>];
    try {
      const record = found && openRecord(found.value, { key: oldKey, id, shareCount });
      return { record, salt, key, results };
    } catch (error) {
      wipe(key, ...bytesOf(results));
      throw error;
    } finally {
      wipe(oldKey);
    }
  }

  /** Sends the same swap until the store gives a definite answer. */
  async function swap(id: Uint8Array, expected: Versioned | undefined, value: Uint8Array): Promise<Swap> {
    for (let sent = 1; ; sent++) {
      try {
        const result: SwapResult = await store.compareAndSwap(id, expected?.revision, value);
        return result.swapped ? { committed: true } : { committed: false, current: result.current };
      } catch (error) {
        if (!isStrongroomError(error, "store-ambiguous") || sent > MAX_RESENDS) throw error;
        observe("store-ambiguous");
        await new Promise((resolve) => setTimeout(resolve, RESEND_DELAY_MS * 2 ** sent));
      }
    }
  }

  function settle<T, S extends readonly TokenStep[]>(
    decision: Decision<T>,
    results: ResultsOf<S>,
  ): Executed<T, S> {
    if (decision.event) observe(decision.event);
    if ("refused" in decision.outcome) throw decision.outcome.refused;
    return { outcome: decision.outcome.ok, results };
  }

  async function execute<T, const S extends readonly TokenStep[]>(
    id: Uint8Array,
    steps: S,
    ruleFor: (results: ResultsOf<S>) => Rule<T>,
  ): Promise<Executed<T, S>> {
    let found = await store.get(id);
    let opened = await openAndPrepare(id, found, steps);
    const { results } = opened;
    try {
      const rule = ruleFor(results);
      for (let round = 1; round <= MAX_ROUNDS; round++) {
        const { salt, key } = opened;
        const now = clock.now();
        const decision = rule(opened.record, now);
        if (!decision.write) return settle<T, S>(decision, results);

        const writeId = random(WRITE_ID_BYTES);
        const value = sealRecord(stamped(decision.write, writeId, now), salt, { key, id, shareCount });
        wipe(key);
        const swapped = await swap(id, found, value);
        if (swapped.committed) return settle<T, S>(decision, results);

        found = swapped.current;
        opened = { ...(await openAndPrepare(id, found, [])), results };
        // Not only where this file sent it again: a store of several members does so by itself.
        if (opened.record?.writeIds.some((one) => equal(one, writeId)))
          return settle<T, S>(decision, results);
        observe("store-conflict");
      }
      throw new StrongroomError("unavailable", "other requests for this account kept winning");
    } catch (error) {
      wipe(...bytesOf(results));
      throw error;
    } finally {
      wipe(opened.key);
    }
  }

  return { execute: (id, steps, rule) => exclusively(toHex(id), () => execute(id, steps, rule)) };
}

/** Keys and coordinates among results. */
function bytesOf(results: readonly unknown[]): Uint8Array[] {
  return results.flat().filter((result) => result instanceof Uint8Array);
}

function stamped(record: VaultRecord, writeId: Uint8Array, now: number): VaultRecord {
  return { ...record, writeIds: [writeId, ...record.writeIds].slice(0, MAX_WRITE_IDS), updatedAt: now };
}

/**
 * A site's guard: the rules of guard-rules.ts over a durable table of its own, one entry for each record. What a
 * rule allows is durable before the caller may use its token; a write that failed, or that nobody can tell about,
 * allows nothing.
 */
import { framed, toHex, uintBE, utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import type { RecordStore, Versioned } from "../store/record-store.ts";
import { keyedMutex } from "../vault/keyed-mutex.ts";
import type { Share, VaultRecord } from "../vault/record.ts";
import { receiptMessage } from "../wire/transcripts.ts";
import { decodeGuardEntry, encodeGuardEntry } from "./guard-codec.ts";
import {
  type Attempt,
  admit,
  announced,
  firstSight,
  type GuardEntry,
  isNew,
  refused,
} from "./guard-rules.ts";
import type { Announcement, EvaluateShares } from "./site-service.ts";

/** Throws unless the list has every share of a record that this site holds, and their tags verify. */
export type VerifyShares = (shares: readonly Share[]) => Promise<void>;

export interface Guard {
  /**
   * Makes the attempt durable, or recognises it.
   *
   * @param verify called with the record's shares where its generation is new to this site
   * @throws guard-refused (details.reason), unauthorized, rate-limited (details.retryAfter); record-corrupt; what
   *   `verify` throws; store errors
   */
  admit(request: EvaluateShares, verify: VerifyShares): Promise<void>;
  /**
   * From now on lower generations of the record are refused.
   * @param verify called with the announced shares where their generation is new to this site
   * @throws record-corrupt; what `verify` throws; store errors
   */
  announce(announcement: Announcement, verify: VerifyShares): Promise<void>;
  /**
   * Whether shares of this generation may still be made: not where the generation has been seen complete, since a
   * registration with other shares would never be evaluated here.
   * @throws guard-refused, record-corrupt; store errors
   */
  mayCreate(recordId: Uint8Array, generation: number): Promise<void>;
}

export interface GuardOptions {
  readonly fleet: string;
  /** Of this site alone, and durable; its keys are record ids. */
  readonly table: RecordStore;
  /** The record as the fleet's store has it, by a linearizable read; undefined where there is none. */
  readonly readRecord: (recordId: Uint8Array) => Promise<VaultRecord | undefined>;
  readonly clock: Clock;
}

/** Only this process writes its table, and one request at a time for each record. */
const MAX_ROUNDS = 4;

function policyHash(policy: {
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
}): Uint8Array {
  return sha256Of(framed("strongroom/policy/v1", policy.receiptPublicKey, uintBE(policy.maxAttempts, 4)));
}

/**
 * What the issuer signed of a JWT, hashed. Not the signature: of one ECDSA signature anybody can make a second, and
 * one account token would be two.
 */
function tokenHash(accountToken: string): Uint8Array {
  return sha256Of(utf8(accountToken.slice(0, accountToken.lastIndexOf("."))));
}

export function createGuard(options: GuardOptions): Guard {
  const { fleet, table, clock } = options;
  const exclusively = keyedMutex();

  function attemptOf(request: EvaluateShares): Attempt {
    const { recordId, generation, receiptPublicKey, maxAttempts, seq, base, lastReceipt } = request;
    return {
      generation,
      maxAttempts,
      seq,
      base,
      policy: policyHash(request),
      element: sha256Of(request.blindedElement),
      token: tokenHash(request.accountToken),
      receiptVerifies: () =>
        verifySignature(
          receiptPublicKey,
          receiptMessage({ fleet, recordId, generation, seq: base }),
          lastReceipt,
        ),
    };
  }

  async function admitNew(
    entry: GuardEntry | undefined,
    attempt: Attempt,
    { recordId, verify }: { readonly recordId: Uint8Array; readonly verify: VerifyShares },
  ): Promise<GuardEntry> {
    const record = await options.readRecord(recordId);
    if (!record?.registration) throw refused("record");
    const { generation, registration } = record;
    const stored = { generation, policy: policyHash(registration), seq: registration.seq };
    const next = admit(firstSight(entry, stored, attempt), attempt, clock.now());
    // After the rules, which cost nothing: a request that is refused anyway does not reach the token.
    await verify(registration.shares);
    return next;
  }

  const entryOf = (id: Uint8Array, found: Versioned | undefined): GuardEntry | undefined =>
    found && decodeGuardEntry(id, found.value);

  /** @param next the entry to be; the very same one where nothing is to be written */
  function update(
    id: Uint8Array,
    next: (entry: GuardEntry | undefined) => Promise<GuardEntry>,
  ): Promise<void> {
    return exclusively(toHex(id), async () => {
      let found = await table.get(id);
      for (let round = 1; round <= MAX_ROUNDS; round++) {
        const entry = entryOf(id, found);
        const changed = await next(entry);
        if (changed === entry) return;
        const swap = await table.compareAndSwap(id, found?.revision, encodeGuardEntry(id, changed));
        if (swap.swapped) return;
        found = swap.current;
      }
      throw new StrongroomError("store-unavailable", "somebody else writes this site's guard");
    });
  }

  return {
    admit(request, verify) {
      const attempt = attemptOf(request);
      const { recordId } = request;
      return update(recordId, async (entry) =>
        entry && !isNew(entry, attempt)
          ? admit(entry, attempt, clock.now())
          : admitNew(entry, attempt, { recordId, verify }),
      );
    },
    announce(announcement, verify) {
      const { recordId, generation, shares } = announcement;
      return update(recordId, async (entry) => {
        if (isNew(entry, announcement)) await verify(shares);
        return announced(entry, { generation, policy: policyHash(announcement) });
      });
    },
    async mayCreate(recordId, generation) {
      const entry = entryOf(recordId, await table.get(recordId));
      if (entry && generation <= entry.generation) throw refused("generation");
    },
  };
}

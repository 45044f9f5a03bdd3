/**
 * A site's guard: the rules of guard-rules.ts over a durable table of its own, one entry for each record. What a
 * rule allows is durable before the caller may use its token; a write that failed, or that nobody can tell about,
 * allows nothing.
 */
import { createHash } from "node:crypto";
import { framed, toHex, uintBE, utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import type { RecordStore, Versioned } from "../store/record-store.ts";
import type { SharePolicy } from "../vault/evaluator.ts";
import { keyedMutex } from "../vault/keyed-mutex.ts";
import type { VaultRecord } from "../vault/record.ts";
import { receiptMessage } from "../wire/transcripts.ts";
import { decodeGuardEntry, encodeGuardEntry } from "./guard-codec.ts";
import {
  type Attempt,
  admit,
  announced,
  firstSight,
  type GuardEntry,
  needsTags,
  refused,
} from "./guard-rules.ts";
import type { EvaluateShares } from "./site-service.ts";

export interface Guard {
  /**
   * Makes the attempt durable, or recognises it.
   *
   * @param verifyTags throws unless the tags of the request's shares verify; called where the guard is about to take
   *   the request's word for a generation and its policy
   * @throws guard-refused (details.reason), unauthorized, rate-limited (details.retryAfter); record-corrupt; what
   *   verifyTags throws; store errors
   */
  admit(request: EvaluateShares, verifyTags: () => Promise<void>): Promise<void>;
  /**
   * From now on lower generations of the record are refused.
   * @param verifyTags as for `admit`
   * @throws record-corrupt; what verifyTags throws; store errors
   */
  announce(policy: SharePolicy, verifyTags: () => Promise<void>): Promise<void>;
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

function sha256(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(bytes).digest());
}

function policyHash(policy: {
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
}): Uint8Array {
  return sha256(framed("strongroom/policy/v1", policy.receiptPublicKey, uintBE(policy.maxAttempts, 4)));
}

/**
 * What the issuer signed of a JWT, hashed. Not the signature: of one ECDSA signature anybody can make a second, and
 * one account token would be two.
 */
function tokenHash(accountToken: string): Uint8Array {
  return sha256(utf8(accountToken.slice(0, accountToken.lastIndexOf("."))));
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
      element: sha256(request.blindedElement),
      token: tokenHash(request.accountToken),
      receiptVerifies: () =>
        verifySignature(
          receiptPublicKey,
          receiptMessage({ fleet, recordId, generation, seq: base }),
          lastReceipt,
        ),
    };
  }

  async function entryFromStore(recordId: Uint8Array, attempt: Attempt): Promise<GuardEntry> {
    const record = await options.readRecord(recordId);
    if (!record?.registration) throw refused("record");
    const { generation, registration } = record;
    return firstSight({ generation, policy: policyHash(registration), seq: registration.seq }, attempt);
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
    admit(request, verifyTags) {
      const attempt = attemptOf(request);
      return update(request.recordId, async (entry) => {
        const known = entry ?? (await entryFromStore(request.recordId, attempt));
        const next = admit(known, attempt, clock.now());
        // After the rule, which costs nothing: a request that is refused anyway does not reach the token.
        if (needsTags(entry, attempt)) await verifyTags();
        return next;
      });
    },
    announce(policy, verifyTags) {
      const { recordId, generation } = policy;
      return update(recordId, async (entry) => {
        if (needsTags(entry, policy)) await verifyTags();
        return announced(entry, { generation, policy: policyHash(policy) });
      });
    },
    async mayCreate(recordId, generation) {
      const entry = entryOf(recordId, await table.get(recordId));
      if (entry && generation <= entry.generation) throw refused("generation");
    },
  };
}

/**
 * This site's side of shared evaluation (design §4, §7): what it does for whoever coordinates a request, itself
 * included. The coordinator is believed in nothing that counts: the site verifies the account's token, finds the
 * record id by itself, has the token check each share's tag, and asks its guard before it evaluates.
 */

import { concat, equal, wipe } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { addPoints } from "../crypto/node/p256.ts";
import { derivationPoints, takeProduct } from "../crypto/node/point-recovery.ts";
import { shareKeyName } from "../keys/roles.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { CreateShareStep, EvaluateShareStep, HmacStep, Token } from "../token/token.ts";
import type { AccountScope, AccountVerifier } from "../vault/account-token.ts";
import type { SharePolicy } from "../vault/evaluator.ts";
import type { Share, VaultRecord } from "../vault/record.ts";
import { recordIds } from "../vault/record-ids.ts";
import { openRecord, recordKeyStep, saltOf } from "../vault/record-seal.ts";
import { createGuard } from "./guard.ts";
import { MAX_ATTEMPTS } from "./guard-rules.ts";
import { expectedTag, shareTag } from "./share-tag.ts";
import type { SiteService, SiteStatus } from "./site-service.ts";

export interface SiteServiceOptions {
  readonly fleet: string;
  readonly site: string;
  readonly token: Token;
  /** The fleet's: where a record is looked up that the guard knows nothing of. */
  readonly store: RecordStore;
  /** The guard's table: durable, of this site alone; see openLmdbStore. */
  readonly guardTable: RecordStore;
  readonly verifier: AccountVerifier;
  /** The shares that this site holds keys of. */
  readonly shares: readonly number[];
  /** Shares per registration in this fleet. */
  readonly shareCount: number;
  /** Attempts that the fleet's manifest promises. */
  readonly maxAttempts: number;
  readonly clock: Clock;
  /** What `status` says of the parts that are not this module's. */
  readonly parts: () => Promise<Pick<SiteStatus, "token" | "store" | "manifest">>;
}

/** Adds up what the shares of one request gave, which is wiped. @throws internal for none */
export function sumOf(points: readonly Uint8Array[]): Uint8Array {
  const [first, ...others] = points;
  if (!first) throw new StrongroomError("internal", "a sum of no points");
  const sum = others.reduce((before, point) => {
    const after = addPoints(before, point);
    wipe(before, point);
    return after;
  }, Uint8Array.from(first));
  wipe(first);
  return sum;
}

function invalid(message: string): StrongroomError {
  return new StrongroomError("invalid-request", message);
}

export function createSiteService(options: SiteServiceOptions): SiteService {
  const { site, token, store, verifier, clock, shareCount } = options;
  const held = new Set(options.shares);
  const recordId = recordIds(token);
  const guard = createGuard({ fleet: options.fleet, table: options.guardTable, readRecord, clock });
  let inFlight = 0;

  async function readRecord(id: Uint8Array): Promise<VaultRecord | undefined> {
    const found = await store.get(id);
    if (!found) return undefined;
    const [key] = await token.run([recordKeyStep(id, saltOf(found.value, shareCount))]);
    try {
      return openRecord(found.value, { key, id, shareCount });
    } finally {
      wipe(key);
    }
  }

  /** @throws invalid-request */
  function checkAsked(policy: SharePolicy, numbers: readonly number[]): void {
    const { generation, maxAttempts } = policy;
    if (!Number.isSafeInteger(generation) || generation < 1) throw invalid("a generation out of range");
    if (!Number.isSafeInteger(maxAttempts) || maxAttempts < 1 || maxAttempts > MAX_ATTEMPTS)
      throw invalid("a number of attempts out of range");
    if (numbers.length === 0 || numbers.some((number, i) => number <= (numbers[i - 1] ?? -1)))
      throw invalid("shares must be some, and in order");
    if (numbers.some((number) => !held.has(number)))
      throw invalid("this site does not hold all these shares");
  }

  /** @throws unauthorized unless the token is this account's */
  async function checkAccount(accountToken: string, scope: AccountScope, id: Uint8Array): Promise<void> {
    const account = await verifier.verify(accountToken, scope);
    if (!equal(await recordId(account), id))
      throw new StrongroomError("unauthorized", "the account token is another account's");
  }

  /**
   * The same check as inside an evaluation, for all shares that this site holds. Some of them would not do: whoever
   * holds a share can tag it for any generation, and only all of them include one that a minority of sites lacks.
   *
   * @throws record-corrupt
   */
  async function verifyTags(policy: SharePolicy, all: readonly Share[]): Promise<void> {
    const shares = all.filter(({ share }) => held.has(share));
    const steps = shares.map((share): HmacStep => {
      const { key, before, publicKey, after } = expectedTag(policy, share);
      return { op: "hmac", key, data: concat(before, publicKey, after) };
    });
    const tags = await token.run(steps);
    if (
      shares.length !== held.size ||
      shares.some((share, i) => !equal(share.tag, tags[i] ?? new Uint8Array(0)))
    )
      throw new StrongroomError("record-corrupt", "a share's tag does not verify");
  }

  async function counted<T>(work: () => Promise<T>): Promise<T> {
    inFlight++;
    try {
      return await work();
    } finally {
      inFlight--;
    }
  }

  return {
    create: (request) =>
      counted(async () => {
        const { numbers, blindedElement, accountToken } = request;
        checkAsked(request, numbers);
        // Made with this site's tag, they would be evaluated as often by everybody, and no client would notice.
        if (request.maxAttempts > options.maxAttempts) throw invalid("more attempts than the fleet promises");
        const points = derivationPoints(blindedElement);
        await checkAccount(accountToken, "register", request.recordId);
        await guard.mayCreate(request.recordId, request.generation);
        const steps = numbers.map(
          (number): CreateShareStep => ({
            op: "create-share",
            kek: shareKeyName("share-kek", number),
            points,
            tag: shareTag(request, number),
          }),
        );
        const created = await token.run(steps);
        const shares = created.map(({ mechanism, wrapped, publicKey, tag }, i): Share => {
          return { share: numbers[i] ?? 0, mechanism, wrapped, publicKey, tag };
        });
        const products = created.map(({ publicKey, xs }) => takeProduct(blindedElement, publicKey, xs));
        return { shares, partial: sumOf(products) };
      }),

    evaluate: (request) =>
      counted(async () => {
        const { shares, blindedElement, accountToken } = request;
        checkAsked(
          request,
          shares.map(({ share }) => share),
        );
        const points = derivationPoints(blindedElement);
        await checkAccount(accountToken, "recover", request.recordId);
        await guard.admit(request, (stored) => verifyTags(request, stored));
        const steps = shares.map(
          (share): EvaluateShareStep => ({
            op: "evaluate-share",
            kek: shareKeyName("share-kek", share.share),
            share,
            points,
            tag: expectedTag(request, share),
          }),
        );
        const evaluated = await token.run(steps);
        const products = evaluated.map((xs, i) =>
          takeProduct(blindedElement, shares[i]?.publicKey ?? new Uint8Array(0), xs),
        );
        return { partial: sumOf(products) };
      }),

    announce: (request) =>
      counted(async () => {
        const shares = request.shares.filter(({ share }) => held.has(share));
        checkAsked(
          request,
          shares.map(({ share }) => share),
        );
        if (shares.length !== held.size) throw invalid("an announcement has every share that its site holds");
        await guard.announce(request, (told) => verifyTags(request, told));
      }),

    async status() {
      return { site, ...(await options.parts()), inFlight, now: clock.now() };
    },
  };
}

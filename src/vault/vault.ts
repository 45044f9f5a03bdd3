/**
 * The vault's six operations (design §6): parse, let a rule decide, make that durable, and only then use the OPRF.
 *
 * What each costs in messages to the token, with the evaluator's one for register-start and recover-start, and
 * without the one for the record id of an account that was not seen lately: register-start 2, register-finish 2,
 * recover-start 2, all others 1.
 */
import { wipe } from "../base/bytes.ts";
import type { Clock, RandomBytes } from "../base/clock.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { parseKe1, parseRegistrationRecord, startLogin, verifyKe3 } from "../crypto/node/opaque-server.ts";
import { compressPoint, decompressPoint } from "../crypto/node/p256.ts";
import { derivationPoints, recoverProduct } from "../crypto/node/point-recovery.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { Token } from "../token/token.ts";
import { COOKIE_LIFETIME_MS } from "../wire/limits.ts";
import type {
  Answers,
  Operation,
  RecoverFinish,
  RecoverStart,
  RegisterFinish,
  RegisterStart,
  VaultRequest,
} from "../wire/messages.ts";
import { type Account, acknowledgmentMessage, clientIdentity, receiptMessage } from "../wire/transcripts.ts";
import { cookieKeyStep, cookieSalt, openCookie, type RegisterCookie, sealCookie } from "./cookie.ts";
import type { Evaluator, Registered } from "./evaluator.ts";
import { createExecutor } from "./executor.ts";
import { watchLastAttempts } from "./last-attempts.ts";
import { recordIds } from "./record-ids.ts";
import { SALT_BYTES } from "./record-seal.ts";
import { deleteRecord, readStatus } from "./rules/account.ts";
import type { VaultEvent, VaultPolicy } from "./rules/decision.ts";
import { beginRecovery, finishRecovery, settleExhausted } from "./rules/recover.ts";
import { beginRegistration, finishRegistration } from "./rules/register.ts";

export type { VaultEvent, VaultPolicy } from "./rules/decision.ts";

export interface VaultOptions {
  readonly fleet: string;
  readonly site: string;
  readonly token: Token;
  readonly store: RecordStore;
  readonly evaluator: Evaluator;
  /** OPAQUE server public key: the fleet's `ake`, uncompressed, 65 bytes. */
  readonly akePublicKey: Uint8Array;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly policy: VaultPolicy;
  /** Shares per registration in this fleet; 1 for a fleet of one. */
  readonly shareCount?: number;
  /** Called once for each thing that happened. */
  readonly observe?: (event: VaultEvent) => void;
}

export interface Vault {
  /**
   * Answers one request of an account whose token has been verified for the operation's scope.
   *
   * @throws StrongroomError; its code says what the client may learn: not-registered, destroyed, expired, conflict,
   *   unauthorized, rate-limited (details.retryAfter, seconds), invalid-request; anything else is unavailable
   */
  handle<R extends VaultRequest>(account: Account, request: R): Promise<Answers[R["op"]]>;
  /** Stops the timers; token and store belong to the caller. */
  close(): void;
}

type Handlers = {
  [O in Operation]: (account: Account, request: Extract<VaultRequest, { op: O }>) => Promise<Answers[O]>;
};

export function createVault(options: VaultOptions): Vault {
  const { fleet, site, token, evaluator, akePublicKey, clock, random, policy } = options;
  const executor = createExecutor({ ...options, shareCount: options.shareCount ?? 1 });
  const lastAttempts = watchLastAttempts(async (id) => {
    await executor.execute(id, [], () => settleExhausted);
  });
  const serverPublicKey = compressPoint(akePublicKey);

  const recordId = recordIds(token);

  async function registerStart(account: Account, request: RegisterStart): Promise<Answers["register-start"]> {
    const blindedElement = decompressPoint(request.blindedElement);
    decompressPoint(request.receiptPublicKey);
    const id = await recordId(account);
    const salt = random(SALT_BYTES);
    const begun = await executor.execute(id, [cookieKeyStep("register", salt)], () =>
      beginRegistration(policy),
    );
    const [cookieKey] = begun.results;
    const bound = {
      generation: begun.outcome,
      receiptPublicKey: request.receiptPublicKey,
      maxAttempts: policy.maxAttempts,
    };
    const { accountToken } = request;
    try {
      const created = await evaluator.create({ ...bound, recordId: id, blindedElement, accountToken });
      const { shares, evaluated } = created;
      const evaluatedElement = compressPoint(evaluated);
      wipe(evaluated);
      const expiresAt = clock.now() + COOKIE_LIFETIME_MS;
      const cookie = sealCookie({ ...bound, shares, expiresAt }, salt, cookieKey, id);
      return { evaluatedElement, serverPublicKey, cookie };
    } finally {
      wipe(cookieKey);
    }
  }

  /** Nobody waits for it: a site that does not hear of a generation learns of it with the first evaluation. */
  function announce(registered: Registered): void {
    evaluator.announce?.(registered).catch(() => options.observe?.("announcement-lost"));
  }

  async function registerFinish(
    account: Account,
    request: RegisterFinish,
  ): Promise<Answers["register-finish"]> {
    parseRegistrationRecord(request.registrationRecord);
    const keyStep = cookieKeyStep("register", cookieSalt(request.cookie));
    const id = await recordId(account);
    const { registrationRecord, sealedBackupKey, sealedReceiptKey } = request;
    const upload = { registrationRecord, sealedBackupKey, sealedReceiptKey };
    const opened: { cookie?: RegisterCookie } = {};
    const { outcome: generation } = await executor.execute(id, [keyStep], ([cookieKey]) => {
      const cookie = openCookie("register", request.cookie, cookieKey, id);
      wipe(cookieKey);
      opened.cookie = cookie;
      return finishRegistration(cookie, upload);
    });
    if (opened.cookie) announce({ ...opened.cookie, recordId: id });
    const message = acknowledgmentMessage({ fleet, site, recordId: id, generation, ...upload });
    const [acknowledgment] = await token.run([{ op: "sign", key: "identity", digest: sha256Of(message) }]);
    return { recordId: id, generation, site, acknowledgment };
  }

  async function recoverStart(account: Account, request: RecoverStart): Promise<Answers["recover-start"]> {
    const ke1 = parseKe1(request.ke1);
    const { blindedElement, clientKeyshare } = ke1;
    const id = await recordId(account);
    const salt = random(SALT_BYTES);
    // The cookie's key and the static Diffie-Hellman need nothing of the record and tell nothing of the code, so
    // they ride along before the attempt is counted; the OPRF waits until it is.
    const begun = await executor.execute(
      id,
      [cookieKeyStep("recover", salt), { op: "ecdh", key: "ake", points: derivationPoints(clientKeyshare) }],
      () => beginRecovery(sha256Of(blindedElement), policy),
    );
    const [cookieKey, xs] = begun.results;
    const { generation, registration, attemptsLeft, expiresAt } = begun.outcome;
    if (attemptsLeft <= 0) lastAttempts.watch(id);
    const { seq, sealedReceiptKey, registrationRecord } = registration;

    const secrets = [cookieKey, ...xs];
    try {
      const evaluatedElement = await evaluator.evaluate({
        recordId: id,
        generation,
        receiptPublicKey: registration.receiptPublicKey,
        maxAttempts: registration.maxAttempts,
        shares: registration.shares,
        seq,
        base: registration.base,
        lastReceipt: registration.lastReceipt,
        blindedElement,
        accountToken: request.accountToken,
      });
      const staticDh = recoverProduct(clientKeyshare, akePublicKey, xs);
      secrets.push(evaluatedElement, staticDh);
      const { ke2, expectedClientMac, sessionKey } = startLogin({
        ke1,
        registrationRecord,
        evaluatedElement,
        serverPublicKey: akePublicKey,
        staticDh,
        clientIdentity: clientIdentity(account),
        serverIdentity: fleet,
      });
      secrets.push(expectedClientMac, sessionKey);
      const cookie = sealCookie({ generation, seq, expectedClientMac, expiresAt }, salt, cookieKey, id);
      return { ke2, sealedReceiptKey, recordId: id, generation, seq, attemptsLeft, cookie };
    } finally {
      wipe(...secrets);
    }
  }

  async function recoverFinish(account: Account, request: RecoverFinish): Promise<Answers["recover-finish"]> {
    const keyStep = cookieKeyStep("recover", cookieSalt(request.cookie));
    const id = await recordId(account);
    const finished = await executor.execute(id, [keyStep], ([cookieKey]) => {
      const cookie = openCookie("recover", request.cookie, cookieKey, id);
      wipe(cookieKey);
      const { generation, seq } = cookie;
      const message = receiptMessage({ fleet, recordId: id, generation, seq });
      return finishRecovery({
        cookie,
        ke3Matches: verifyKe3(request.ke3, cookie.expectedClientMac),
        receipt: request.receipt,
        receiptVerifies: (publicKey) => verifySignature(publicKey, message, request.receipt),
      });
    });
    return finished.outcome;
  }

  const handlers: Handlers = {
    "register-start": registerStart,
    "register-finish": registerFinish,
    "recover-start": recoverStart,
    "recover-finish": recoverFinish,
    status: async (account) =>
      (await executor.execute(await recordId(account), [], () => readStatus)).outcome,
    delete: async (account, { generation }) =>
      (await executor.execute(await recordId(account), [], () => deleteRecord(generation))).outcome,
  };

  return {
    handle<R extends VaultRequest>(account: Account, request: R): Promise<Answers[R["op"]]> {
      // The table's type pairs each operation with its request and answer; the compiler cannot follow it by index.
      const handler = handlers[request.op] as unknown as (
        account: Account,
        request: R,
      ) => Promise<Answers[R["op"]]>;
      return handler(account, request);
    },
    close: () => lastAttempts.close(),
  };
}

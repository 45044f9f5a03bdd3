/**
 * A vault whose store and evaluator can be made to fail at any step, and an account that uses it. The store is
 * LMDB and the evaluator the real one; only the faults are put between.
 */
import { createECDH, randomBytes } from "node:crypto";
import { toHex } from "../../src/base/bytes.ts";
import { systemRandom } from "../../src/base/clock.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { compressPoint } from "../../src/crypto/node/p256.ts";
import { createLocalEvaluator } from "../../src/fleet/local-evaluator.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { cookieKeyStep, cookieSalt, openCookie, type RecoverCookie } from "../../src/vault/cookie.ts";
import type { Evaluator } from "../../src/vault/evaluator.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { openRecord, recordIdStep, recordKeyStep, saltOf } from "../../src/vault/record-seal.ts";
import { createVault, type Vault, type VaultEvent, type VaultPolicy } from "../../src/vault/vault.ts";
import type { Answers, VaultRequest } from "../../src/wire/messages.ts";
import { type Account, receiptMessage } from "../../src/wire/transcripts.ts";
import { EcSigner } from "./signers.ts";
import { type SoftwareToken, softwareToken } from "./software-token.ts";

/** What the next write meets. */
export type StoreFault = "lost-before" | "lost-after" | "refused";
/** Where the process dies: once the attempt is durable, or once the OPRF was evaluated. */
export type Crash = "before-evaluation" | "after-evaluation";

const FLEET = "test-fleet";

export function randomPoint(): Uint8Array {
  const ecdh = createECDH("prime256v1");
  ecdh.generateKeys();
  return Uint8Array.from(ecdh.getPublicKey(null, "compressed"));
}

export interface VaultWorld {
  /** Two sites of one fleet: they share keys and store, and know nothing else of each other. */
  readonly vaults: readonly [Vault, Vault];
  readonly token: SoftwareToken;
  readonly events: VaultEvent[];
  /** Faults that the next writes meet, in order. */
  readonly storeFaults: (StoreFault | undefined)[];
  /** Crashes that the next evaluations meet, in order. */
  readonly crashes: (Crash | undefined)[];
  /** `generation:element` of every evaluation for a recovery, in order. */
  readonly evaluations: { readonly generation: number; readonly seq: number; readonly element: string }[];
  /** How many OPRF keys were created, each with one evaluation. */
  readonly creations: { count: number };
  /** The first site's; the second one's is so much ahead of it. */
  readonly clock: { now: number; ahead: number };
  recordId(account: Account): Uint8Array;
  /** The record as it is stored. */
  record(account: Account): Promise<VaultRecord | undefined>;
  recoverCookie(account: Account, cookie: Uint8Array): RecoverCookie;
}

export function vaultWorld(store: RecordStore, policy: VaultPolicy): VaultWorld {
  const token = softwareToken();
  const storeFaults: (StoreFault | undefined)[] = [];
  const crashes: (Crash | undefined)[] = [];
  const events: VaultEvent[] = [];
  const evaluations: { generation: number; seq: number; element: string }[] = [];
  const creations = { count: 0 };
  const clock = { now: 1_800_000_000_000, ahead: 0 };

  const faulty: RecordStore = {
    ...bound(store),
    async compareAndSwap(id, expected, value) {
      const fault = storeFaults.shift();
      if (fault === "refused") throw new StrongroomError("store-full", "injected");
      if (fault === "lost-before") throw new StrongroomError("store-ambiguous", "injected");
      const result = await store.compareAndSwap(id, expected, value);
      if (fault === "lost-after") throw new StrongroomError("store-ambiguous", "injected");
      return result;
    },
  };

  const local = createLocalEvaluator({ token, share: 0 });
  const evaluator: Evaluator = {
    create(request) {
      creations.count++;
      return local.create(request);
    },
    async evaluate(request) {
      const crash = crashes.shift();
      if (crash === "before-evaluation") throw new StrongroomError("token-absent", "injected");
      const evaluated = await local.evaluate(request);
      evaluations.push({
        generation: request.generation,
        seq: request.seq,
        element: toHex(request.blindedElement),
      });
      if (crash === "after-evaluation") throw new StrongroomError("token-timeout", "injected");
      return evaluated;
    },
  };

  const site = (name: string, now: () => number): Vault =>
    createVault({
      fleet: FLEET,
      site: name,
      token,
      store: faulty,
      evaluator,
      akePublicKey: token.publicKey("ake"),
      clock: { now },
      random: systemRandom,
      policy,
      observe: (event) => events.push(event),
    });

  const recordId = (account: Account): Uint8Array => token.hmac("record", recordIdStep(account).data);
  return {
    vaults: [site("site-a", () => clock.now), site("site-b", () => clock.now + clock.ahead)],
    token,
    events,
    storeFaults,
    crashes,
    evaluations,
    creations,
    clock,
    recordId,
    async record(account) {
      const id = recordId(account);
      const found = await store.get(id);
      if (!found) return undefined;
      const key = token.hmac("record", recordKeyStep(id, saltOf(found.value, 1)).data);
      return openRecord(found.value, { key, id, shareCount: 1 });
    },
    recoverCookie(account, cookie) {
      const key = token.hmac("record", cookieKeyStep("recover", cookieSalt(cookie)).data);
      return openCookie("recover", cookie, key, recordId(account));
    },
  };
}

function bound(store: RecordStore): Pick<RecordStore, "get" | "check" | "close"> {
  return { get: (id) => store.get(id), check: () => store.check(), close: () => store.close() };
}

/**
 * An account that knows the fleet's record key, and so finishes recoveries without a password: it reads out of the
 * cookie what KE3 must be. The rules under test cannot tell; real clients are in the SoftHSM tests.
 */
export class OmniscientAccount {
  readonly account: Account;
  readonly #world: VaultWorld;
  readonly #receiptKey = new EcSigner();
  /** Requests go to the sites in turn. */
  #turn = 0;
  readonly receiptPublicKey: Uint8Array;

  constructor(world: VaultWorld, subject: string) {
    this.#world = world;
    this.account = { tenant: "app", subject };
    this.receiptPublicKey = compressPoint(this.#receiptKey.publicKey);
  }

  ask<R extends VaultRequest>(request: R): Promise<Answers[R["op"]]> {
    const [even, odd] = this.#world.vaults;
    return (this.#turn++ % 2 === 0 ? even : odd).handle(this.account, request);
  }

  registerStart(): Promise<Answers["register-start"]> {
    return this.ask({
      op: "register-start",
      accountToken: "t",
      blindedElement: randomPoint(),
      receiptPublicKey: this.receiptPublicKey,
    });
  }

  registerFinish(cookie: Uint8Array, filling = 1): Promise<Answers["register-finish"]> {
    const registrationRecord = new Uint8Array(129).fill(filling);
    registrationRecord.set(this.receiptPublicKey);
    return this.ask({
      op: "register-finish",
      accountToken: "t",
      cookie,
      registrationRecord,
      sealedBackupKey: new Uint8Array(60).fill(filling),
      sealedReceiptKey: new Uint8Array(60).fill(filling),
    });
  }

  recoverStart(blindedElement: Uint8Array = randomPoint()): Promise<Answers["recover-start"]> {
    const ke1 = new Uint8Array(98);
    ke1.set(blindedElement);
    ke1.set(randomBytes(32), 33);
    ke1.set(randomPoint(), 65);
    return this.ask({ op: "recover-start", accountToken: "t", ke1 });
  }

  async recoverFinish(cookie: Uint8Array, right = true): Promise<Answers["recover-finish"]> {
    const { generation, seq, expectedClientMac } = this.#world.recoverCookie(this.account, cookie);
    const recordId = this.#world.recordId(this.account);
    const message = receiptMessage({ fleet: FLEET, recordId, generation, seq });
    return this.ask({
      op: "recover-finish",
      accountToken: "t",
      cookie,
      ke3: right ? expectedClientMac : new Uint8Array(32),
      receipt: this.#receiptKey.sign(message),
    });
  }

  status(): Promise<Answers["status"]> {
    return this.ask({ op: "status", accountToken: "t" });
  }

  /** @param given the generation that is to be deleted; the stored one by default */
  async delete(given?: number): Promise<Answers["delete"]> {
    const generation = given ?? (await this.#world.record(this.account))?.generation ?? 0;
    return this.ask({ op: "delete", accountToken: "t", generation });
  }
}

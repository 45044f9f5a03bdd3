/**
 * A fleet whose tokens are software and whose sites call each other directly: for tests of what sites decide, by the
 * thousand. Stores and guard tables are LMDB; faults are put between the sites.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, uintBE } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import { createSharedEvaluator, type SharedEvaluatorOptions } from "../../src/fleet/shared-evaluator.ts";
import { createSiteService } from "../../src/fleet/site-evaluator.ts";
import type { EvaluateShares, SiteService } from "../../src/fleet/site-service.ts";
import { type HolderSet, holderSets, sharesOf } from "../../src/keys/holder-sets.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import type { ResultsOf, Token, TokenStep } from "../../src/token/token.ts";
import type { AccountScope, AccountVerifier } from "../../src/vault/account-token.ts";
import type { Evaluator, SharePolicy } from "../../src/vault/evaluator.ts";
import type { Share, VaultRecord } from "../../src/vault/record.ts";
import { recordIdStep, recordKeyStep, sealRecord } from "../../src/vault/record-seal.ts";
import { receiptMessage } from "../../src/wire/transcripts.ts";
import { EcSigner } from "./signers.ts";
import { type SoftwareToken, softwareToken } from "./software-token.ts";
import { randomPoint } from "./vault-world.ts";

const FLEET = "test-fleet";
const NONE = new Uint8Array(0);

/** What a call to a site meets: it never arrives, its answer takes so long (milliseconds), or it is an error. */
export type SiteFault = "silent" | number | StrongroomError;

export interface WorldSite {
  readonly service: SiteService;
  /** Steps that the site's token carried out. */
  readonly steps: TokenStep[];
  /** Calls from other sites, in order. */
  readonly calls: { readonly op: keyof SiteService; readonly shares: readonly number[] }[];
  fault: SiteFault | undefined;
  live: boolean;
  expectedMs: number;
  /** As after the loss of its disk. */
  loseGuard(): void;
}

/** Account tokens of the tests: `subject|scope|serial.signature`, and nothing is signed. */
const verifier: AccountVerifier = {
  async verify(token, scope) {
    const [subject = "", granted] = token.split("|");
    if (granted !== scope) throw new StrongroomError("unauthorized", "another scope");
    return { tenant: "app", subject };
  },
};

/** The fleet's token with the share keys of one site only. */
function holding(token: Token, shares: readonly number[], steps: TokenStep[]): Token {
  const held = (key: string): boolean =>
    !key.startsWith("share-") || shares.includes(Number(key.split(".")[1]));
  return {
    async run<const S extends readonly TokenStep[]>(list: S): Promise<ResultsOf<S>> {
      for (const step of list) {
        const keys = [
          ...("kek" in step ? [step.kek] : []),
          ...("tag" in step && step.tag ? [step.tag.key] : []),
          ...("key" in step ? [step.key] : []),
        ];
        if (!keys.every(held)) throw new StrongroomError("key-missing", "not of this site");
      }
      const results = await token.run(list);
      steps.push(...list);
      return results;
    },
  };
}

/** A table that can lose everything: from then on its entries have other keys. */
function losable(table: RecordStore): { readonly table: RecordStore; lose(): void } {
  let losses = 0;
  const place = (id: Uint8Array): Uint8Array => (losses === 0 ? id : sha256(concat(id, uintBE(losses, 4))));
  return {
    table: {
      get: (id) => table.get(place(id)),
      compareAndSwap: (id, expected, value) => table.compareAndSwap(place(id), expected, value),
      check: () => table.check(),
      close: () => table.close(),
    },
    lose: () => losses++,
  };
}

export interface FleetWorld {
  readonly sets: readonly HolderSet[];
  readonly sites: readonly WorldSite[];
  readonly token: SoftwareToken;
  readonly store: RecordStore;
  readonly clock: { now: number };
  site(index: number): WorldSite;
  /** A coordinator at that site, which reaches the others through their faults. */
  evaluator(
    at: number,
    options?: { observe?: SharedEvaluatorOptions["observe"]; patienceMs?: number },
  ): Evaluator;
}

/** @param tables one for each site */
export function fleetWorld(
  threshold: number,
  store: RecordStore,
  tables: readonly RecordStore[],
): FleetWorld {
  const token = softwareToken();
  const sets = holderSets(tables.length, threshold);
  const clock = { now: 1_800_000_000_000 };
  const sites = tables.map((table, index): WorldSite => {
    const steps: TokenStep[] = [];
    const shares = sharesOf(index, sets);
    const guard = losable(table);
    const service = createSiteService({
      fleet: FLEET,
      site: `site-${index}`,
      token: holding(token, shares, steps),
      store,
      guardTable: guard.table,
      verifier,
      shares,
      shareCount: sets.length,
      maxAttempts: 3,
      clock: { now: () => clock.now },
      parts: async () => ({
        token: { ok: true, detail: "" },
        store: { ok: true, detail: "" },
        manifest: "00".repeat(32),
      }),
    });
    return {
      service,
      steps,
      calls: [],
      fault: undefined,
      live: true,
      expectedMs: 1,
      loseGuard: () => guard.lose(),
    };
  });
  const site = (index: number): WorldSite => {
    const found = sites[index];
    if (!found) throw new Error(`no site ${index}`);
    return found;
  };

  function reached(one: WorldSite): SiteService {
    const call = async <T>(op: keyof SiteService, shares: readonly number[], work: () => Promise<T>) => {
      one.calls.push({ op, shares });
      const { fault } = one;
      if (fault === "silent") return new Promise<never>(() => undefined);
      if (fault instanceof StrongroomError) throw fault;
      const answer = await work();
      if (fault !== undefined) await sleep(fault);
      return answer;
    };
    const numbers = (shares: readonly Share[]): number[] => shares.map(({ share }) => share);
    const { service } = one;
    return {
      create: (request) => call("create", request.numbers, () => service.create(request)),
      evaluate: (request) => call("evaluate", numbers(request.shares), () => service.evaluate(request)),
      announce: (request) => call("announce", numbers(request.shares), () => service.announce(request)),
      status: () => call("status", [], () => service.status()),
    };
  }

  return {
    sets,
    sites,
    token,
    store,
    clock,
    site,
    evaluator: (at, options = {}) =>
      createSharedEvaluator({
        self: reached(site(at)),
        selfIndex: at,
        peers: new Map(
          sites.flatMap((one, index) =>
            index === at
              ? []
              : [[index, { service: reached(one), live: () => one.live, expectedMs: () => one.expectedMs }]],
          ),
        ),
        sets,
        threshold,
        // A busy machine must not make a site seem slow where nothing is meant to be.
        patienceMs: 10_000,
        ...options,
      }),
  };
}

let tokens = 0;

/** An account of the fleet and the record that the store should hold of it. */
export class Owner {
  readonly subject: string;
  readonly id: Uint8Array;
  readonly receiptPublicKey: Uint8Array;
  readonly #world: FleetWorld;
  readonly #receiptKey = new EcSigner();
  generation = 0;
  seq = 0;
  base = 0;
  shares: readonly Share[] = [];

  constructor(world: FleetWorld, subject: string) {
    this.#world = world;
    this.subject = subject;
    this.id = world.token.hmac("record", recordIdStep({ tenant: "app", subject }).data);
    this.receiptPublicKey = compressPoint(this.#receiptKey.publicKey);
  }

  /** A fresh account token. */
  issue(scope: AccountScope): string {
    return `${this.subject}|${scope}|${tokens++}.signature`;
  }

  policy(generation: number = this.generation): SharePolicy {
    const { receiptPublicKey } = this;
    return { recordId: this.id, generation, receiptPublicKey, maxAttempts: 3 };
  }

  /** The receipt of a success at `seq`. */
  receipt(seq: number, generation: number = this.generation): Uint8Array {
    const message = receiptMessage({ fleet: FLEET, recordId: this.id, generation, seq });
    return this.#receiptKey.sign(message);
  }

  /** A generation more, made through `evaluator` and stored. @returns k·B */
  async register(
    evaluator: Evaluator,
    blindedElement: Uint8Array = decompressPoint(randomPoint()),
  ): Promise<Uint8Array> {
    const policy = this.policy(this.generation + 1);
    const accountToken = this.issue("register");
    const created = await evaluator.create({ ...policy, blindedElement, accountToken });
    Object.assign(this, { generation: policy.generation, shares: created.shares, seq: 0, base: 0 });
    await this.store();
    return created.evaluated;
  }

  /** The request of an attempt as an honest coordinator makes it, without counting it. */
  request(changes: Partial<EvaluateShares> = {}): EvaluateShares {
    const { seq, base, shares } = this;
    return {
      ...this.policy(),
      shares,
      seq,
      base,
      lastReceipt: base === 0 ? NONE : this.receipt(base),
      blindedElement: decompressPoint(randomPoint()),
      accountToken: this.issue("recover"),
      ...changes,
    };
  }

  /** Counts an attempt, durably. */
  async attempt(changes: Partial<EvaluateShares> = {}): Promise<EvaluateShares> {
    this.seq++;
    await this.store();
    return this.request(changes);
  }

  /** Proves the last attempt. */
  async prove(): Promise<void> {
    this.base = this.seq;
    await this.store();
  }

  /** Puts the record into the store, whatever it holds. */
  async store(changes: Partial<VaultRecord> = {}): Promise<void> {
    const { sets, token } = this.#world;
    const { seq, base, shares, id } = this;
    const record: VaultRecord = {
      version: 1,
      state: "active",
      generation: this.generation,
      registration: {
        shares,
        registrationRecord: new Uint8Array(129),
        sealedBackupKey: new Uint8Array(60),
        sealedReceiptKey: new Uint8Array(60),
        receiptPublicKey: this.receiptPublicKey,
        maxAttempts: 3,
        seq,
        base,
        lastReceipt: base === 0 ? NONE : this.receipt(base),
        lastAttempt: seq === 0 ? NONE : new Uint8Array(32),
        lastAttemptAt: 0,
        registeredAt: 0,
      },
      budgetAt: 0,
      writeIds: [],
      updatedAt: 0,
      ...changes,
    };
    const salt = crypto.getRandomValues(new Uint8Array(16));
    const key = token.hmac("record", recordKeyStep(id, salt).data);
    await this.put(sealRecord(record, salt, { key, id, shareCount: sets.length }));
  }

  /** Puts any bytes into the record's place, as a site that has gone bad can. */
  async put(value: Uint8Array): Promise<void> {
    const found = await this.#world.store.get(this.id);
    await this.#world.store.compareAndSwap(this.id, found?.revision, value);
  }
}

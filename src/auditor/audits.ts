/**
 * The audits of one namespace on the disk, and the one way in which a new one comes to be: intent, anchor, signature,
 * audit. Each is durable before the next, so that whatever an accident leaves, the same epoch is never signed with
 * another digest: an intent is finished by the same statement (Ed25519 signs it alike each time) or was never anchored.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fromHex, toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { decodeJson } from "../ceremony/json-bytes.ts";
import { sha256Hex } from "../wire/announcement.ts";
import { type Audit, type AuditStatement, auditMessage, auditOf, auditSchema } from "../wire/audit.ts";
import { encodeJson } from "../wire/json.ts";
import type { Head, HeadAnchor } from "./anchor.ts";
import { auditorRefused } from "./announcement-rules.ts";
import type { Signer } from "./signer.ts";

/** What is about to be signed, and under which key. */
interface Intent {
  readonly ciphersuite: 1 | 2;
  readonly timestamp: number;
  readonly epoch: number;
  readonly digest: string;
  /** Ed25519, hex. */
  readonly auditor: string;
}

export interface SignedAudit {
  readonly audit: Audit;
  /** Ed25519, hex: whose signature it is. */
  readonly auditor: string;
}

const key = z.string().regex(/^[0-9a-f]{64}$/);
const intentSchema: z.ZodType<Intent> = z.strictObject({
  ciphersuite: z.union([z.literal(1), z.literal(2)]),
  timestamp: z.number().int().nonnegative().safe(),
  epoch: z.number().int().min(1).safe(),
  digest: sha256Hex,
  auditor: key,
});
const signedSchema: z.ZodType<SignedAudit> = z.strictObject({ audit: auditSchema, auditor: key });

const SIGNED = /^([1-9]\d{0,15})\.json$/;
const INTENT = "intent.json";

export interface AuditsOptions {
  readonly namespace: string;
  /** `state/<ns>/audits`. */
  readonly dir: string;
  readonly anchor: HeadAnchor;
  /** By public key, hex. */
  readonly signers: ReadonlyMap<string, Signer>;
}

export class Audits {
  readonly #options: AuditsOptions;
  #last: number;

  private constructor(options: AuditsOptions, last: number) {
    this.#options = options;
    this.#last = last;
  }

  /**
   * Compares the disk with what the token remembers, and finishes what was under way.
   * @throws auditor-refused where the disk or the token is an old one; record-corrupt; token errors
   */
  static async open(options: AuditsOptions): Promise<Audits> {
    const { dir, anchor, namespace } = options;
    const epochs = existsSync(dir) ? readdirSync(dir).flatMap((name) => SIGNED.exec(name)?.[1] ?? []) : [];
    const audits = new Audits(options, Math.max(0, ...epochs.map(Number)));
    const head = await anchor.read();
    if (!head)
      throw auditorRefused(
        `the token remembers nothing of ${namespace}`,
        "is it the right token? `strongroom auditor init` prepares one for a new namespace",
      );
    await audits.#reconcile(head);
    return audits;
  }

  /** The newest signed epoch; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** @returns undefined where that epoch has not been signed @throws record-corrupt */
  get(epoch: number): SignedAudit | undefined {
    return this.#read(`${epoch}.json`, signedSchema);
  }

  /**
   * Signs the next epoch. It is on the disk, and the token remembers it, before the signature is made.
   * @throws auditor-refused where another one was signed or is to be; token errors; file-failed, store-full
   */
  async sign(statement: AuditStatement, auditor: string): Promise<SignedAudit> {
    const { ciphersuite, timestamp, epoch, digest } = statement;
    if (epoch !== this.#last + 1)
      throw new StrongroomError("internal", "an epoch is signed once, after the one before");
    const { anchor } = this.#options;
    const head = await anchor.read();
    if (!head) throw auditorRefused("the token forgot what it remembered");
    // Left by a try that the token did not survive; once the token has it, it is the only one that can be signed.
    const pending = this.#intent();
    const same = pending?.epoch === epoch && pending.digest === toHex(digest);
    if (head.epoch === epoch && !same)
      throw auditorRefused(`epoch ${epoch} is being signed with the digest ${head.digest}`);
    const intent = same ? pending : { ciphersuite, timestamp, epoch, digest: toHex(digest), auditor };
    if (!same) await writeDurably(this.#path(INTENT), encodeJson(intent));
    await anchor.write({ ...head, epoch, digest: intent.digest });
    return this.#finish(intent);
  }

  async #finish(intent: Intent): Promise<SignedAudit> {
    const { signers, namespace } = this.#options;
    const { auditor, digest, epoch } = intent;
    const signer = signers.get(auditor);
    if (!signer)
      throw new StrongroomError(
        "key-missing",
        `the key ${auditor}, which was to sign epoch ${epoch}, is gone`,
      );
    const statement: AuditStatement = {
      ciphersuite: intent.ciphersuite,
      namespace,
      timestamp: intent.timestamp,
      epoch,
      digest: fromHex(digest),
    };
    const signature = await signer.sign(auditMessage(statement));
    const signed: SignedAudit = { audit: auditOf(statement, signer.publicKey, signature), auditor };
    await writeDurably(this.#path(`${epoch}.json`), encodeJson(signed));
    this.#last = epoch;
    await unlink(this.#path(INTENT)).catch(() => undefined);
    return signed;
  }

  async #reconcile(head: Head): Promise<void> {
    const { namespace } = this.#options;
    const intent = this.#intent();
    if (intent && intent.epoch <= this.#last) await unlink(this.#path(INTENT));
    else if (intent) {
      if (head.epoch === intent.epoch && head.digest === intent.digest) await this.#finish(intent);
      // Nothing was signed: the token was never told.
      else if (head.epoch === this.#last) await unlink(this.#path(INTENT));
    }
    const signed = this.get(this.#last);
    const digest = signed?.audit.digest ?? "0".repeat(64);
    if (head.epoch === this.#last && head.digest === digest) return;
    const behind = head.epoch > this.#last;
    throw new StrongroomError(
      "auditor-refused",
      behind
        ? `the data directory is behind: the token signed epoch ${head.epoch} of ${namespace}, the directory ends at ${this.#last}`
        : `the token does not remember what the data directory says of epoch ${this.#last} of ${namespace}`,
      {
        details: { reason: behind ? "log-behind" : "anchor-behind" },
        hint: behind
          ? "this is an old copy: bring the newest one, from the disk or from a mirror and its state; nothing was signed"
          : "is it the right token? nothing was signed",
      },
    );
  }

  #intent(): Intent | undefined {
    return this.#read(INTENT, intentSchema);
  }

  #path(name: string): string {
    return join(this.#options.dir, name);
  }

  #read<T>(name: string, schema: z.ZodType<T>): T | undefined {
    const path = this.#path(name);
    if (!existsSync(path)) return undefined;
    try {
      return decodeJson(Uint8Array.from(readFileSync(path)), schema, "an audit");
    } catch (cause) {
      throw new StrongroomError("record-corrupt", `${path} is damaged`, {
        cause,
        hint: "take it from the newest backup; nothing was signed",
      });
    }
  }
}

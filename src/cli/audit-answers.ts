/**
 * What an auditor answers when it is asked (the interface of Plexi) against what its log says: an auditor that tells
 * one thing to whoever asks and another to whoever reads the log has signed both, and both are kept.
 */
import { z } from "zod";
import { fromUtf8, toHex } from "../base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import type { Contradiction } from "../trust/contradiction.ts";
import type { Pins } from "../trust/pins.ts";
import { refused } from "../trust/refusal.ts";
import type { TrustSource } from "../trust/source.ts";
import { verifyAudit } from "../trust/verify-bundle.ts";
import type { WalkedEpoch, WalkedLog } from "../trust/walk.ts";
import { type Audit, auditSchema } from "../wire/audit.ts";

export interface Answers {
  /** Nobody answers at a mirror. */
  readonly asked: boolean;
  readonly refusals: readonly { readonly epoch?: number; readonly refusal: StrongroomError }[];
  readonly contradictions: readonly Contradiction[];
}

const MAX_ANSWER_BYTES = 256 * 1024;
const AT_ONCE = 8;

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const infoSchema = z.object({ keys: z.array(z.object({ public_key: hex32 })) });
const lastSchema = z.object({ epoch: z.number().int().min(1).safe(), end_hash: hex32 });

/** @throws bundle-refused (malformed) where it is none; what the source throws */
async function ask<T>(source: TrustSource, path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const bytes = await source.get(path, MAX_ANSWER_BYTES);
  if (!bytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw refused("malformed", `the auditor's answer to ${path}`, cause);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw refused("malformed", `the auditor's answer to ${path}`);
}

/** Both come from one schema, which puts their fields in order. */
const sameAudit = (a: Audit, b: Audit): boolean => JSON.stringify(a) === JSON.stringify(b);

class Interview {
  readonly #source: TrustSource;
  readonly #namespace: string;
  readonly #found: { epoch?: number; refusal: StrongroomError }[] = [];
  readonly #contradictions: Contradiction[] = [];

  constructor(source: TrustSource, { namespace }: Pins) {
    this.#source = source;
    this.#namespace = namespace;
  }

  /** Says what is refused, and goes on. @throws other errors */
  async #note(epoch: number | undefined, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isStrongroomError(error, "bundle-refused")) throw error;
      this.#found.push({ ...(epoch === undefined ? {} : { epoch }), refusal: error });
    }
  }

  async run({ epochs, newest }: WalkedLog): Promise<Answers> {
    const info = await ask(this.#source, "info", z.unknown()).catch((error: unknown) => {
      // A mirror's server may answer anything with its own page.
      if (isStrongroomError(error, "bundle-refused")) return undefined;
      throw error;
    });
    const parsed = infoSchema.safeParse(info);
    if (!parsed.success) return { asked: false, refusals: [], contradictions: [] };
    await this.#note(undefined, async () => {
      const listed = parsed.data.keys.map(({ public_key }) => public_key);
      if (newest && !newest.keys.auditors.some((key) => listed.includes(key)))
        throw refused(
          "wrong-auditor-key",
          "the auditor lists none of the keys that its newest audit may have",
        );
    });
    await this.#note(undefined, () => this.#last(epochs));
    const believed = epochs.filter(({ verified }) => verified);
    for (let at = 0; at < believed.length; at += AT_ONCE)
      await Promise.all(
        believed.slice(at, at + AT_ONCE).map((one) => this.#note(one.epoch, () => this.#audit(one))),
      );
    return { asked: true, refusals: this.#found, contradictions: this.#contradictions };
  }

  async #last(epochs: readonly WalkedEpoch[]): Promise<void> {
    const path = `namespaces/${this.#namespace}/last-verified-epoch`;
    const last = await ask(this.#source, path, lastSchema);
    if (!last) throw refused("malformed", "the auditor knows nothing of the namespace that its log is of");
    if (last.epoch < epochs.length)
      throw refused("older-epoch", `the auditor ends at epoch ${last.epoch}, its log at ${epochs.length}`);
    const digest = epochs[last.epoch - 1]?.bundle?.audit.digest;
    // A newer one may have been published since the log was read.
    if (digest !== undefined && digest !== last.end_hash)
      throw refused("manifest-changed", `the auditor names ${last.end_hash} as epoch ${last.epoch}`);
  }

  async #audit({ epoch, verified }: WalkedEpoch): Promise<void> {
    if (!verified) return;
    const { bundle, keys } = verified;
    const answer = await ask(this.#source, `namespaces/${this.#namespace}/audits/${epoch}`, auditSchema);
    if (!answer) throw refused("unlogged", "the auditor has no audit of it");
    if (sameAudit(answer, bundle.audit)) return;
    const key = toHex(verifyAudit(answer, keys.auditors));
    const detail = `the auditor answers with another audit of epoch ${answer.epoch} than its log has, signed by ${key}`;
    if (answer.namespace !== this.#namespace || answer.epoch !== epoch) throw refused("malformed", detail);
    this.#contradictions.push({
      type: "strongroom/contradiction/v1",
      reason: "equivocation",
      namespace: this.#namespace,
      detail,
      first: { bundle },
      second: { audit: answer },
    });
    throw refused("equivocation", detail);
  }
}

/** @throws what the source throws; refusals are in the result */
export function askAuditor(source: TrustSource, pins: Pins, walked: WalkedLog): Promise<Answers> {
  return new Interview(source, pins).run(walked);
}

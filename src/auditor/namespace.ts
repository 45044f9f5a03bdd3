/**
 * One operator's line of epochs at this auditor (design §10): an announcement is handed in and signed, the operator
 * countersigns, the log gets the entry, and the bundle is published; then comes the next epoch. Everything that changes
 * something is done by one after the other, and every request may be sent again: it gets the same answer.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { fromHex, fromUtf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { decodeJson } from "../ceremony/json-bytes.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import type { AnnouncedFleet, Announcement } from "../wire/announcement.ts";
import type { Audit } from "../wire/audit.ts";
import {
  type Bundle,
  countersignatureMessage,
  decodeBundle,
  encodeBundle,
  logEntry,
  MAX_BUNDLE_BYTES,
} from "../wire/bundle.ts";
import { encodeJson } from "../wire/json.ts";
import type { HeadAnchor } from "./anchor.ts";
import {
  type AuditedEpoch,
  auditorRefused,
  checkAnnouncement,
  sameFleet,
  signingKey,
  trustedKeys,
} from "./announcement-rules.ts";
import { Announcements } from "./announcements.ts";
import { Audits, type SignedAudit } from "./audits.ts";
import type { NamespaceConfig } from "./config.ts";
import type { CheckEvidence, EvidenceOrder } from "./evidence-process.ts";
import { EvidenceStore } from "./evidence-store.ts";
import { INDEX_FILE, POLICY_FILE } from "./places.ts";
import type { AuditPolicy } from "./policy.ts";
import type { Signer } from "./signer.ts";

/** The log of a namespace, as far as its epochs need it. */
export interface EpochLog {
  /** Entries; the newest is epoch `size()`. */
  size(): number;
  /** Returns when the entry is in a published checkpoint; after a failure, the same one may be given again. */
  append(entry: Uint8Array, index: number): Promise<void>;
  /** C2SP tlog-proof of an entry against the newest checkpoint. */
  proofOf(index: number): Promise<string>;
}

export interface CountersignRequest {
  readonly epoch: number;
  /** Uncompressed P-256 point, hex. */
  readonly operatorKey: string;
  /** r ‖ s, hex. */
  readonly countersignature: string;
}

export const countersignRequestSchema: z.ZodType<CountersignRequest> = z.strictObject({
  epoch: z.number().int().min(1).safe(),
  operatorKey: z.string().regex(/^04[0-9a-f]{128}$/),
  countersignature: z.string().regex(/^[0-9a-f]{128}$/),
});

export interface NamespaceParts {
  readonly config: NamespaceConfig;
  /** The C2SP vkey of the log. */
  readonly logKey: string;
  readonly policy: AuditPolicy;
  readonly anchor: HeadAnchor;
  /** By public key, hex. */
  readonly signers: ReadonlyMap<string, Signer>;
  readonly log: EpochLog;
  readonly checkEvidence: CheckEvidence;
  /** `public/log/<ns>`. */
  readonly publicDir: string;
  /** `state/<ns>`. */
  readonly stateDir: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

/** An announcement that may be signed. */
interface Checked {
  readonly epoch: number;
  readonly timestamp: number;
  /** Evidence that belongs to it, to be published. */
  readonly evidence: readonly string[];
  /** Ed25519, hex. */
  readonly signer: string;
}

function evidenceDirs({
  stateDir,
  publicDir,
}: Pick<NamespaceParts, "stateDir" | "publicDir">): Pick<EvidenceOrder, "waiting" | "published"> {
  return { waiting: join(stateDir, "evidence"), published: join(publicDir, "evidence") };
}

export class AuditedNamespace {
  readonly config: NamespaceConfig;
  readonly #announcements: Announcements;
  readonly #evidence: EvidenceStore;
  readonly #parts: NamespaceParts;
  readonly #audits: Audits;
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(parts: NamespaceParts, audits: Audits) {
    const { stateDir, publicDir, config } = parts;
    this.config = config;
    this.#announcements = new Announcements(
      join(stateDir, "announcements"),
      join(publicDir, "announcements"),
    );
    const { waiting, published } = evidenceDirs(parts);
    this.#evidence = new EvidenceStore(waiting, published);
    this.#parts = parts;
    this.#audits = audits;
  }

  /** @throws auditor-refused where disk and token do not fit together; record-corrupt; token errors; what the log throws */
  static async open(parts: NamespaceParts): Promise<AuditedNamespace> {
    const { stateDir, anchor, signers, config } = parts;
    const dir = join(stateDir, "audits");
    const audits = await Audits.open({ namespace: config.name, dir, anchor, signers });
    const namespace = new AuditedNamespace(parts, audits);
    await namespace.#resume();
    return namespace;
  }

  /** The newest epoch whose bundle is published; 0 before the first. */
  get lastEpoch(): number {
    const { last } = this.#audits;
    return last > 0 && existsSync(this.#bundlePath(last)) ? last : Math.max(0, last - 1);
  }

  /** Of signed epochs, published or not. @throws record-corrupt */
  auditOf(epoch: number): Audit | undefined {
    return this.#audits.get(epoch)?.audit;
  }

  /** @throws record-corrupt, file-failed */
  async bundleOf(epoch: number): Promise<Bundle | undefined> {
    const bytes = await readIfThere(this.#bundlePath(epoch), MAX_BUNDLE_BYTES);
    return bytes && decodeBundle(bytes);
  }

  /** Takes an announcement's exact bytes. @param digest their SHA-256, hex @throws as `Announcements.put` */
  putAnnouncement(digest: string, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#announcements.put(digest, bytes));
  }

  /**
   * Takes one file of evidence. In turn with everything else: between its check and its publication, nobody changes it.
   * @throws as `EvidenceStore.put`
   */
  putEvidence(id: string, path: string, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#evidence.put(id, path, bytes));
  }

  /**
   * Checks an announcement that was handed in, and the evidence of its fleets, and signs it.
   * @param digest SHA-256 (hex) of the announcement
   * @throws auditor-refused; unavailable where the check of the evidence came to no verdict; token errors; file-failed,
   *   store-full
   */
  audit(epoch: number, digest: string): Promise<Audit> {
    return this.#inTurn(async () => {
      const checked = await this.#check(epoch, digest);
      return "audit" in checked ? checked.audit : (await this.#sign(digest, checked)).audit;
    });
  }

  /** The checks of `audit`, and nothing is signed or published. @throws as `audit` */
  check(epoch: number, digest: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#check(epoch, digest);
    });
  }

  async #check(epoch: number, digest: string): Promise<SignedAudit | Checked> {
    this.#requireEnabled();
    const done = this.#audits.get(epoch);
    if (done?.audit.digest === digest) return done;
    if (done) throw auditorRefused(`epoch ${epoch} was signed with the digest ${done.audit.digest}`);
    const last = this.lastEpoch;
    if (epoch !== last + 1 || this.#audits.last !== last)
      throw auditorRefused(
        this.#audits.last === last
          ? `epoch ${epoch} is not the next one, ${last + 1}`
          : `epoch ${this.#audits.last} is signed and not countersigned yet`,
      );
    const { announcement } = await this.#announcements.get(digest);
    if (announcement.epoch !== epoch)
      throw auditorRefused(`the announcement is of epoch ${announcement.epoch}, not ${epoch}`);
    const { config, policy, logKey, stateDir, checkEvidence, now } = this.#parts;
    const before = await this.#epochBefore(epoch);
    const context = {
      namespace: config.name,
      before,
      leftOut: await this.#leftOut(announcement, before),
      root: config.root,
      auditKeys: config.keys.audit.map(({ publicKey }) => publicKey),
      logKey,
      policy,
      now: now(),
    };
    checkAnnouncement(announcement, digest, context);
    if (context.now < (this.#audits.get(epoch - 1)?.audit.timestamp ?? 0))
      throw auditorRefused("the auditor's clock is behind the epoch before", "set the clock right");
    const evidence = await checkEvidence({
      fleets: announcement.fleets,
      before,
      policy,
      ...evidenceDirs(this.#parts),
      work: join(stateDir, "work"),
    });
    return { epoch, timestamp: context.now, evidence, signer: signingKey(context, announcement) };
  }

  /**
   * Verifies the operator's countersignature, logs the epoch, and publishes its bundle.
   * @throws auditor-refused; token errors; file-failed, store-full; what the log throws
   */
  countersign(request: CountersignRequest): Promise<Bundle> {
    return this.#inTurn(async () => {
      this.#requireEnabled();
      const { epoch } = request;
      const published = await this.bundleOf(epoch);
      if (published) return published;
      const signed = this.#audits.get(epoch);
      if (!signed) throw auditorRefused(`epoch ${epoch} has not been signed`);
      const path = this.#countersignaturePath(epoch);
      // The first good one counts: another one would make another entry.
      if (!existsSync(path)) {
        await this.#checkCountersignature(signed, request);
        await writeDurably(path, encodeJson(request));
      }
      return this.#publish(signed);
    });
  }

  async #sign(digest: string, { epoch, timestamp, evidence, signer }: Checked): Promise<SignedAudit> {
    // Published first: what is signed can always be looked at.
    for (const id of evidence) await this.#evidence.publish(id);
    await this.#announcements.publish(digest);
    const { ciphersuite, name: namespace } = this.config;
    return this.#audits.sign({ ciphersuite, namespace, timestamp, epoch, digest: fromHex(digest) }, signer);
  }

  async #epochBefore(epoch: number): Promise<AuditedEpoch | undefined> {
    const signed = this.#audits.get(epoch - 1);
    if (!signed) return undefined;
    const { digest } = signed.audit;
    return { digest, announcement: (await this.#announcements.get(digest)).announcement };
  }

  /** Fleets that come back after epochs without them, as they were announced last. */
  async #leftOut(
    { epoch, fleets }: Announcement,
    before: AuditedEpoch | undefined,
  ): Promise<readonly AnnouncedFleet[]> {
    const found: AnnouncedFleet[] = [];
    let missing = fleets.filter((fleet) => !sameFleet(fleet, before));
    for (let next = epoch - 1; next > 1 && missing.length > 0; next--) {
      const earlier = await this.#epochBefore(next);
      found.push(...missing.flatMap((fleet) => sameFleet(fleet, earlier) ?? []));
      missing = missing.filter((fleet) => !sameFleet(fleet, earlier));
    }
    return found;
  }

  async #checkCountersignature({ audit, auditor }: SignedAudit, request: CountersignRequest): Promise<void> {
    const { announcement } = await this.#announcements.get(audit.digest);
    const { operators } = trustedKeys(announcement, await this.#epochBefore(audit.epoch));
    if (!operators.includes(request.operatorKey))
      throw auditorRefused(
        `no trusted operator key: ${request.operatorKey}`,
        "an epoch is countersigned under a key of the epoch before",
      );
    const keyHash = sha256Of(fromHex(auditor));
    const message = countersignatureMessage(audit, keyHash);
    if (!verifySignature(fromHex(request.operatorKey), message, fromHex(request.countersignature)))
      throw auditorRefused("the countersignature does not verify");
  }

  /** Logs what was countersigned, and publishes the bundle. Done again after an accident, it ends the same. */
  async #publish({ audit }: SignedAudit): Promise<Bundle> {
    const { log } = this.#parts;
    const { epoch } = audit;
    const path = this.#countersignaturePath(epoch);
    const bytes = await readIfThere(path, 4096);
    if (!bytes) throw new StrongroomError("internal", "an epoch is published when it is countersigned");
    const { operatorKey, countersignature } = decodeJson(
      bytes,
      countersignRequestSchema,
      "a countersignature",
    );
    if (log.size() < epoch) await log.append(logEntry(audit, countersignature), epoch - 1);
    const { bytes: announcement } = await this.#announcements.get(audit.digest);
    const bundle: Bundle = {
      type: "strongroom/validation-bundle/v1",
      announcement: fromUtf8(announcement),
      audit,
      operatorKey,
      countersignature,
      proof: await log.proofOf(epoch - 1),
    };
    await writeDurably(this.#bundlePath(epoch), encodeBundle(bundle));
    await this.#writeIndex();
    return bundle;
  }

  /** `index.json`: where a reader may begin. Nobody believes it. @throws file-failed, store-full */
  async #writeIndex(): Promise<void> {
    const { config, log, logKey, publicDir } = this.#parts;
    const epochs = log.size();
    const newest = epochs > 0 ? await this.bundleOf(epochs) : undefined;
    const { announcement } = newest ? await this.#announcements.get(newest.audit.digest) : {};
    await writeDurably(
      join(publicDir, INDEX_FILE),
      encodeJson({
        type: "strongroom/log-index/v1",
        namespace: config.name,
        origin: config.origin,
        epochs,
        ciphersuite: config.ciphersuite,
        keys: announcement?.keys ?? {
          auditors: config.keys.audit.map(({ publicKey }) => publicKey),
          operators: [],
          logs: [logKey],
        },
        witnesses: config.witnesses.map(({ vkey }) => vkey),
      }),
    );
  }

  async #resume(): Promise<void> {
    const { last } = this.#audits;
    const signed = this.#audits.get(last);
    const { log } = this.#parts;
    const logged = log.size();
    if (logged > last || logged < last - 1)
      throw new StrongroomError(
        "auditor-refused",
        `the log of ${this.config.name} has ${logged} entries, and ${last} epochs are signed`,
        { details: { reason: "log-behind" }, hint: "the parts of the data directory are of different times" },
      );
    const { policy, publicDir } = this.#parts;
    await writeDurably(join(publicDir, POLICY_FILE), encodeJson(policy));
    const unpublished =
      signed && existsSync(this.#countersignaturePath(last)) && !existsSync(this.#bundlePath(last));
    try {
      await (unpublished ? this.#publish(signed) : this.#writeIndex());
    } catch (error) {
      // A witness that is away keeps nobody from reading; the operator's next request finishes it.
      if (!isStrongroomError(error, "unavailable")) throw error;
    }
  }

  #requireEnabled(): void {
    if (this.config.disabled) throw auditorRefused(`the namespace ${this.config.name} is disabled`);
  }

  #bundlePath(epoch: number): string {
    return join(this.#parts.publicDir, "bundles", `${epoch}.json`);
  }

  #countersignaturePath(epoch: number): string {
    return join(this.#parts.stateDir, "countersignatures", `${epoch}.json`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#busy.then(work, work);
    this.#busy = turn.catch(() => undefined);
    return turn;
  }
}

/**
 * What an auditor publishes of a namespace, made of keys that the test holds: so that it can be as false as a test wants,
 * with all the rest properly signed. Files by their paths below the page. The real auditor is in auditor-world.ts.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { formatCheckpoint } from "../../src/merkle/checkpoint.ts";
import { cosign, formatNote, type NoteSignature, signNote } from "../../src/merkle/note.ts";
import { type HashReader, inclusionProof } from "../../src/merkle/proofs.ts";
import { formatTlogProof } from "../../src/merkle/tlog-proof.ts";
import { Frontier, leafHash } from "../../src/merkle/tree.ts";
import { type KeyKind, type VerifierKey, verifierKey } from "../../src/merkle/vkey.ts";
import type { Pins } from "../../src/trust/pins.ts";
import {
  type AnnouncedFleet,
  type AnnouncedKeys,
  type Announcement,
  encodeAnnouncement,
} from "../../src/wire/announcement.ts";
import { type Audit, auditMessage, auditOf } from "../../src/wire/audit.ts";
import { type Bundle, countersignatureMessage, encodeBundle, logEntry } from "../../src/wire/bundle.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const DAY = 86_400_000;

class Ed25519Key {
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.publicKey = Uint8Array.from(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"));
    this.#privateKey = privateKey;
  }
  readonly sign = (message: Uint8Array): Promise<Uint8Array> =>
    Promise.resolve(Uint8Array.from(sign(null, message, this.#privateKey)));
  as(kind: KeyKind, name: string): VerifierKey {
    return verifierKey(kind, name, this.publicKey);
  }
}

class OperatorKey {
  readonly point: string;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { x = "", y = "" } = publicKey.export({ format: "jwk" });
    this.point = `04${Buffer.from(x, "base64url").toString("hex")}${Buffer.from(y, "base64url").toString("hex")}`;
    this.#privateKey = privateKey;
  }
  countersign(audit: Audit, auditor: Uint8Array): string {
    const message = countersignatureMessage(audit, fromHex(sha256(auditor)));
    return toHex(sign("sha256", message, { key: this.#privateKey, dsaEncoding: "ieee-p1363" }));
  }
}

/** Who signs. A key of another one is how somebody else's signature is made. */
export class LogKeys {
  readonly auditor: Ed25519Key = new Ed25519Key();
  readonly log: Ed25519Key = new Ed25519Key();
  readonly witness: Ed25519Key = new Ed25519Key();
  readonly operator: OperatorKey = new OperatorKey();
}

export interface LogOptions {
  readonly namespace?: string;
  readonly keys?: LogKeys;
  /** Whether the witness cosigns. */
  readonly isWitnessed?: boolean;
}

/** One epoch more; what is not given is as it should be. */
export interface NewEpoch extends Partial<Announcement> {
  readonly fleets: readonly AnnouncedFleet[];
  /** The operator's key that countersigns. */
  readonly operator?: OperatorKey;
  readonly auditor?: Ed25519Key;
}

export class PublishedLog {
  readonly namespace: string;
  readonly keys: LogKeys;
  readonly #origin: string;
  readonly #isWitnessed: boolean;
  readonly #made: Omit<Bundle, "proof">[] = [];
  /** What else is published: evidence. */
  readonly files: Map<string, Uint8Array> = new Map();

  constructor({ namespace = "vault.example", keys = new LogKeys(), isWitnessed = false }: LogOptions = {}) {
    this.namespace = namespace;
    this.keys = keys;
    this.#origin = `auditor.example/logs/${namespace}`;
    this.#isWitnessed = isWitnessed;
  }

  get announced(): AnnouncedKeys {
    const { auditor, operator, log } = this.keys;
    return {
      auditors: [toHex(auditor.publicKey)],
      operators: [operator.point],
      logs: [log.as("note", this.#origin).vkey],
    };
  }

  pins(change: Partial<Pins> = {}): Pins {
    return {
      type: "strongroom/pins/v1",
      namespace: this.namespace,
      keys: this.announced,
      witnesses: [this.keys.witness.as("cosignature", "witness.example").vkey],
      witnessQuorum: this.#isWitnessed ? 1 : 0,
      minimumEpoch: 1,
      ...change,
    };
  }

  /** The first `epochs` of it, to go on from in another way. */
  fork(epochs: number, keys: LogKeys = this.keys): PublishedLog {
    const other = new PublishedLog({ namespace: this.namespace, keys, isWitnessed: this.#isWitnessed });
    other.#made.push(...this.#made.slice(0, epochs));
    return other;
  }

  async announce(epoch: NewEpoch): Promise<this> {
    const { auditor = this.keys.auditor, operator = this.keys.operator, ...change } = epoch;
    const number = this.#made.length + 1;
    const before = this.#made.at(-1);
    const createdAt = Date.now() - 30 * DAY + number * DAY;
    const announcement: Announcement = {
      type: "strongroom/announcement/v1",
      namespace: this.namespace,
      epoch: number,
      ...(before ? { previous: before.audit.digest } : {}),
      createdAt,
      validUntil: Date.now() + 90 * DAY,
      keys: this.announced,
      ...change,
    };
    const bytes = encodeAnnouncement(announcement);
    const statement = {
      ciphersuite: 1,
      namespace: announcement.namespace,
      timestamp: createdAt,
      epoch: announcement.epoch,
      digest: fromHex(sha256(bytes)),
    } as const;
    const signature = await auditor.sign(auditMessage(statement));
    const audit = auditOf(statement, auditor.publicKey, signature);
    this.#made.push({
      type: "strongroom/validation-bundle/v1",
      announcement: Buffer.from(bytes).toString("utf8"),
      audit,
      operatorKey: operator.point,
      countersignature: operator.countersign(audit, auditor.publicKey),
    });
    return this;
  }

  /** An entry changed in its place, as whoever has the log's key could. */
  rewrite(epoch: number, change: Partial<Bundle>): this {
    const made = this.#made[epoch - 1];
    if (made) this.#made[epoch - 1] = { ...made, ...change };
    return this;
  }

  #leaves(): readonly Uint8Array[] {
    return this.#made.map(({ audit, countersignature }) => leafHash(logEntry(audit, countersignature)));
  }

  async #checkpoint(root: Uint8Array): Promise<string> {
    const { log, witness } = this.keys;
    const text = formatCheckpoint({ origin: this.#origin, size: this.#made.length, root });
    const signatures: NoteSignature[] = [await signNote(text, log.as("note", this.#origin), log.sign)];
    if (this.#isWitnessed) {
      const key = witness.as("cosignature", "witness.example");
      signatures.push(await cosign(text, Math.floor(Date.now() / 1000), key, witness.sign));
    }
    return formatNote({ text, signatures });
  }

  /** Of an epoch, with a proof against the log as it is now. */
  async bundle(epoch: number, change: Partial<Bundle> = {}): Promise<Uint8Array> {
    const tree = new Frontier();
    const nodes = new Map<string, Uint8Array>();
    for (const leaf of this.#leaves())
      tree.append(leaf, ({ level, index }, hash) => nodes.set(`${level}/${index}`, hash));
    const read: HashReader = (asked) =>
      Promise.resolve(asked.map(({ level, index }) => nodes.get(`${level}/${index}`) ?? new Uint8Array(32)));
    const made = this.#made[epoch - 1];
    if (!made) throw new Error(`no epoch ${epoch}`);
    const index = epoch - 1;
    const path = await inclusionProof(index, this.#made.length, read);
    const proof = formatTlogProof({ index, path, checkpoint: await this.#checkpoint(tree.root()) });
    return encodeBundle({ ...made, proof, ...change });
  }

  /** All files, as they are now. */
  async publish(): Promise<ReadonlyMap<string, Uint8Array>> {
    const folder = `log/${this.namespace}`;
    const files = new Map(this.files);
    const tree = new Frontier();
    for (const leaf of this.#leaves()) tree.append(leaf);
    for (const [i, { audit, announcement }] of this.#made.entries()) {
      files.set(`${folder}/bundles/${i + 1}.json`, await this.bundle(i + 1));
      files.set(`${folder}/announcements/${audit.digest}.json`, utf8(announcement));
    }
    files.set(`${folder}/checkpoint`, utf8(await this.#checkpoint(tree.root())));
    const index = {
      type: "strongroom/log-index/v1",
      namespace: this.namespace,
      origin: this.#origin,
      epochs: this.#made.length,
      ciphersuite: 1,
      keys: this.announced,
      witnesses: [],
    };
    files.set(`${folder}/index.json`, utf8(JSON.stringify(index)));
    files.set("namespaces", utf8(JSON.stringify({ namespaces: [{ name: this.namespace }] })));
    return files;
  }

  /** Publishes evidence of a fleet, under the hash of its signed list. */
  addEvidence(id: string, evidence: ReadonlyMap<string, Uint8Array>): this {
    const folder = `log/${this.namespace}/evidence/${id}`;
    const files = [...evidence].map(([path, bytes]) => ({ path, size: bytes.length, sha256: sha256(bytes) }));
    this.files.set(`${folder}/files.json`, utf8(JSON.stringify({ files })));
    for (const [path, bytes] of evidence) this.files.set(`${folder}/files/${path}`, bytes);
    return this;
  }
}

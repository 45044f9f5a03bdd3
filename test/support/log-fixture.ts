/**
 * A namespace with its epochs as an auditor publishes it, signed by keys in memory: genuine, or lying in a way that is
 * asked for. The same public files serve tests of what verifies them in Node, in apps and in browsers.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { keyId } from "../../src/crypto/key-id.ts";
import { formatCheckpoint } from "../../src/merkle/checkpoint.ts";
import { EMPTY_EDGE, grow, type LogEdge } from "../../src/merkle/growth.ts";
import { cosign, formatNote, type NoteSignature, signNote } from "../../src/merkle/note.ts";
import { inclusionProof } from "../../src/merkle/proofs.ts";
import { hashReader, tilePath, tileReader } from "../../src/merkle/tiles.ts";
import { formatTlogProof, parseTlogProof } from "../../src/merkle/tlog-proof.ts";
import { verifierKey } from "../../src/merkle/vkey.ts";
import type { Pins } from "../../src/trust/pins.ts";
import type { Refusal } from "../../src/trust/refusal.ts";
import {
  type AnnouncedFleet,
  type AnnouncedKeys,
  type Announcement,
  encodeAnnouncement,
  type FleetStatus,
} from "../../src/wire/announcement.ts";
import { auditOf } from "../../src/wire/audit.ts";
import { type Bundle, encodeBundle, logEntry } from "../../src/wire/bundle.ts";
import { encodeJson } from "../../src/wire/json.ts";
import { encodeManifest, type Manifest, type ManifestKey } from "../../src/wire/manifest.ts";
import { EdSigner, OperatorSigner } from "./signers.ts";

const DAY_MS = 86_400_000;
const hashHex = (bytes: Uint8Array): string => toHex(sha256(bytes));

/** A manifest of real points whose private keys nobody has. */
export function fixtureFleet(
  fleet: string,
  status: FleetStatus = "active",
  change: Partial<Manifest> = {},
): AnnouncedFleet {
  const sites = ["a", "b", "c"].map((letter) => ({
    name: `site-${letter}`,
    url: `https://site-${letter}.${fleet}.example`,
    tokenSerial: `${fleet}-${letter}`,
  }));
  const key = (role: ManifestKey["role"], site?: string): ManifestKey => {
    const publicKey = new OperatorSigner().hex;
    const kid = toHex(keyId(fromHex(publicKey)));
    return { kid, role, ...(site === undefined ? {} : { site }), algorithm: "P-256", publicKey };
  };
  const manifest: Manifest = {
    type: "strongroom/fleet-manifest/v1",
    fleet,
    createdAt: Date.now() - DAY_MS,
    policy: { threshold: 2, maxAttempts: 10 },
    sites,
    keys: [...sites.flatMap(({ name }) => [key("identity", name), key("session", name)]), key("ake")],
    ...change,
  };
  return { status, manifest, manifestSha256: hashHex(encodeManifest(manifest)) };
}

/** Who signs. */
export interface FixtureSigners {
  readonly auditor: EdSigner;
  readonly operator: OperatorSigner;
  readonly log: EdSigner;
}

export function newSigners(): FixtureSigners {
  return { auditor: new EdSigner(), operator: new OperatorSigner(), log: new EdSigner() };
}

export interface EpochOptions {
  readonly fleets?: readonly AnnouncedFleet[];
  /** Anything of the announcement that is to be otherwise. */
  readonly change?: Partial<Announcement>;
  /** Keys that it announces; those of the epoch before by default. */
  readonly keys?: AnnouncedKeys;
  /** Who signs this epoch; those of the epoch before by default. */
  readonly signers?: Partial<FixtureSigners>;
}

export interface FixtureEpoch {
  readonly epoch: number;
  readonly announcement: Announcement;
  readonly digest: string;
  readonly bundle: Bundle;
  /** As it is published. */
  readonly bytes: Uint8Array;
}

interface Shared {
  readonly namespace: string;
  readonly origin: string;
  readonly witnesses: readonly { readonly signer: EdSigner; readonly name: string }[];
}

interface LogOptions {
  readonly namespace?: string;
  readonly witnesses?: number;
  /** One key under as many names as there are witnesses. */
  readonly oneWitnessKey?: boolean;
}

/** One history of one namespace. */
export class FixtureLog {
  readonly #shared: Shared;
  readonly #files = new Map<string, Uint8Array>();
  readonly #epochs: FixtureEpoch[] = [];
  readonly #checkpoints: string[] = [];
  readonly #pinnedKeys: AnnouncedKeys;
  #edge: LogEdge = EMPTY_EDGE;
  /** Of the next epoch. */
  signers: FixtureSigners;

  private constructor(shared: Shared, signers: FixtureSigners, pinnedKeys?: AnnouncedKeys) {
    this.#shared = shared;
    this.signers = signers;
    this.#pinnedKeys = pinnedKeys ?? this.keysOf(signers);
  }

  /** Without epochs. */
  static create(options: LogOptions = {}): FixtureLog {
    const namespace = options.namespace ?? "vault.example";
    const only = new EdSigner();
    const witnesses = Array.from({ length: options.witnesses ?? 0 }, (_, at) => ({
      signer: options.oneWitnessKey ? only : new EdSigner(),
      name: `witness-${at + 1}.example`,
    }));
    const shared = { namespace, origin: `auditor.example/logs/${namespace}`, witnesses };
    return new FixtureLog(shared, newSigners());
  }

  /** The usual one: `epochs` of one fleet, each a day after the one before, the newest made now. */
  static async of(epochs: number, options: LogOptions = {}): Promise<FixtureLog> {
    const log = FixtureLog.create(options);
    const fleets = [fixtureFleet("fleet-1")];
    for (let epoch = 1; epoch <= epochs; epoch++) {
      const createdAt = Date.now() - (epochs - epoch) * DAY_MS - 1_000;
      await log.add({ fleets, change: { createdAt, validUntil: createdAt + 30 * DAY_MS } });
    }
    return log;
  }

  get namespace(): string {
    return this.#shared.namespace;
  }
  get origin(): string {
    return this.#shared.origin;
  }
  get epochs(): readonly FixtureEpoch[] {
    return this.#epochs;
  }
  get newest(): FixtureEpoch {
    return this.epoch(this.#epochs.length);
  }
  /** What the newest epoch announces; before the first one, what is pinned. */
  get keys(): AnnouncedKeys {
    return this.#epochs.at(-1)?.announcement.keys ?? this.#pinnedKeys;
  }
  /** C2SP vkeys. */
  get witnesses(): readonly string[] {
    return this.#shared.witnesses.map(
      ({ name, signer }) => verifierKey("cosignature", name, signer.publicKey).vkey,
    );
  }
  /** From the first epoch on; all witnesses must have cosigned. */
  get pins(): Pins {
    return {
      type: "strongroom/pins/v1",
      namespace: this.namespace,
      keys: this.#pinnedKeys,
      witnesses: this.witnesses,
      witnessQuorum: this.witnesses.length,
      minimumEpoch: 1,
    };
  }

  epoch(number: number): FixtureEpoch {
    const epoch = this.#epochs[number - 1];
    if (!epoch) throw new Error(`the log has no epoch ${number}`);
    return epoch;
  }

  /** The checkpoint that was published with that many epochs. */
  checkpoint(size: number): string {
    return this.#checkpoints[size - 1] ?? "";
  }

  keysOf(...signers: readonly FixtureSigners[]): AnnouncedKeys {
    return {
      auditors: [...new Set(signers.map(({ auditor }) => auditor.hex))],
      operators: [...new Set(signers.map(({ operator }) => operator.hex))],
      logs: [...new Set(signers.map(({ log }) => verifierKey("note", this.origin, log.publicKey).vkey))],
    };
  }

  /** Another history from after that epoch on, by the same keys: what a liar shows to others. */
  fork(after: number): FixtureLog {
    const fork = new FixtureLog(this.#shared, this.signers, this.#pinnedKeys);
    for (const epoch of this.#epochs.slice(0, after)) {
      fork.#append(epoch.bundle);
      fork.#publish(epoch, this.checkpoint(epoch.epoch));
    }
    return fork;
  }

  #path(name: string): string {
    return `log/${this.namespace}/${name}`;
  }

  #append({ audit, countersignature }: Bundle): void {
    const { edge, tiles } = grow(this.#edge, [logEntry(audit, countersignature)]);
    this.#edge = edge;
    for (const { tile, bytes } of tiles) this.#files.set(this.#path(tilePath(tile)), bytes);
  }

  #publish(added: FixtureEpoch, checkpoint: string): void {
    const { epoch, digest, bundle, bytes } = added;
    this.#epochs.push(added);
    this.#checkpoints.push(checkpoint);
    this.#files.set(this.#path(`announcements/${digest}.json`), utf8(bundle.announcement));
    this.#files.set(this.#path(`bundles/${epoch}.json`), bytes);
  }

  /** Signs an epoch and appends it. */
  async add(options: EpochOptions = {}): Promise<FixtureEpoch> {
    const epoch = this.#epochs.length + 1;
    this.signers = { ...this.signers, ...options.signers };
    const createdAt = Date.now() - 1_000;
    const before = this.#epochs.at(-1);
    const announcement: Announcement = {
      type: "strongroom/announcement/v1",
      namespace: this.namespace,
      epoch,
      ...(before ? { previous: before.digest } : {}),
      createdAt,
      validUntil: createdAt + 30 * DAY_MS,
      keys: options.keys ?? this.keys,
      fleets: options.fleets ?? before?.announcement.fleets ?? [fixtureFleet("fleet-1")],
      ...options.change,
    };
    const unproved = this.signed(announcement);
    this.#append(unproved);
    const checkpoint = await this.#newCheckpoint(this.signers.log);
    const bundle = { ...unproved, proof: await this.#proof(epoch - 1, checkpoint) };
    const added = {
      epoch,
      announcement,
      digest: bundle.audit.digest,
      bundle,
      bytes: encodeBundle(bundle),
    };
    this.#publish(added, checkpoint);
    return added;
  }

  /** Audit and countersignature, without a proof. */
  signed(announcement: Announcement, { auditor, operator }: FixtureSigners = this.signers): Bundle {
    const bytes = encodeAnnouncement(announcement);
    const statement = {
      ciphersuite: 1,
      namespace: announcement.namespace,
      timestamp: announcement.createdAt + 500,
      epoch: announcement.epoch,
      digest: sha256(bytes),
    } as const;
    const unsigned = auditOf(statement, auditor.publicKey, new Uint8Array(64));
    const signature = auditor.signNow(fromHex(unsigned.serialized_message));
    const audit = auditOf(statement, auditor.publicKey, signature);
    const { operatorKey, countersignature } = operator.countersign(audit, auditor.hex);
    return {
      type: "strongroom/validation-bundle/v1",
      announcement: new TextDecoder().decode(bytes),
      audit,
      operatorKey,
      countersignature,
      proof: "",
    };
  }

  async #newCheckpoint(log: EdSigner): Promise<string> {
    const { size } = this.#edge.frontier;
    const text = formatCheckpoint({ origin: this.origin, size, root: this.#edge.frontier.root() });
    const key = verifierKey("note", this.origin, log.publicKey);
    const signatures: NoteSignature[] = [await signNote(text, key, log.sign)];
    for (const { name, signer } of this.#shared.witnesses) {
      const witness = verifierKey("cosignature", name, signer.publicKey);
      signatures.push(await cosign(text, Math.floor(Date.now() / 1_000), witness, signer.sign));
    }
    return formatNote({ text, signatures });
  }

  async #proof(index: number, checkpoint: string): Promise<string> {
    const read = tileReader(async (path) => this.#files.get(this.#path(path)));
    const { size } = this.#edge.frontier;
    return formatTlogProof({
      index,
      path: await inclusionProof(index, size, hashReader(size, read)),
      checkpoint,
    });
  }

  /** The checkpoint of the newest epoch, by another key, or without its witnesses. */
  async checkpointBy(log: EdSigner, witnesses = true): Promise<string> {
    const note = await this.#newCheckpoint(log);
    return witnesses ? note : `${note.split("\n").slice(0, 5).join("\n")}\n`;
  }

  /** All public files, by their paths. */
  files(): ReadonlyMap<string, Uint8Array> {
    const size = this.#epochs.length;
    const index = {
      type: "strongroom/log-index/v1",
      namespace: this.namespace,
      origin: this.origin,
      epochs: size,
      ciphersuite: 1,
      keys: this.keys,
      witnesses: this.witnesses,
    };
    const files = new Map(this.#files).set(this.#path("index.json"), encodeJson(index));
    if (size > 0) files.set(this.#path("checkpoint"), utf8(this.checkpoint(size)));
    return files;
  }

  /** Writes them below a folder, over what is there. */
  write(dir: string): void {
    for (const [path, bytes] of this.files()) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), bytes);
    }
  }

  /** Publishes the evidence of a fleet. */
  addEvidence(id: string, evidence: ReadonlyMap<string, Uint8Array>): void {
    const listed = [...evidence].map(([path, bytes]) => ({
      path,
      size: bytes.length,
      sha256: hashHex(bytes),
    }));
    this.#files.set(this.#path(`evidence/${id}/files.json`), encodeJson({ files: listed }));
    for (const [path, bytes] of evidence) this.#files.set(this.#path(`evidence/${id}/files/${path}`), bytes);
  }
}

/** Refusals that one bundle can bring about, given that the genuine log has been seen. */
export type Tampering = Exclude<Refusal, "below-minimum" | "evidence-mismatch">;

const flipped = (hex: string): string => `${hex.slice(0, -1)}${hex.endsWith("0") ? "1" : "0"}`;

/**
 * A bundle for that refusal: everything before the check that refuses it holds. Those of older-epoch, equivocation,
 * broken-chain and forked-log are genuine by themselves, and lies only to who has seen the log's newest epoch.
 * Those of broken-chain, expired and not-yet-valid are of the epoch after it, older-epoch of the one before.
 */
export async function tampered(log: FixtureLog, refusal: Tampering): Promise<Uint8Array> {
  const { bundle, announcement, epoch } = log.newest;
  const changed = (change: Partial<Bundle>): Uint8Array => encodeBundle({ ...bundle, ...change });
  const { audit, proof } = bundle;
  const fork = log.fork(epoch - 1);
  const last = (signer: { readonly hex: string }): string => signer.hex.slice(-2);
  const now = Date.now();
  const relogged = async (options: EpochOptions): Promise<Uint8Array> =>
    (await fork.add({ keys: announcement.keys, fleets: announcement.fleets, ...options })).bytes;
  const after = async (change: Partial<Announcement>): Promise<Uint8Array> =>
    (await log.fork(epoch).add({ change })).bytes;
  switch (refusal) {
    case "malformed":
      return utf8(JSON.stringify({ ...bundle, more: true }));
    case "wrong-namespace":
      return relogged({ change: { ...announcement, namespace: "elsewhere.example" } });
    case "wrong-auditor-key": {
      let auditor = new EdSigner();
      while (last(auditor) === last(log.signers.auditor)) auditor = new EdSigner();
      return relogged({ change: announcement, signers: { auditor } });
    }
    case "bad-auditor-signature":
      return changed({ audit: { ...audit, signature: flipped(audit.signature) } });
    case "wrong-operator-key":
      return relogged({ change: announcement, signers: { operator: new OperatorSigner() } });
    case "bad-countersignature":
      return changed({ countersignature: flipped(bundle.countersignature) });
    case "manifest-changed":
      return changed({ announcement: bundle.announcement.replace('"maxAttempts": 10', '"maxAttempts": 11') });
    case "wrong-log-key":
      return relogged({ change: announcement, signers: { log: new EdSigner() } });
    case "unlogged": {
      // Signed by both, and what the log has is the other one of the two.
      const { countersignature } = log.signers.operator.countersign(audit, log.signers.auditor.hex);
      return changed({ countersignature });
    }
    case "too-few-witnesses": {
      const checkpoint = await log.checkpointBy(log.signers.log, false);
      return changed({ proof: formatTlogProof({ ...parseTlogProof(proof), checkpoint }) });
    }
    case "older-epoch":
      return log.epoch(epoch - 1).bytes;
    case "equivocation":
      return relogged({ change: { ...announcement, createdAt: announcement.createdAt + 1 } });
    case "broken-chain":
      await relogged({ change: { ...announcement, createdAt: announcement.createdAt + 1 } });
      return (await fork.add()).bytes;
    case "expired":
      return after({ createdAt: now - 2 * DAY_MS, validUntil: now - DAY_MS });
    case "not-yet-valid":
      return after({ createdAt: now + DAY_MS, validUntil: now + 2 * DAY_MS });
    case "forked-log":
      // Signed anew: the same epoch in another tree.
      return relogged({ change: announcement });
  }
}

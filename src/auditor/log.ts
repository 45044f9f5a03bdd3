/**
 * The transparency log of one namespace: C2SP tiles in a folder that anybody may be served. What is to be appended is
 * durable in the private state first, then in the token's anchor, then in tiles, and only then is a checkpoint signed,
 * cosigned and published. Whatever an accident leaves, the next start finishes what the token knows of and forgets the
 * rest; a folder that is older than what the token remembers is refused.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { equal, utf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { makeFolder, readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { formatCheckpoint } from "../merkle/checkpoint.ts";
import { logInvalid } from "../merkle/fault.ts";
import { EMPTY_EDGE, grow, type LogEdge } from "../merkle/growth.ts";
import { formatNote, type SignedNote, signNote } from "../merkle/note.ts";
import { consistencyProof, inclusionProof } from "../merkle/proofs.ts";
import {
  hashReader,
  MAX_BUNDLE_FILE_BYTES,
  MAX_ENTRY_BYTES,
  newTiles,
  readEntry,
  TILE_WIDTH,
  type TileReader,
  tilePath,
  tileReader,
} from "../merkle/tiles.ts";
import { formatTlogProof } from "../merkle/tlog-proof.ts";
import { type VerifierKey, verifierKey } from "../merkle/vkey.ts";
import { lockFile } from "../store/single-writer.ts";
import type { Head, HeadAnchor } from "./anchor.ts";
import { MAX_PENDING_ENTRIES, PendingGrowth } from "./log-pending.ts";
import { CHECKPOINT, type Published, readPublished, requireAnchored } from "./log-published.ts";
import type { Signer } from "./signer.ts";
import { Witnesses, type WitnessPolicy } from "./witness-client.ts";

export interface LogOptions {
  /** `public/log/<ns>`: `checkpoint` and `tile/…`. */
  readonly dir: string;
  /** The log's own private folder. */
  readonly stateDir: string;
  readonly origin: string;
  readonly signer: Signer;
  readonly anchor: HeadAnchor;
  readonly witnesses?: WitnessPolicy;
}

export interface TransparencyLog {
  /** What its checkpoints are verified with. */
  readonly key: VerifierKey;
  /** Entries under the published checkpoint. */
  size(): number;
  /** The published checkpoint, a signed note; undefined before the first entry. */
  checkpoint(): string | undefined;
  /**
   * Returns when the entry is under a published checkpoint. The same entry again is no error.
   * @throws log-invalid: wrong-size where entries are missing before it; wrong-entry where another one is there;
   *   auditor-refused where the token has seen another head; unavailable with too few witnesses; token errors; store-full
   */
  append(entry: Uint8Array, index: number): Promise<void>;
  /** As `append`, for several under one checkpoint. */
  appendAll(entries: readonly Uint8Array[], index: number): Promise<void>;
  /** C2SP tlog-proof against the published checkpoint. @throws log-invalid (wrong-size) for an index outside */
  proofOf(index: number): Promise<string>;
  /** Between two sizes up to the published one. @throws log-invalid (wrong-size) */
  consistency(from: number, to: number): Promise<readonly Uint8Array[]>;
  close(): Promise<void>;
}

/**
 * Opens the log, or begins one, and finishes what was under way.
 * @throws store-unavailable where another process has it; auditor-refused where disk and token do not fit together;
 *   log-invalid where the disk is not what was published; record-corrupt; token errors
 */
export async function openLog(options: LogOptions): Promise<TransparencyLog> {
  await makeFolder(options.stateDir);
  const unlock = lockFile(
    join(options.stateDir, "writer.pid"),
    (pid) =>
      new StrongroomError("store-unavailable", `the log ${options.origin} is in use by process ${pid}`, {
        hint: `stop process ${pid} first; two writers would show two histories`,
      }),
  );
  try {
    const log = new TileLog(options, unlock);
    await log.open();
    return log;
  } catch (error) {
    unlock();
    throw error;
  }
}

class TileLog implements TransparencyLog {
  readonly key: VerifierKey;
  readonly #options: LogOptions;
  readonly #unlock: () => void;
  readonly #read: TileReader;
  readonly #pending: PendingGrowth;
  readonly #witnesses: Witnesses;
  #published: Published | undefined;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(options: LogOptions, unlock: () => void) {
    const { dir, stateDir, origin, signer, witnesses } = options;
    this.#options = options;
    this.#unlock = unlock;
    this.key = verifierKey("note", origin, signer.publicKey);
    this.#read = tileReader((path) => readIfThere(join(dir, path), MAX_BUNDLE_FILE_BYTES));
    this.#pending = new PendingGrowth(join(stateDir, "pending"));
    this.#witnesses = new Witnesses(witnesses ?? { witnesses: [], quorum: 0, timeoutMs: 0 });
  }

  size(): number {
    return this.#published?.edge.frontier.size ?? 0;
  }

  checkpoint(): string | undefined {
    return this.#published && formatNote(this.#published.note);
  }

  append(entry: Uint8Array, index: number): Promise<void> {
    return this.appendAll([entry], index);
  }

  appendAll(entries: readonly Uint8Array[], index: number): Promise<void> {
    const work = (): Promise<void> => this.#append(entries, index);
    const turn = this.#busy.then(work, work);
    this.#busy = turn.catch(() => undefined);
    return turn;
  }

  async proofOf(index: number): Promise<string> {
    const published = this.#published;
    const size = published?.edge.frontier.size ?? 0;
    const path = await inclusionProof(index, size, hashReader(size, this.#read));
    return formatTlogProof({ index, path, checkpoint: published ? formatNote(published.note) : "" });
  }

  async consistency(from: number, to: number): Promise<readonly Uint8Array[]> {
    const size = this.size();
    if (to > size) throw logInvalid("wrong-size", `the log has ${size} entries, not ${to}`);
    return consistencyProof(from, to, hashReader(size, this.#read));
  }

  async close(): Promise<void> {
    await this.#busy;
    this.#unlock();
  }

  /** @throws auditor-refused, log-invalid, record-corrupt; token errors */
  async open(): Promise<void> {
    this.#published = await readPublished(this.#options, this.#read);
    const head = await this.#head();
    const size = this.size();
    const pending = await this.#pending.read();
    if (pending && pending.before === size && pending.size === head.size && equal(pending.root, head.root)) {
      try {
        await this.#finish();
      } catch (error) {
        // It stays pending: a witness that is away keeps nobody from reading, and the next append finishes it first.
        if (!isStrongroomError(error) || !error.retryable) throw error;
      }
      return;
    }
    requireAnchored(this.#options.origin, this.#published, head);
    // Not anchored: no signature and no file of it ever left. Or all done but for this.
    if (pending) await this.#pending.forget();
    // The log has a new key: what it published under the old one is signed anew, as it is.
    const published = this.#published;
    if (published && !published.note.signatures.some(({ keyId }) => keyId === this.key.id))
      await this.#publish(published.edge);
  }

  async #head(): Promise<Head> {
    const head = await this.#options.anchor.read();
    if (head) return head;
    throw new StrongroomError("auditor-refused", `the token remembers nothing of ${this.#options.origin}`, {
      hint: "is it the right token? `strongroom auditor init` prepares one for a new namespace",
    });
  }

  async #append(entries: readonly Uint8Array[], index: number): Promise<void> {
    if (await this.#pending.read()) await this.#finish();
    const size = this.size();
    if (!Number.isSafeInteger(index) || index < 0 || index > size)
      throw logInvalid("wrong-size", `the next entry of ${size} is not ${index}`);
    const known = entries.slice(0, size - index);
    for (const [at, entry] of known.entries()) {
      if (!equal(entry, await readEntry(index + at, size, this.#read)))
        throw logInvalid("wrong-entry", `another one is logged at ${index + at}`);
    }
    const fresh = entries.slice(known.length);
    if (fresh.length === 0) return;
    if (fresh.length > MAX_PENDING_ENTRIES)
      throw logInvalid("too-large", `${fresh.length} entries at once; ${MAX_PENDING_ENTRIES} fit`);
    const tooLarge = fresh.find(({ length }) => length > MAX_ENTRY_BYTES);
    if (tooLarge) throw logInvalid("too-large", `an entry of ${tooLarge.length} bytes`);
    requireAnchored(this.#options.origin, this.#published, await this.#head());
    const { edge } = grow(this.#edge(), fresh);
    await this.#pending.write({
      before: size,
      size: edge.frontier.size,
      root: edge.frontier.root(),
      entries: fresh,
    });
    await this.#finish();
  }

  #edge(): LogEdge {
    return this.#published?.edge ?? EMPTY_EDGE;
  }

  /** From the pending growth to the published checkpoint. Done again after an accident, it ends the same. */
  async #finish(): Promise<void> {
    const pending = await this.#pending.read();
    if (!pending) return;
    const { dir, anchor } = this.#options;
    if (pending.before === this.size()) {
      const { edge, tiles } = grow(this.#edge(), pending.entries);
      const { size } = edge.frontier;
      const root = edge.frontier.root();
      if (size !== pending.size || !equal(root, pending.root))
        throw new StrongroomError("record-corrupt", "the pending entries do not give the pending root");
      const head = await this.#head();
      if (head.size !== size || !equal(head.root, root)) {
        requireAnchored(this.#options.origin, this.#published, head);
        await anchor.write({ ...head, size, root });
      }
      for (const { tile, bytes } of tiles) await writeDurably(join(dir, tilePath(tile)), bytes);
      await this.#publish(edge);
      await this.#removePartial(pending.before, size);
    }
    await this.#pending.forget();
  }

  /** The token remembers this head, and its tiles are there. */
  async #publish(edge: LogEdge): Promise<void> {
    const { dir, origin, signer } = this.#options;
    const { size } = edge.frontier;
    const text = formatCheckpoint({ origin, size, root: edge.frontier.root() });
    const own = await signNote(text, this.key, signer.sign);
    const read = hashReader(size, this.#read);
    const cosignatures = await this.#witnesses.cosign({
      note: { text, signatures: [own] },
      size,
      prove: (from) => consistencyProof(from, size, read),
    });
    const note: SignedNote = { text, signatures: [own, ...cosignatures] };
    await writeDurably(join(dir, CHECKPOINT), utf8(formatNote(note)));
    this.#published = { edge, note };
  }

  /** Partial tiles may go once the full one is there (tlog-tiles): else a log that grows singly keeps 255 of each. */
  async #removePartial(before: number, size: number): Promise<void> {
    for (const tile of newTiles(before, size)) {
      if (tile.width < TILE_WIDTH) continue;
      const partial = join(this.#options.dir, `${tilePath(tile)}.p`);
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

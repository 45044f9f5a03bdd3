/**
 * Checks all that a namespace ever announced, from the pins onwards (design §10): each epoch under the keys that the one
 * before it announced, each an entry of one tree, that tree the one of the newest signed head and of every head that was
 * ever shown, and all of it the same as what was seen before. Monitor and page share it. Runs in browsers.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { equal, fromHex, toHex, utf8 } from "../base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import type { Checkpoint } from "../merkle/checkpoint.ts";
import { parseTlogProof } from "../merkle/tlog-proof.ts";
import { Frontier, leafHash } from "../merkle/tree.ts";
import type { AnnouncedKeys, Announcement } from "../wire/announcement.ts";
import { type Bundle, logEntry } from "../wire/bundle.ts";
import type { Contradiction, Exhibit } from "./contradiction.ts";
import type { Pins } from "./pins.ts";
import {
  type ClaimedHead,
  type Progress,
  type PublishedEpoch,
  readEntries,
  readEpochs,
  readHead,
} from "./published.ts";
import { type Refusal, refusalOf, refused } from "./refusal.ts";
import type { TrustSource } from "./source.ts";
import { follow, keysFor, MAX_PROOFS, type TrustState, untimely } from "./state.ts";
import { type VerifiedEpoch, verifyBundle, verifyLogHead } from "./verify-bundle.ts";

export interface WalkOptions {
  readonly pins: Pins;
  /** What was seen before, wherever that was. */
  readonly seen?: TrustState | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly progress?: Progress | undefined;
}

export interface WalkedEpoch {
  readonly epoch: number;
  /** What it says, believed or not; undefined where it cannot be read. */
  readonly announcement: Announcement | undefined;
  /** What was published of it, as far as it can be read. */
  readonly bundle: Bundle | undefined;
  /** Of an epoch that is believed. */
  readonly verified: VerifiedEpoch | undefined;
  /** Why it is not believed: a `bundle-refused` error. */
  readonly refusal: StrongroomError | undefined;
  /** Announced under keys that the pins do not know any more: it is as it was when the pinned epochs came after it. */
  readonly isBeforePins: boolean;
}

/** A head of the log that is signed, and cosigned by as many as the pins ask for. */
export interface LogHead extends Pick<VerifiedEpoch, "checkpoint" | "witnesses"> {
  readonly note: string;
}

export interface WalkedLog {
  /** From 1. */
  readonly epochs: readonly WalkedEpoch[];
  /** The newest that is believed. */
  readonly newest: VerifiedEpoch | undefined;
  readonly head: LogHead | undefined;
  /** What is wrong with the log as a whole: `bundle-refused` errors. With those of the epochs, all that is wrong. */
  readonly refusals: readonly StrongroomError[];
  /** The newest epoch is in the log, and its bundle is not there: it is about to be published, or kept back. */
  readonly isPending: boolean;
  readonly contradictions: readonly Contradiction[];
  /** To remember. Nothing that was refused changes it, but for proofs. */
  readonly state: TrustState | undefined;
}

/** Everything that was refused. */
export function refusalsOf({ epochs, refusals }: WalkedLog): readonly StrongroomError[] {
  return [...epochs.flatMap(({ refusal }) => refusal ?? []), ...refusals];
}

/**
 * @returns undefined where nothing was ever published of the pinned namespace
 * @throws what the source throws; refusals are in the result
 */
export async function walkLog(source: TrustSource, options: WalkOptions): Promise<WalkedLog | undefined> {
  let head: ClaimedHead | undefined;
  try {
    head = await readHead(source, options.pins.namespace);
  } catch (error) {
    if (!isStrongroomError(error, "bundle-refused")) throw error;
    return { ...NOTHING, refusals: [error], state: options.seen };
  }
  if (head) return new Walk(source, head, options).run();
  if (!options.seen) return undefined;
  const gone = refused("older-epoch", `nothing is published, and epoch ${options.seen.epoch} was seen`);
  return { ...NOTHING, refusals: [gone], state: options.seen };
}

const NOTHING: Omit<WalkedLog, "refusals" | "state"> = {
  epochs: [],
  newest: undefined,
  head: undefined,
  isPending: false,
  contradictions: [],
};

class Walk {
  readonly #source: TrustSource;
  readonly #claimed: ClaimedHead;
  readonly #options: WalkOptions;
  readonly #pins: Pins;
  readonly #epochs: WalkedEpoch[] = [];
  readonly #refusals: StrongroomError[] = [];
  readonly #contradictions: Contradiction[] = [];
  /** Of the tiles, as far as they are there. */
  #entries: readonly Uint8Array[] | undefined;
  /** By size, from the entries; none unless they lead to the root of the signed head. */
  #roots: readonly Uint8Array[] = [];
  #leaves: readonly Uint8Array[] = [];
  #state: TrustState | undefined;
  #head: LogHead | undefined;

  constructor(source: TrustSource, claimed: ClaimedHead, options: WalkOptions) {
    this.#source = source;
    this.#claimed = claimed;
    this.#options = options;
    this.#pins = options.pins;
  }

  get #newest(): VerifiedEpoch | undefined {
    return this.#epochs.findLast(({ verified }) => verified)?.verified;
  }

  async run(): Promise<WalkedLog> {
    const { size } = this.#claimed;
    const { progress = () => undefined } = this.#options;
    const { namespace } = this.#pins;
    let isPending = false;
    progress(0, size);
    for await (const published of readEpochs(this.#source, namespace, size)) {
      isPending = size > 1 && published.epoch === size && published.bytes === undefined;
      if (!isPending) await this.#judge(published, async () => this.#signed(published));
      progress(published.epoch, size);
    }
    await this.#judgeWhole(() => this.#verifyHead());
    await this.#judgeWhole(async () => {
      this.#entries = await readEntries(this.#source, namespace, size);
      this.#growTree(this.#entries);
    });
    for (const walked of [...this.#epochs]) await this.#judge(walked, async () => this.#logged(walked));
    this.#chainBack();
    await this.#judgeWhole(() => this.#compareHeads());
    await this.#judgeWhole(() => this.#requireCurrent());
    return {
      epochs: this.#epochs,
      newest: this.#newest,
      head: this.#head,
      refusals: this.#refusals,
      isPending,
      contradictions: this.#contradictions,
      state: this.#toRemember(),
    };
  }

  /** The first thing that is wrong with an epoch is what is said of it. */
  async #judge(
    { epoch, announcement, bundle }: Pick<PublishedEpoch, "epoch" | "announcement" | "bundle">,
    work: () => Promise<VerifiedEpoch | undefined>,
  ): Promise<void> {
    const isBeforePins = epoch < this.#pins.minimumEpoch;
    const before = this.#epochs[epoch - 1];
    if (before?.refusal) return;
    const walked = { epoch, announcement, bundle, isBeforePins };
    try {
      this.#epochs[epoch - 1] = { ...walked, verified: await work(), refusal: undefined };
    } catch (error) {
      if (!isStrongroomError(error, "bundle-refused")) throw error;
      this.#epochs[epoch - 1] = { ...walked, verified: undefined, refusal: error };
    }
  }

  async #judgeWhole(work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isStrongroomError(error, "bundle-refused")) throw error;
      this.#refusals.push(error);
    }
  }

  /** Who signed an epoch, and what was published of it. */
  async #signed({ epoch, bytes, bundle, artifact }: PublishedEpoch): Promise<VerifiedEpoch | undefined> {
    if (!bytes) throw refused("unlogged", `nobody shows epoch ${epoch}`);
    if (bundle && bundle.audit.epoch !== epoch)
      throw refused("malformed", `epoch ${bundle.audit.epoch} is offered as epoch ${epoch}`);
    const verified =
      epoch < this.#pins.minimumEpoch
        ? undefined
        : await verifyBundle(bytes, { keys: keysFor(this.#state, this.#pins, epoch), pins: this.#pins });
    if (bundle && toHex(sha256(utf8(bundle.announcement))) !== bundle.audit.digest)
      throw refused("manifest-changed");
    if (verified) this.#compareWithSeen(verified);
    const next = verified && follow(this.#state, this.#pins, verified);
    if (verified && next?.refusal) throw this.#recorded(next.refusal, verified.bundle);
    if (artifact === "other") throw refused("manifest-changed", "the published announcement is another one");
    if (artifact === "missing") throw refused("unlogged", "its announcement is not published");
    this.#state = next?.state ?? this.#state;
    return verified;
  }

  /** Two genuine bundles: the one that was believed, and this one. */
  #recorded(refusal: StrongroomError, bundle: Bundle): StrongroomError {
    const reason = refusalOf(refusal);
    const first = this.#state?.bundle;
    if (first && (reason === "equivocation" || reason === "broken-chain" || reason === "forked-log"))
      this.#contradict(reason, refusal.message, { bundle: first }, { bundle });
    return refusal;
  }

  #compareWithSeen({ epoch, digest, bundle }: VerifiedEpoch): void {
    const { seen } = this.#options;
    if (!seen || seen.epoch !== epoch || seen.digest === digest) return;
    const detail = `epoch ${epoch} was ${seen.digest}, and is ${digest} now`;
    this.#contradict("equivocation", detail, { bundle: seen.bundle }, { bundle });
    throw refused("equivocation", detail);
  }

  #contradict(
    reason: Contradiction["reason"],
    detail: string,
    first: Exhibit,
    second: Exhibit,
    leaves?: readonly Uint8Array[],
  ): void {
    const { namespace } = this.#pins;
    const about = { type: "strongroom/contradiction/v1", reason, namespace, detail } as const;
    this.#contradictions.push({
      ...about,
      first,
      second,
      ...(leaves === undefined ? {} : { leaves: leaves.map(toHex) }),
    });
  }

  /** The log's keys at the newest epoch: those that it was verified under, and those that it announces. */
  #verifyHead(): void {
    const known: readonly AnnouncedKeys[] = this.#state
      ? [this.#state.verifiedUnder, this.#state.keys]
      : [this.#pins.keys];
    const logs = [...new Set(known.flatMap((keys) => keys.logs))];
    const { note } = this.#claimed;
    this.#head = { note, ...verifyLogHead(note, logs, this.#pins) };
  }

  /** The tree of the entries, which is that of the head. */
  #growTree(entries: readonly Uint8Array[]): void {
    if (!this.#head) return;
    const tree = new Frontier();
    const leaves = entries.map(leafHash);
    const roots = [tree.root()];
    for (const leaf of leaves) {
      tree.append(leaf);
      roots.push(tree.root());
    }
    if (!equal(tree.root(), this.#head.checkpoint.root))
      throw refused("unlogged", "the entries do not lead to the root of the newest head");
    this.#roots = roots;
    this.#leaves = leaves;
  }

  /** That a signed head is one that this log has had. @throws bundle-refused: forked-log, older-epoch */
  #requireInTree({ origin, size, root }: Checkpoint, first: Exhibit, whose: string): void {
    const head = this.#head;
    if (!head || this.#roots.length === 0 || origin !== head.checkpoint.origin) return;
    const here = this.#roots[size];
    if (!here)
      throw refused("older-epoch", `${whose} has ${size} epochs, the newest one ${head.checkpoint.size}`);
    if (equal(here, root)) return;
    const detail = `${whose} has another root at ${size} epochs than the newest head`;
    const leaves = size === head.checkpoint.size ? undefined : this.#leaves;
    this.#contradict("forked-log", detail, first, { checkpoint: head.note }, leaves);
    throw refused("forked-log", detail);
  }

  /** That an epoch is the entry of its place in the tree. */
  #logged({ epoch, bundle, verified }: WalkedEpoch): VerifiedEpoch | undefined {
    if (verified) {
      const { checkpoint } = parseTlogProof(verified.bundle.proof);
      this.#requireInTree(verified.checkpoint, { checkpoint }, `the head of epoch ${epoch}`);
    }
    if (bundle && this.#entries) {
      const own = logEntry(bundle.audit, bundle.countersignature);
      const there = this.#entries[epoch - 1];
      if (!there || !equal(there, own)) throw refused("unlogged", `the log has another entry ${epoch - 1}`);
    }
    return verified;
  }

  /** Epochs before the pins are as they were when a pinned one came after them: each is named by the next. */
  #chainBack(): void {
    const first = this.#epochs[this.#pins.minimumEpoch - 1];
    if (!first?.verified) return;
    let digest = first.verified.announcement.previous;
    for (let epoch = this.#pins.minimumEpoch - 1; epoch >= 1; epoch--) {
      const walked = this.#epochs[epoch - 1];
      if (!walked || walked.refusal) return;
      const { announcement, bundle } = walked;
      if (bundle?.audit.digest !== digest || !announcement) {
        const refusal = refused("broken-chain", `epoch ${epoch + 1} names another one before it`);
        this.#epochs[epoch - 1] = { ...walked, refusal };
        return;
      }
      digest = announcement.previous;
    }
  }

  /** With what was seen before. */
  #compareHeads(): void {
    const { seen } = this.#options;
    if (!seen) return;
    const epochs = Math.max(this.#newest?.epoch ?? 0, this.#epochs.length);
    if (epochs < seen.epoch)
      throw refused("older-epoch", `the log ends at epoch ${epochs}, and ${seen.epoch} was seen`);
    const { origin, size, root } = seen.checkpoint;
    const { checkpoint } = parseTlogProof(seen.bundle.proof);
    this.#requireInTree({ origin, size, root: fromHex(root) }, { checkpoint }, "the head that was seen");
  }

  #requireCurrent(): void {
    if (!this.#newest) {
      // Whatever is wrong with the epochs says more.
      if (this.#epochs.some(({ refusal }) => refusal)) return;
      throw refused("below-minimum", `there is no epoch from ${this.#pins.minimumEpoch} on`);
    }
    const late = untimely(this.#newest.announcement, this.#options.now);
    if (late) throw late;
  }

  #toRemember(): TrustState | undefined {
    const { seen } = this.#options;
    const harmless: readonly (Refusal | undefined)[] = ["expired"];
    const wrong = [...this.#refusals, ...this.#epochs.flatMap(({ refusal }) => refusal ?? [])];
    const holds = wrong.every((refusal) => harmless.includes(refusalOf(refusal)));
    const state = holds && (this.#state?.epoch ?? 0) >= (seen?.epoch ?? 0) ? this.#state : seen;
    if (!state) return undefined;
    const found = this.#contradictions.flatMap(({ reason, first, second }) =>
      "bundle" in first && "bundle" in second ? [{ reason, first: first.bundle, second: second.bundle }] : [],
    );
    const kept = seen?.proofs ?? [];
    const known = new Set(kept.map(({ second }) => second.audit.digest));
    const added = found.filter(({ second }) => !known.has(second.audit.digest));
    return { ...state, proofs: [...kept, ...added].slice(0, MAX_PROOFS) };
  }
}

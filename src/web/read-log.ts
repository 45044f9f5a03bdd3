/**
 * All that a namespace ever announced, checked from the pins onwards (design §10): each epoch under the keys that the
 * one before it announced, each in one public record, and that record the same as what this browser saw before.
 * No walk can begin before the pins; without any, it begins with what the site says of itself, and proves nothing.
 */
import { equal, fromHex, fromUtf8, toHex, utf8 } from "../base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { type Checkpoint, parseCheckpoint, verifyCheckpoint } from "../merkle/checkpoint.ts";
import { parseNote } from "../merkle/note.ts";
import { Frontier, leafHash } from "../merkle/tree.ts";
import { parseVkey } from "../merkle/vkey.ts";
import type { Pins } from "../trust/pins.ts";
import { type Refusal, refusalOf, refused } from "../trust/refusal.ts";
import { follow, keysFor, type Misbehaviour, type TrustState, untimely } from "../trust/state.ts";
import { type VerifiedEpoch, verifyBundle } from "../trust/verify-bundle.ts";
import { type Announcement, decodeAnnouncement } from "../wire/announcement.ts";
import { type Bundle, decodeBundle, logEntry } from "../wire/bundle.ts";
import type { Published } from "./published.ts";

/** Why something is not believed. */
export interface Refused {
  readonly refusal: Refusal;
  /** For people who know the terms. */
  readonly detail: string;
  readonly epoch?: number | undefined;
}

export interface EpochView {
  readonly epoch: number;
  /** What it says, believed or not; undefined where it cannot be read. */
  readonly announcement: Announcement | undefined;
  /** Of an epoch that is believed. */
  readonly verified: VerifiedEpoch | undefined;
  readonly refused: Refused | undefined;
  /** It is in the record, but was announced under keys that the pins do not know any more. */
  readonly isBeforePins: boolean;
}

export interface LogView {
  readonly namespace: string;
  /** Those that were given, or what the site says of itself. */
  readonly pins: Pins;
  readonly isPinned: boolean;
  /** From 1. */
  readonly epochs: readonly EpochView[];
  /** The newest that is believed. */
  readonly newest: VerifiedEpoch | undefined;
  /** The newest head of the record, if it verifies. */
  readonly checkpoint: Checkpoint | undefined;
  /** Pinned witnesses that cosigned it. */
  readonly witnesses: number;
  /** What a visitor has to know first; undefined where all is well. */
  readonly refused: Refused | undefined;
  /** To remember. */
  readonly state: TrustState | undefined;
}

export interface ReadOptions {
  readonly namespace: string;
  readonly pins: Pins | undefined;
  /** What this browser saw before. */
  readonly remembered: TrustState | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly progress: (done: number, all: number) => void;
}

/** Whoever serves a log must not be able to keep a browser busy for a day. */
const MAX_EPOCHS = 5_000;
const AT_ONCE = 16;

/** @throws what is no refusal: a bug, or a network that is down */
export function refusedBy(error: unknown, epoch?: number): Refused {
  const refusal = refusalOf(error) ?? (isStrongroomError(error) ? "malformed" : undefined);
  if (refusal === undefined) throw error;
  return { refusal, detail: (error as StrongroomError).message, epoch };
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

/** @returns undefined for a namespace that has announced nothing */
export async function readLog(published: Published, options: ReadOptions): Promise<LogView | undefined> {
  const { namespace } = options;
  const folder = `log/${namespace}`;
  const noteBytes = await published.get(`${folder}/checkpoint`);
  if (!noteBytes) return undefined;
  const note = attempt(() => fromUtf8(noteBytes)) ?? "";
  const claimed = attempt(() => parseCheckpoint(parseNote(note).text));
  const bundles = await fetchBundles(published, folder, Math.min(claimed?.size ?? 1, MAX_EPOCHS), options);
  const pins = options.pins ?? ownPins(namespace, bundles[0]?.bundle);
  const walk = new Walk(pins, options.pins ? options.remembered : undefined);
  for (const one of bundles) await walk.take(one);
  return walk.end(note, options);
}

interface FetchedBundle {
  readonly epoch: number;
  readonly bytes: Uint8Array | undefined;
  readonly bundle: Bundle | undefined;
}

async function fetchBundles(
  published: Published,
  folder: string,
  size: number,
  { progress }: ReadOptions,
): Promise<readonly FetchedBundle[]> {
  const bundles: FetchedBundle[] = [];
  while (bundles.length < size) {
    const first = bundles.length + 1;
    const epochs = Array.from({ length: Math.min(AT_ONCE, size - bundles.length) }, (_, i) => first + i);
    const fetched = epochs.map(async (epoch) => {
      const bytes = await published.get(`${folder}/bundles/${epoch}.json`);
      return { epoch, bytes, bundle: bytes && attempt(() => decodeBundle(bytes)) };
    });
    bundles.push(...(await Promise.all(fetched)));
    progress(bundles.length, size);
  }
  // It is published a moment after the head that has it.
  return bundles.length > 1 && bundles.at(-1)?.bytes === undefined ? bundles.slice(0, -1) : bundles;
}

/** What the first epoch says of itself. It is believed for the sake of the walk, and nothing is concluded from it. */
export function ownPins(namespace: string, first: Bundle | undefined): Pins {
  const announcement = first && attempt(() => decodeAnnouncement(utf8(first.announcement)));
  return {
    type: "strongroom/pins/v1",
    namespace,
    keys: announcement?.keys ?? { auditors: [], operators: [], logs: [] },
    witnesses: [],
    witnessQuorum: 0,
    minimumEpoch: 1,
  };
}

class Walk {
  readonly #pins: Pins;
  readonly #remembered: TrustState | undefined;
  readonly #epochs: EpochView[] = [];
  readonly #tree = new Frontier();
  /** Roots of the record by size, as far as all bundles are there. */
  readonly #roots: Uint8Array[] = [];
  #state: TrustState | undefined;
  #newest: VerifiedEpoch | undefined;
  #proofs: Misbehaviour[] = [];

  constructor(pins: Pins, remembered: TrustState | undefined) {
    this.#pins = pins;
    this.#remembered = remembered;
  }

  async take({ epoch, bytes, bundle }: FetchedBundle): Promise<void> {
    if (bundle && this.#tree.size === epoch - 1) {
      this.#tree.append(leafHash(logEntry(bundle.audit, bundle.countersignature)));
      this.#roots[epoch] = this.#tree.root();
    }
    const announcement = bundle && attempt(() => decodeAnnouncement(utf8(bundle.announcement)));
    const isBeforePins = epoch < this.#pins.minimumEpoch;
    const view = { epoch, announcement, isBeforePins };
    try {
      if (!bytes) throw refused("unlogged", `nobody shows epoch ${epoch}`);
      const verified = isBeforePins ? undefined : await this.#verified(bytes, epoch);
      this.#epochs.push({ ...view, verified, refused: undefined });
    } catch (error) {
      this.#epochs.push({ ...view, verified: undefined, refused: refusedBy(error, epoch) });
    }
  }

  /** @throws bundle-refused */
  async #verified(bytes: Uint8Array, epoch: number): Promise<VerifiedEpoch> {
    const keys = keysFor(this.#state, this.#pins, epoch);
    const verified = await verifyBundle(bytes, { keys, pins: this.#pins });
    if (verified.epoch !== epoch) throw refused("malformed", `offered as epoch ${epoch}`);
    const { checkpoint } = verified;
    const root = this.#roots[checkpoint.size];
    if (root && !equal(root, checkpoint.root)) throw refused("forked-log", `at ${checkpoint.size} epochs`);
    const { state, refusal } = follow(this.#state, this.#pins, verified);
    if (refusal) throw refusal;
    this.#compare(verified);
    this.#state = state;
    this.#newest = verified;
    return verified;
  }

  /** With what this browser saw before. @throws bundle-refused */
  #compare({ epoch, digest, bundle }: VerifiedEpoch): void {
    const seen = this.#remembered;
    if (!seen || seen.epoch !== epoch || seen.digest === digest) return;
    this.#proofs = [{ reason: "equivocation", first: seen.bundle, second: bundle }];
    throw refused("equivocation", `epoch ${epoch}`);
  }

  end(note: string, { namespace, pins, now }: ReadOptions): LogView {
    let head: { checkpoint: Checkpoint; witnesses: number } | undefined;
    let problem = this.#epochs.find((epoch) => epoch.refused)?.refused;
    try {
      head = this.#head(note);
      this.#compareHistory(head.checkpoint);
      if (!problem && this.#newest) {
        const late = untimely(this.#newest.announcement, now);
        if (late) throw late;
      }
    } catch (error) {
      problem ??= refusedBy(error);
    }
    if (!problem && !this.#newest)
      problem = { refusal: "below-minimum", detail: `no epoch from ${this.#pins.minimumEpoch} on` };
    return {
      namespace,
      pins: this.#pins,
      isPinned: pins !== undefined,
      epochs: this.#epochs,
      newest: this.#newest,
      checkpoint: head?.checkpoint,
      witnesses: head?.witnesses ?? 0,
      refused: problem,
      state: this.#toRemember(),
    };
  }

  /** The head of the record, signed and cosigned, over exactly these epochs. @throws bundle-refused */
  #head(note: string): { checkpoint: Checkpoint; witnesses: number } {
    const logs = [...new Set([...this.#pins.keys.logs, ...(this.#state?.keys.logs ?? [])])];
    const witnesses = this.#pins.witnesses.map(parseVkey);
    let head: ReturnType<typeof verifyCheckpoint>;
    try {
      head = verifyCheckpoint(note, { logs: logs.map(parseVkey), witnesses });
    } catch (error) {
      throw isStrongroomError(error) ? refused("wrong-log-key", error.message, error) : error;
    }
    const { checkpoint } = head;
    const root = this.#roots[checkpoint.size];
    if (root && !equal(root, checkpoint.root)) throw refused("forked-log", "its newest head");
    const cosigners = new Set(head.witnesses.map(({ key }) => toHex(key.publicKey))).size;
    if (cosigners < this.#pins.witnessQuorum)
      throw refused("too-few-witnesses", `${cosigners} of ${this.#pins.witnessQuorum}`);
    return { checkpoint, witnesses: cosigners };
  }

  /** @throws bundle-refused */
  #compareHistory({ size, origin }: Checkpoint): void {
    const seen = this.#remembered;
    if (!seen) return;
    if (size < seen.epoch || (this.#newest?.epoch ?? 0) < seen.epoch)
      throw refused("older-epoch", `${this.#newest?.epoch ?? size} < ${seen.epoch}`);
    const root = this.#roots[seen.checkpoint.size];
    if (origin === seen.checkpoint.origin && root && !equal(root, fromHex(seen.checkpoint.root)))
      throw refused("forked-log", `at ${seen.checkpoint.size} epochs, compared with what was seen before`);
  }

  /** Never less than before, and never without the proof of a lie. */
  #toRemember(): TrustState | undefined {
    const [seen, now] = [this.#remembered, this.#state];
    if (!seen) return now;
    const known = seen.proofs.map(({ second }) => second.audit.digest);
    const proofs = [
      ...seen.proofs,
      ...this.#proofs.filter(({ second }) => !known.includes(second.audit.digest)),
    ].slice(0, MAX_PROOFS);
    return { ...(now && now.epoch >= seen.epoch ? now : seen), proofs };
  }
}

/** As src/trust/state.ts keeps them. */
const MAX_PROOFS = 8;

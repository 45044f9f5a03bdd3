/**
 * RFC 6962 §2.1 hashing, and the frontier of a growing tree: the roots of the perfect subtrees that its entries fill
 * from the left (a compact range from 0), which is all that appending needs. Sizes and indices are integers up to
 * 2^53 − 1: arithmetic, never 32-bit operators. Runs in browsers.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concat } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

export const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The root of a tree without entries: SHA-256 of nothing. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0));

/** A perfect subtree: the hash over the entries index · 2^level … (index + 1) · 2^level − 1. */
export interface NodeId {
  readonly level: number;
  readonly index: number;
}

/** SHA-256(00 ‖ entry), 32 bytes. */
export function leafHash(entry: Uint8Array): Uint8Array {
  return sha256(concat(LEAF, entry));
}

/** SHA-256(01 ‖ left ‖ right), 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

/** Two adjoining subtrees, the left one perfect and not smaller: folds the last of a list into one hash. */
export function foldRight(hashes: readonly Uint8Array[]): Uint8Array {
  const last = hashes.at(-1);
  if (!last) return EMPTY_ROOT;
  return hashes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** The Merkle tree hash over leaf hashes. */
export function rootOf(leafHashes: readonly Uint8Array[]): Uint8Array {
  const frontier = new Frontier();
  for (const hash of leafHashes) frontier.append(hash);
  return frontier.root();
}

/** The perfect subtrees of a tree of `size` entries, from the left, which is the largest first. */
export function peaksOf(size: number): readonly NodeId[] {
  return subtrees(0, size);
}

/**
 * The perfect subtrees that make up the entries from `start` to `end` (exclusive), where these are a subtree of a tree
 * (§2.1): `start` is a multiple of the smallest power of two that is not below `end` − `start`.
 */
export function subtrees(start: number, end: number): readonly NodeId[] {
  const nodes: NodeId[] = [];
  let at = start;
  while (at < end) {
    let level = 0;
    let width = 1;
    while (width * 2 <= end - at) {
      width *= 2;
      level++;
    }
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** Appends entries in O(log n), and gives the root at each size. */
export class Frontier {
  #size: number;
  /** The largest first. */
  readonly #peaks: Uint8Array[];

  /** @param peaks the hashes of `peaksOf(size)` @throws internal for another number of them */
  constructor(size = 0, peaks: readonly Uint8Array[] = []) {
    if (peaks.length !== peaksOf(size).length)
      throw new StrongroomError("internal", `a tree of ${size} entries has other peaks`);
    this.#size = size;
    this.#peaks = [...peaks];
  }

  get size(): number {
    return this.#size;
  }

  /**
   * @param onNode is told of every perfect subtree that is complete now, the leaf first
   * @throws internal at 2^53 − 1 entries
   */
  append(hash: Uint8Array, onNode?: (node: NodeId, hash: Uint8Array) => void): void {
    if (this.#size >= Number.MAX_SAFE_INTEGER) throw new StrongroomError("internal", "the tree is full");
    let index = this.#size;
    let level = 0;
    let whole = hash;
    onNode?.({ level, index }, whole);
    while (index % 2 === 1) {
      const left = this.#peaks.pop();
      if (!left) throw new StrongroomError("internal", "a peak is missing");
      whole = nodeHash(left, whole);
      index = (index - 1) / 2;
      level++;
      onNode?.({ level, index }, whole);
    }
    this.#peaks.push(whole);
    this.#size++;
  }

  root(): Uint8Array {
    return foldRight(this.#peaks);
  }

  copy(): Frontier {
    return new Frontier(this.#size, this.#peaks);
  }
}

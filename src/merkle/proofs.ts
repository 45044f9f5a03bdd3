/**
 * Inclusion and consistency proofs: verified by the letter of RFC 9162 §2.1.3.2 and §2.1.4.2 (a path has exactly the
 * length that the sizes ask for), made by §2.1.3.1 and §2.1.4.1 from stored node hashes. Runs in browsers.
 */
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { logInvalid } from "./fault.ts";
import { EMPTY_ROOT, foldRight, HASH_BYTES, type NodeId, nodeHash, subtrees } from "./tree.ts";

/** Reads hashes of perfect subtrees, in the order of the request. @throws log-invalid where one is not there */
export type HashReader = (nodes: readonly NodeId[]) => Promise<readonly Uint8Array[]>;

/** The head of a tree. */
export interface TreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** Two less than the bits of the largest size would do; C2SP tlog-witness accepts no more. */
export const MAX_PROOF_HASHES = 63;

const isOdd = (value: number): boolean => value % 2 === 1;
const half = (value: number): number => Math.floor(value / 2);

function requireSizes(...values: readonly number[]): void {
  for (const value of values)
    if (!Number.isSafeInteger(value) || value < 0)
      throw logInvalid("wrong-size", "sizes are integers below 2^53");
}

function requireHashes(...hashes: readonly Uint8Array[]): void {
  if (hashes.length > MAX_PROOF_HASHES + 3) throw logInvalid("bad-proof", "more hashes than any tree has");
  if (hashes.some(({ length }) => length !== HASH_BYTES))
    throw logInvalid("bad-proof", `a hash is not ${HASH_BYTES} bytes`);
}

/**
 * That the tree holds the entry at `index` (RFC 9162 §2.1.3.2).
 * @param proof from the leaf's sibling up
 * @throws log-invalid: wrong-size for an index outside the tree; bad-proof
 */
export function verifyInclusion(
  head: TreeHead,
  index: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
): void {
  requireSizes(head.size, index);
  requireHashes(head.root, leaf, ...proof);
  if (index >= head.size)
    throw logInvalid("wrong-size", `a tree of ${head.size} entries has no index ${index}`);
  let node = index;
  let last = head.size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) throw logInvalid("bad-proof", "the inclusion path is too long");
    if (isOdd(node) || node === last) {
      hash = nodeHash(sibling, hash);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else hash = nodeHash(hash, sibling);
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw logInvalid("bad-proof", "the inclusion path is too short");
  if (!equal(hash, head.root)) throw logInvalid("bad-proof", "the inclusion path leads to another root");
}

/**
 * That the tree of `after` begins with all entries of `before` (RFC 9162 §2.1.4.2). Equal sizes and the empty tree have
 * an empty proof (RFC 6962 §2.1.2); what they need is the same root, and the root of nothing.
 * @throws log-invalid: wrong-size where `after` is smaller; wrong-root for two roots of one size; bad-proof
 */
export function verifyConsistency(before: TreeHead, after: TreeHead, proof: readonly Uint8Array[]): void {
  requireSizes(before.size, after.size);
  requireHashes(before.root, after.root, ...proof);
  if (after.size < before.size)
    throw logInvalid("wrong-size", `${after.size} entries do not follow ${before.size}`);
  for (const { size, root } of [before, after])
    if (size === 0 && !equal(root, EMPTY_ROOT))
      throw logInvalid("wrong-root", "an empty tree with the root of another one");
  if (before.size === after.size && !equal(before.root, after.root))
    throw logInvalid("wrong-root", `two roots of ${before.size} entries`);
  if (before.size === after.size || before.size === 0) {
    if (proof.length > 0) throw logInvalid("bad-proof", "a consistency proof where none is needed");
    return;
  }
  let node = before.size - 1;
  let last = after.size - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  // A size that is a power of two is a node of the later tree, and the proof leaves its root out: node is 0 then.
  const [first, ...rest] = node === 0 ? [before.root, ...proof] : proof;
  if (!first || proof.length === 0) throw logInvalid("bad-proof", "the consistency proof is empty");
  let old = first;
  let now = first;
  for (const hash of rest) {
    if (last === 0) throw logInvalid("bad-proof", "the consistency proof is too long");
    if (isOdd(node) || node === last) {
      old = nodeHash(hash, old);
      now = nodeHash(hash, now);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else now = nodeHash(now, hash);
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw logInvalid("bad-proof", "the consistency proof is too short");
  if (!equal(old, before.root))
    throw logInvalid(
      "bad-proof",
      `the consistency proof does not lead to the root of ${before.size} entries`,
    );
  if (!equal(now, after.root))
    throw logInvalid("bad-proof", `the consistency proof does not lead to the root of ${after.size} entries`);
}

/** Entries from `start` to `end`, exclusive. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** Where §2.1.1 splits: the largest power of two below `size`, which is at least 2. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** PATH of §2.1.3.1, from the leaf's sibling up. */
function inclusionRanges(index: number, size: number): readonly Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  return ranges.reverse();
}

/** SUBPROOF of §2.1.4.1. */
function consistencyRanges(before: number, after: number): readonly Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, after];
  while (before < end) {
    const middle = start + splitOf(end - start);
    if (before <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  // b of SUBPROOF: the verifier has this root already where nothing was split off on the left.
  if (start > 0) ranges.push({ start, end });
  return ranges.reverse();
}

async function hashesOf(ranges: readonly Range[], read: HashReader): Promise<readonly Uint8Array[]> {
  const parts = ranges.map(({ start, end }) => subtrees(start, end));
  const nodes = parts.flat();
  const hashes = nodes.length === 0 ? [] : await read(nodes);
  if (hashes.length !== nodes.length)
    throw new StrongroomError("internal", "the reader gave another number of hashes");
  let at = 0;
  return parts.map(({ length }) => {
    const folded = foldRight(hashes.slice(at, at + length));
    at += length;
    return folded;
  });
}

/** @throws log-invalid (wrong-size) for an index outside the tree; what the reader throws */
export async function inclusionProof(
  index: number,
  size: number,
  read: HashReader,
): Promise<readonly Uint8Array[]> {
  requireSizes(index, size);
  if (index >= size) throw logInvalid("wrong-size", `a tree of ${size} entries has no index ${index}`);
  return hashesOf(inclusionRanges(index, size), read);
}

/** @throws log-invalid (wrong-size) where `after` is smaller; what the reader throws */
export async function consistencyProof(
  before: number,
  after: number,
  read: HashReader,
): Promise<readonly Uint8Array[]> {
  requireSizes(before, after);
  if (after < before) throw logInvalid("wrong-size", `${after} entries do not follow ${before}`);
  if (before === 0 || before === after) return [];
  return hashesOf(consistencyRanges(before, after), read);
}

/** The root of the first `size` entries. @throws what the reader throws */
export async function rootAt(size: number, read: HashReader): Promise<Uint8Array> {
  requireSizes(size);
  const [root] = await hashesOf([{ start: 0, end: size }], read);
  return root ?? EMPTY_ROOT;
}

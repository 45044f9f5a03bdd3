/**
 * C2SP tlog-proof: a text by which anybody verifies offline that an entry is in a log, and who has seen that log's head.
 * Runs in browsers.
 */
import { type CheckpointKeys, type VerifiedCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { logInvalid } from "./fault.ts";
import { decimalOf, fromBase64, hashOf, requireText, toBase64 } from "./lines.ts";
import { MAX_NOTE_CHARACTERS } from "./note.ts";
import { MAX_PROOF_HASHES, verifyInclusion } from "./proofs.ts";
import { leafHash } from "./tree.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
const MAX_EXTRA_CHARACTERS = 8 * 1024;
const MAX_TLOG_PROOF_CHARACTERS: number =
  HEADER.length + MAX_EXTRA_CHARACTERS + 45 * MAX_PROOF_HASHES + 64 + MAX_NOTE_CHARACTERS;

export interface TlogProof {
  /** From 0. */
  readonly index: number;
  /** Hashes of 32 bytes, from the leaf's sibling up. */
  readonly path: readonly Uint8Array[];
  /** The signed note, as it is. */
  readonly checkpoint: string;
  /** Signed by nobody: never believed. */
  readonly extra?: Uint8Array;
}

export function formatTlogProof({ index, path, checkpoint, extra }: TlogProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...path.map(toBase64),
  ];
  return `${lines.join("\n")}\n\n${checkpoint}`;
}

/** The form only. @throws log-invalid (not-canonical, too-large) */
export function parseTlogProof(text: string): TlogProof {
  requireText(text, MAX_TLOG_PROOF_CHARACTERS, "the proof");
  const end = text.indexOf("\n\n");
  if (end < 0) throw logInvalid("not-canonical", "the proof has no checkpoint");
  const [header, ...lines] = text.slice(0, end).split("\n");
  if (header !== HEADER) throw logInvalid("not-canonical", `a proof begins with ${HEADER}`);
  const extra = lines[0]?.startsWith("extra ") ? lines.shift()?.slice("extra ".length) : undefined;
  if (extra !== undefined && extra.length > MAX_EXTRA_CHARACTERS)
    throw logInvalid("too-large", `extra data of more than ${MAX_EXTRA_CHARACTERS} characters`);
  const [index, ...path] = lines;
  if (!index?.startsWith("index ")) throw logInvalid("not-canonical", "the proof names no index");
  if (path.length > MAX_PROOF_HASHES) throw logInvalid("too-large", "the path has more hashes than any tree");
  return {
    index: decimalOf(index.slice("index ".length)),
    path: path.map(hashOf),
    checkpoint: text.slice(end + 2),
    ...(extra === undefined ? {} : { extra: fromBase64(extra) }),
  };
}

export interface VerifiedEntry extends VerifiedCheckpoint {
  readonly index: number;
}

/**
 * That the entry is in the log at the index that the proof names, under a checkpoint that the log signed. How many
 * witnesses are enough is the caller's rule.
 * @throws log-invalid: whatever `verifyCheckpoint` and `verifyInclusion` refuse; not-canonical, too-large
 */
export function verifyTlogProof(text: string, entry: Uint8Array, keys: CheckpointKeys): VerifiedEntry {
  const { index, path, checkpoint } = parseTlogProof(text);
  const verified = verifyCheckpoint(checkpoint, keys);
  verifyInclusion(verified.checkpoint, index, leafHash(entry), path);
  return { ...verified, index };
}

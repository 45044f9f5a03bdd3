/**
 * C2SP tlog-checkpoint: a log's origin, size and root as the text of a signed note. Extension lines are refused: no
 * monitor can check them, and nothing here writes them. Runs in browsers.
 */
import { logInvalid } from "./fault.ts";
import { decimalOf, hashOf, requireText, toBase64 } from "./lines.ts";
import { type KnownSignature, knownSignatures, parseNote, type SignedNote, verifyNote } from "./note.ts";
import type { TreeHead } from "./proofs.ts";
import { isKeyName, type VerifierKey } from "./vkey.ts";

export interface Checkpoint extends TreeHead {
  /** Which log it is of: the name of its keys. */
  readonly origin: string;
}

/** A checkpoint whose log's signature verified. */
export interface VerifiedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly note: SignedNote;
  /** By the log's own trusted keys; at least one. */
  readonly log: readonly KnownSignature[];
  /** By the witnesses that were asked about; may be none. */
  readonly witnesses: readonly KnownSignature[];
}

export interface CheckpointKeys {
  /** The log's keys; their name is its origin. */
  readonly logs: readonly VerifierKey[];
  readonly witnesses?: readonly VerifierKey[];
}

const MAX_TEXT_CHARACTERS = 1024;

/** The note's text. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** @throws log-invalid (not-canonical, too-large) */
export function parseCheckpoint(text: string): Checkpoint {
  requireText(text, MAX_TEXT_CHARACTERS, "a checkpoint");
  const [origin, size, root, ...more] = text.slice(0, -1).split("\n");
  if (origin === undefined || size === undefined || root === undefined || more.length > 0)
    throw logInvalid("not-canonical", "a checkpoint has three lines: origin, size and root");
  if (!isKeyName(origin)) throw logInvalid("not-canonical", "the checkpoint's origin is no name of a key");
  return { origin, size: decimalOf(size), root: hashOf(root) };
}

/**
 * @param note as the log serves it, with its signatures
 * @throws log-invalid: not-canonical, too-large; wrong-origin; wrong-key where no trusted key of the log signed it;
 *   bad-signature for any signature by a key that is known, the witnesses' too
 */
export function verifyCheckpoint(note: string, { logs, witnesses = [] }: CheckpointKeys): VerifiedCheckpoint {
  const parsed = parseNote(note);
  const checkpoint = parseCheckpoint(parsed.text);
  const keys = logs.filter(({ name }) => name === checkpoint.origin);
  if (keys.length === 0) throw logInvalid("wrong-origin", checkpoint.origin);
  return {
    checkpoint,
    note: parsed,
    log: verifyNote(parsed, keys),
    witnesses: knownSignatures(
      parsed,
      witnesses.filter(({ kind }) => kind === "cosignature"),
    ),
  };
}

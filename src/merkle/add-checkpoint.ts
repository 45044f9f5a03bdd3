/** The body of C2SP tlog-witness's add-checkpoint: what a log asks a witness to cosign, and why it may. Runs in browsers. */
import { logInvalid } from "./fault.ts";
import { decimalOf, hashOf, requireText, toBase64 } from "./lines.ts";
import { MAX_NOTE_CHARACTERS } from "./note.ts";
import { MAX_PROOF_HASHES } from "./proofs.ts";

export interface AddCheckpoint {
  /** The size that the witness cosigned last. */
  readonly oldSize: number;
  /** From `oldSize` to the checkpoint's size. */
  readonly proof: readonly Uint8Array[];
  /** The signed note, as it is. */
  readonly checkpoint: string;
}

/** Content type of the size that a witness tells where the old size is another one. */
export const SIZE_TYPE = "text/x.tlog.size";
export const MAX_ADD_CHECKPOINT_CHARACTERS: number = 32 + 45 * MAX_PROOF_HASHES + MAX_NOTE_CHARACTERS;

export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): string {
  return `${[`old ${oldSize}`, ...proof.map(toBase64)].join("\n")}\n\n${checkpoint}`;
}

/** The form only. @throws log-invalid (not-canonical, too-large) */
export function parseAddCheckpoint(text: string): AddCheckpoint {
  requireText(text, MAX_ADD_CHECKPOINT_CHARACTERS, "the request");
  const end = text.indexOf("\n\n");
  if (end < 0) throw logInvalid("not-canonical", "the request has no checkpoint");
  const [old, ...proof] = text.slice(0, end).split("\n");
  if (!old?.startsWith("old ")) throw logInvalid("not-canonical", "the request names no old size");
  if (proof.length > MAX_PROOF_HASHES)
    throw logInvalid("too-large", `more than ${MAX_PROOF_HASHES} lines of proof`);
  return {
    oldSize: decimalOf(old.slice("old ".length)),
    proof: proof.map(hashOf),
    checkpoint: text.slice(end + 2),
  };
}

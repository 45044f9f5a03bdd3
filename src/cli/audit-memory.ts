/** What `strongroom audit` remembers from one run to the next, and the proofs that it keeps for ever. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { type Contradiction, contradictionName, encodeContradiction } from "../trust/contradiction.ts";
import { decodeTrustState, encodeTrustState, type TrustState } from "../trust/state.ts";

/** Larger than any state. */
const MAX_FILE_BYTES = 64 << 20;

/** @throws decode-failed for a damaged one, usage for one of another namespace; file-failed */
export async function readState(file: string, namespace: string): Promise<TrustState | undefined> {
  const bytes = await readIfThere(file, MAX_FILE_BYTES);
  const state = bytes && decodeTrustState(bytes);
  if (state && state.namespace !== namespace)
    throw new StrongroomError(
      "usage",
      `${file} remembers ${state.namespace}, and the pins are for ${namespace}`,
      {
        hint: "keep one file for each namespace",
      },
    );
  return state;
}

/** @throws file-failed, store-full */
export async function writeState(file: string, state: TrustState): Promise<void> {
  const bytes = encodeTrustState(state);
  const before = await readIfThere(file, MAX_FILE_BYTES);
  if (!before || !equal(before, bytes)) await writeDurably(file, bytes);
}

/** Nothing is ever overwritten: the same proof has the same name. @returns the files @throws file-failed, store-full */
export async function keepProofs(
  dir: string,
  contradictions: readonly Contradiction[],
): Promise<readonly string[]> {
  const files: string[] = [];
  for (const contradiction of contradictions) {
    const file = join(dir, contradictionName(contradiction));
    if (!existsSync(file)) await writeDurably(file, encodeContradiction(contradiction));
    files.push(file);
  }
  return files;
}

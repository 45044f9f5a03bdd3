/** Verifies the evidence of a ceremony, offline: reads the folder and checks every claim. Nothing is written. */
import { join } from "node:path";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { checkClaims } from "./claims/all.ts";
import type { Claim, ClaimId } from "./claims/claim.ts";
import { readEvidenceFiles } from "./evidence-files.ts";
import { type EvidenceQuestions, EvidenceReading, type Predecessor } from "./evidence-reading.ts";

/** A fleet that was changed more often than that is made anew. */
const MAX_PREDECESSORS = 32;

/**
 * @param dir the ceremony's directory; of a change, the evidence before it lies where its plan says
 * @returns every claim that applies, in order; it holds where all of its findings do
 * @throws file-failed; evidence-invalid for a folder that has no order at all (links, thousands of files)
 */
export function verifyEvidence(dir: string, questions: EvidenceQuestions = {}): readonly Claim[] {
  return checkClaims(readEvidence(dir, questions));
}

/**
 * The files of a ceremony, ready for claims. The evidence before it is verified on the way.
 * @throws file-failed, evidence-invalid
 */
export function readEvidence(
  dir: string,
  questions: EvidenceQuestions = {},
  depth: number = MAX_PREDECESSORS,
): EvidenceReading {
  const files = readEvidenceFiles(dir);
  const reading = new EvidenceReading(files, questions);
  const before = predecessorPath(reading);
  if (before === undefined) return reading;
  if (depth === 0) throw new StrongroomError("evidence-invalid", "the ceremonies before have no beginning");
  return new EvidenceReading(files, questions, readPredecessor(join(dir, before), questions, depth));
}

/** Undefined where the plan names none, or cannot be read, which a claim says. */
function predecessorPath(reading: EvidenceReading): string | undefined {
  try {
    return reading.plan.predecessor?.evidence;
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

/** Undefined where there is no such folder, which a claim says. */
function readPredecessor(
  dir: string,
  { production }: EvidenceQuestions,
  depth: number,
): Predecessor | undefined {
  try {
    const reading = readEvidence(dir, { production }, depth - 1);
    return { reading, failed: failedClaims(checkClaims(reading)) };
  } catch (error) {
    if (isStrongroomError(error, "file-failed")) return undefined;
    throw error;
  }
}

/** Ids of claims that do not hold, each once. */
export function failedClaims(claims: readonly Claim[]): readonly ClaimId[] {
  return [...new Set(claims.filter(({ ok }) => !ok).map(({ id }) => id))];
}

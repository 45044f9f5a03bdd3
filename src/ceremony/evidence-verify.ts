/** Verifies the evidence of a ceremony that is in a folder, offline. Nothing is written. */
import { join } from "node:path";
import { isStrongroomError } from "../base/errors.ts";
import type { Claim } from "./claims/claim.ts";
import { readEvidenceFiles } from "./evidence-folder.ts";
import { type EvidenceSource, judgeEvidence, readingOf } from "./evidence-judge.ts";
import type { EvidenceQuestions, EvidenceReading } from "./evidence-reading.ts";

/**
 * @param dir the ceremony's directory; of a change, the evidence before it lies where its plan says
 * @returns every claim that applies, in order; it holds where all of its findings do
 * @throws file-failed; evidence-invalid for a folder that has no order at all (links, thousands of files)
 */
export async function verifyEvidence(
  dir: string,
  questions: EvidenceQuestions = {},
): Promise<readonly Claim[]> {
  return judgeEvidence(folderSource(dir), questions);
}

/**
 * The files of a ceremony, ready for claims. The evidence before it is verified on the way, and the plan's dry run made.
 * @throws file-failed, evidence-invalid
 */
export async function readEvidence(dir: string, questions: EvidenceQuestions = {}): Promise<EvidenceReading> {
  return readingOf(folderSource(dir), questions);
}

/** @throws file-failed, evidence-invalid */
function folderSource(dir: string): EvidenceSource {
  const known = new Map<string, EvidenceSource | undefined>();
  const read = (path: string): EvidenceSource | undefined => {
    try {
      return folderSource(join(dir, path));
    } catch (error) {
      if (isStrongroomError(error, "file-failed")) return undefined;
      throw error;
    }
  };
  return {
    files: readEvidenceFiles(dir),
    before(path) {
      if (!known.has(path)) known.set(path, read(path));
      return known.get(path);
    },
  };
}

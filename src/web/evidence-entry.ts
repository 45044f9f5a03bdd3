/** What judges evidence is a megabyte, with the dry run of a whole ceremony in it: a script of its own, loaded when asked for. */
import { isStrongroomError } from "../base/errors.ts";
import {
  type FoundFile,
  type JudgedEvidence,
  judgeFiles,
  judgePublished,
  type PublishedEvidence,
} from "./evidence.ts";

/** There is nothing to judge. This script's errors are of other classes than the page's, so none crosses over. */
export interface EvidenceProblem {
  /** For people. */
  readonly problem: string;
}

export interface EvidenceJudge {
  judgeFiles(found: readonly FoundFile[]): Promise<readonly JudgedEvidence[] | EvidenceProblem>;
  judgePublished(
    evidenceSha256: string,
    published: PublishedEvidence,
  ): Promise<JudgedEvidence | EvidenceProblem>;
}

declare global {
  /** Set by evidence.js. */
  var strongroomEvidence: EvidenceJudge | undefined;
}

async function told<T>(work: Promise<T>): Promise<T | EvidenceProblem> {
  try {
    return await work;
  } catch (error) {
    if (isStrongroomError(error)) return { problem: error.message };
    throw error;
  }
}

globalThis.strongroomEvidence = {
  judgeFiles: (found) => told(judgeFiles(found)),
  judgePublished: (evidenceSha256, published) => told(judgePublished(evidenceSha256, published)),
};

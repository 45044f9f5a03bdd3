/** What judges evidence is a megabyte, with the dry run of a whole ceremony in it: a script of its own, loaded when asked for. */
import { judgeFiles, judgePublished } from "./evidence.ts";

export interface EvidenceJudge {
  readonly judgeFiles: typeof judgeFiles;
  readonly judgePublished: typeof judgePublished;
}

declare global {
  /** Set by evidence.js. */
  var strongroomEvidence: EvidenceJudge | undefined;
}

globalThis.strongroomEvidence = { judgeFiles, judgePublished };

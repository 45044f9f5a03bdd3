/** One look at a whole log: the walk, what the auditor answers, the evidence, and what is to be remembered of it. */
import type { AuditPolicy } from "../auditor/policy.ts";
import { StrongroomError } from "../base/errors.ts";
import type { Pins } from "../trust/pins.ts";
import { refused } from "../trust/refusal.ts";
import type { TrustState } from "../trust/state.ts";
import { type WalkedLog, walkLog } from "../trust/walk.ts";
import { type Answers, askAuditor } from "./audit-answers.ts";
import { type JudgedEvidence, judgeEvidence } from "./audit-evidence.ts";
import { keepProofs } from "./audit-memory.ts";
import type { AuditPlace } from "./audit-source.ts";

export interface AuditQuestions {
  readonly pins: Pins;
  readonly seen: TrustState | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** By which evidence is judged; undefined: it is not looked at. */
  readonly evidence: AuditPolicy | undefined;
  /** Where proofs are kept. */
  readonly proofs: string;
  readonly progress?: (done: number, all: number) => void;
  /** How long a bundle may be behind its log: pauses between looks, milliseconds. */
  readonly patience?: readonly number[];
}

export interface AuditResult {
  readonly walked: WalkedLog;
  readonly answers: Answers | undefined;
  readonly evidence: readonly JudgedEvidence[] | undefined;
  /** Everything that is not believed, the epochs' first. */
  readonly refusals: readonly { readonly epoch?: number; readonly refusal: StrongroomError }[];
  /** Files of proofs that were found now. */
  readonly proofs: readonly string[];
}

/** A bundle is published a moment after the head that has it. */
const PATIENCE_MS = [500, 1_500, 4_000] as const;

async function walkSettled(place: AuditPlace, questions: AuditQuestions): Promise<WalkedLog> {
  const { pins, seen, now, progress } = questions;
  let walked: WalkedLog | undefined;
  for (const pause of [0, ...(questions.patience ?? PATIENCE_MS)]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    walked = await walkLog(place.source, { pins, seen, now: now(), progress });
    if (!walked?.isPending) break;
  }
  if (walked) return walked;
  throw new StrongroomError("file-failed", `${place.from} has no log of ${pins.namespace}`, {
    hint: "is it the right address, and are these the right pins?",
  });
}

/** @throws file-failed where there is no such log; unavailable, store-full; refusals are in the result */
export async function auditOnce(place: AuditPlace, questions: AuditQuestions): Promise<AuditResult> {
  const { pins } = questions;
  const walked = await walkSettled(place, questions);
  const answers = place.dir === undefined ? await askAuditor(place.source, pins, walked) : undefined;
  const evidence =
    questions.evidence && (await judgeEvidence(place, pins.namespace, walked, questions.evidence));
  const proofs = await keepProofs(questions.proofs, [
    ...walked.contradictions,
    ...(answers?.contradictions ?? []),
  ]);
  const keptBack = walked.epochs.length + 1;
  const refusals = [
    ...walked.epochs.flatMap(({ epoch, refusal }) => (refusal ? [{ epoch, refusal }] : [])),
    ...(walked.isPending
      ? [{ epoch: keptBack, refusal: refused("unlogged", "the log has it, and nobody shows its bundle") }]
      : []),
    ...walked.refusals.map((refusal) => ({ refusal })),
    ...(answers?.refusals ?? []),
    ...(evidence ?? []).flatMap(({ epoch, refusal }) => (refusal ? [{ epoch, refusal }] : [])),
  ];
  return { walked, answers, evidence, refusals, proofs };
}

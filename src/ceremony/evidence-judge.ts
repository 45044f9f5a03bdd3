/**
 * Judges the evidence of a ceremony that is at hand, wherever it came from: a folder (evidence-verify.ts), or what a
 * visitor dropped on the verification page. Every claim is checked, of the ceremonies before as well; nothing is read
 * from disk and nothing written. Runs in browsers, by what src/web/platform puts in the place of Node's modules.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { checkClaims } from "./claims/all.ts";
import type { Claim, ClaimId } from "./claims/claim.ts";
import { dryRun, type PlansBefore, plansBefore } from "./dry-run.ts";
import type { EvidenceFiles } from "./evidence-files.ts";
import {
  type EvidenceQuestions,
  EvidenceReading,
  type PlannedCalls,
  type Predecessor,
} from "./evidence-reading.ts";
import { checkPlan } from "./plan-check.ts";
import { decodePlan, type PlanFile } from "./plan-file.ts";

/** The evidence of a ceremony, and the way to that of the ceremony before it. */
export interface EvidenceSource {
  readonly files: EvidenceFiles;
  /** @param path as the plan says it, relative to this evidence; undefined where nothing is there */
  before(path: string): EvidenceSource | undefined;
}

/** A fleet that was changed more often than that is made anew. */
const MAX_PREDECESSORS = 32;

/**
 * @returns every claim that applies, in order; it holds where all of its findings do
 * @throws evidence-invalid for ceremonies before that have no end
 */
export async function judgeEvidence(
  source: EvidenceSource,
  questions: EvidenceQuestions = {},
): Promise<readonly Claim[]> {
  return checkClaims(await readingOf(source, questions));
}

/**
 * The files of a ceremony, ready for claims. The evidence before it is judged on the way, and the plan's dry run made.
 * @throws evidence-invalid; what the source throws
 */
export function readingOf(
  source: EvidenceSource,
  questions: EvidenceQuestions = {},
): Promise<EvidenceReading> {
  return read(source, questions, MAX_PREDECESSORS);
}

async function read(
  source: EvidenceSource,
  questions: EvidenceQuestions,
  left: number,
): Promise<EvidenceReading> {
  const { files } = source;
  const plan = planIn(files);
  if (!plan) return new EvidenceReading(files, { questions });
  const past = plan.plan.predecessor;
  const before = past && source.before(past.evidence);
  const plannedCalls = await callsOf(plan, before);
  if (!past) return new EvidenceReading(files, { questions, plannedCalls });
  if (left === 0) throw new StrongroomError("evidence-invalid", "the ceremonies before have no beginning");
  const predecessor = before && (await readPredecessor(before, questions, left - 1));
  return new EvidenceReading(files, { questions, plannedCalls, predecessor });
}

/** Undefined where there is none that can be read and work, which a claim says. */
function planIn(files: EvidenceFiles): PlanFile | undefined {
  const file = files.get("plan.yaml");
  if (!file?.bytes) return undefined;
  const { bytes, sha256 } = file;
  try {
    const plan = decodePlan(bytes, "plan.yaml");
    checkPlan(plan);
    return { plan, bytes, sha256 };
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

async function callsOf(file: PlanFile, before: EvidenceSource | undefined): Promise<() => PlannedCalls> {
  try {
    const steps = await dryRun(file, plansBefore(file.plan, before && plansIn(before)));
    const calls = new Map(steps.map(({ step, calls: own }) => [step.id, own]));
    return () => calls;
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    return () => {
      throw error;
    };
  }
}

/** As `plansBefore` follows them. */
function plansIn(source: EvidenceSource): PlansBefore {
  return {
    plan() {
      const file = source.files.get("plan.yaml");
      if (!file?.bytes) throw new StrongroomError("plan-invalid", "the evidence before has no plan");
      return { plan: decodePlan(file.bytes, "plan.yaml"), bytes: file.bytes, sha256: file.sha256 };
    },
    before(path) {
      const past = source.before(path);
      return past && plansIn(past);
    },
  };
}

async function readPredecessor(
  source: EvidenceSource,
  { production }: EvidenceQuestions,
  left: number,
): Promise<Predecessor> {
  const reading = await read(source, { production }, left);
  return { reading, failed: failedClaims(checkClaims(reading)) };
}

/** Ids of claims that do not hold, each once. */
export function failedClaims(claims: readonly Claim[]): readonly ClaimId[] {
  return [...new Set(claims.filter(({ ok }) => !ok).map(({ id }) => id))];
}

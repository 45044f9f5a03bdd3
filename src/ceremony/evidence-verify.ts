/** Verifies the evidence of a ceremony, offline: reads the folder and checks every claim. Nothing is written. */
import { join } from "node:path";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { checkClaims } from "./claims/all.ts";
import type { Claim, ClaimId } from "./claims/claim.ts";
import { dryRun, plansBefore } from "./dry-run.ts";
import { type EvidenceFiles, readEvidenceFiles } from "./evidence-files.ts";
import {
  type EvidenceQuestions,
  EvidenceReading,
  type PlannedCalls,
  type Predecessor,
} from "./evidence-reading.ts";
import { checkPlan } from "./plan-check.ts";
import { decodePlan, type PlanFile } from "./plan-file.ts";

/** A fleet that was changed more often than that is made anew. */
const MAX_PREDECESSORS = 32;

/**
 * @param dir the ceremony's directory; of a change, the evidence before it lies where its plan says
 * @returns every claim that applies, in order; it holds where all of its findings do
 * @throws file-failed; evidence-invalid for a folder that has no order at all (links, thousands of files)
 */
export async function verifyEvidence(
  dir: string,
  questions: EvidenceQuestions = {},
): Promise<readonly Claim[]> {
  return checkClaims(await readEvidence(dir, questions));
}

/**
 * The files of a ceremony, ready for claims. The evidence before it is verified on the way, and the plan's dry run made.
 * @throws file-failed, evidence-invalid
 */
export function readEvidence(dir: string, questions: EvidenceQuestions = {}): Promise<EvidenceReading> {
  return read(dir, questions, MAX_PREDECESSORS);
}

async function read(dir: string, questions: EvidenceQuestions, left: number): Promise<EvidenceReading> {
  const files = readEvidenceFiles(dir);
  const plan = planIn(files);
  if (!plan) return new EvidenceReading(files, { questions });
  const plannedCalls = await callsOf(dir, plan);
  const past = plan.plan.predecessor;
  if (!past) return new EvidenceReading(files, { questions, plannedCalls });
  if (left === 0) throw new StrongroomError("evidence-invalid", "the ceremonies before have no beginning");
  const predecessor = await readPredecessor(join(dir, past.evidence), questions, left - 1);
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

async function callsOf(dir: string, file: PlanFile): Promise<() => PlannedCalls> {
  try {
    const steps = await dryRun(file, plansBefore(join(dir, "plan.yaml"), file.plan));
    const calls = new Map(steps.map(({ step, calls: own }) => [step.id, own]));
    return () => calls;
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    return () => {
      throw error;
    };
  }
}

/** Undefined where there is no such folder, which a claim says. */
async function readPredecessor(
  dir: string,
  { production }: EvidenceQuestions,
  left: number,
): Promise<Predecessor | undefined> {
  try {
    const reading = await read(dir, { production }, left);
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

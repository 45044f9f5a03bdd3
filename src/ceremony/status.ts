/** How far a ceremony has come, by what is in its directory. */
import { approvedBy } from "./approved.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import { verifyTaken } from "./chain.ts";
import type { CeremonyPlan } from "./plan.ts";
import { loadPredecessor } from "./predecessor.ts";
import { isTaken, linesOf } from "./run.ts";
import { planIn, statementsIn } from "./station-run.ts";
import { type CeremonyStep, stepsOf } from "./steps.ts";
import { inputsOf } from "./take-step.ts";
import type { TranscriptLine } from "./transcript-lines.ts";

/**
 * taken: done here, or at a station from which its statement came. begun: interrupted. ready: all that it needs is
 * here. waits: for statements of other steps.
 */
export type StepState = "taken" | "begun" | "ready" | "waits";

export interface CeremonyStatus {
  readonly plan: CeremonyPlan;
  readonly planHash: string;
  /** Officers that have approved the plan. */
  readonly approved: readonly string[];
  readonly steps: readonly { readonly step: CeremonyStep; readonly state: StepState }[];
  readonly exceptions: readonly Extract<TranscriptLine, { kind: "exception" }>[];
}

/** @throws plan-invalid; evidence-invalid for a transcript or an approval that was changed */
export function ceremonyStatus(dir: string): CeremonyStatus {
  const folder = new CeremonyFolder(dir);
  const { plan, planHash } = planIn(folder);
  const steps = stepsOf(plan);
  const stations = [...new Set(steps.map(({ station }) => station))];
  const lines = new Map(stations.map((station) => [station, linesOf(folder, station, planHash)]));
  const stateOf = (step: CeremonyStep): StepState => {
    const own = lines.get(step.station) ?? [];
    const isHere = folder.has(`steps/${step.id}.json`);
    // A station elsewhere keeps its transcript until the end.
    if (isHere && (own.length === 0 || isTaken(folder, step, own))) return "taken";
    if (isHere || own.some((line) => line.kind === "step" && line.step === step.id)) return "begun";
    return inputsOf(step, steps).every((id) => folder.has(`steps/${id}.json`)) ? "ready" : "waits";
  };
  return {
    plan,
    planHash,
    approved: approvedBy(folder, plan, planHash),
    steps: steps.map((step) => ({ step, state: stateOf(step) })),
    exceptions: [...lines.values()]
      .flat()
      .filter((line): line is Extract<TranscriptLine, { kind: "exception" }> => line.kind === "exception"),
  };
}

/**
 * Checks what is there so far: approvals, transcripts, and every statement with all that it rests on.
 * @returns how many statements were checked
 * @throws evidence-invalid for the first that is not what it has to be; ceremony-stopped where one is missing under another
 */
export function checkSoFar(dir: string): number {
  const { plan, planHash } = ceremonyStatus(dir);
  const folder = new CeremonyFolder(dir);
  const files = statementsIn(folder);
  const before = loadPredecessor(folder, plan)?.earlier;
  const taken = stepsOf(plan).filter(({ id }) => files(id) !== undefined);
  // The last of each station rests on all others of it, and on what it was given.
  for (const station of new Set(taken.map((step) => step.station))) {
    const last = taken.findLast((step) => step.station === station);
    const isKnown = last && taken.some(({ action }) => action === "make-site-keys" || action === "make-root");
    if (last && (isKnown || before)) verifyTaken(last, { plan, planHash, files, before });
  }
  return taken.length;
}

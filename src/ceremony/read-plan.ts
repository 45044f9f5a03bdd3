/** Reads plans from disk: a ceremony's own, and those of the ceremonies before it. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { type PlansBefore, plansBefore } from "./dry-run.ts";
import type { CeremonyPlan } from "./plan.ts";
import { decodePlan, PLAN_HINT, type PlanFile } from "./plan-file.ts";

/**
 * Reads a plan, and nothing that it names.
 * @throws plan-invalid as `decodePlan` does, or where the file cannot be read
 */
export function readPlan(path: string): PlanFile {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new StrongroomError("plan-invalid", `${path} cannot be read`, { cause, hint: PLAN_HINT });
  }
  return { plan: decodePlan(bytes, path), bytes, sha256: toHex(sha256(bytes)) };
}

/**
 * `plansBefore` of a plan that is on disk.
 * @param path of the plan
 * @throws plan-invalid where one of them is not there
 */
export function readPlansBefore(path: string, plan: CeremonyPlan): readonly PlanFile[] {
  const { predecessor } = plan;
  return plansBefore(plan, predecessor && plansAt(path, predecessor.evidence));
}

function plansAt(path: string, evidence: string): PlansBefore {
  const file = join(dirname(path), evidence, "plan.yaml");
  return { plan: () => readPlan(file), before: (past) => plansAt(file, past) };
}

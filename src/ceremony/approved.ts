/** Before anything is done: have enough officers approved exactly this plan? */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { approvalPath, checkApproval } from "./approvals.ts";
import type { CeremonyFolder } from "./ceremony-folder.ts";
import type { CeremonyPlan } from "./plan.ts";

/**
 * @returns names of the officers that have approved
 * @throws ceremony-stopped where too few have; evidence-invalid for a file that is not an officer's approval of it
 */
export function requireApproved(
  folder: CeremonyFolder,
  plan: CeremonyPlan,
  planHash: string,
): readonly string[] {
  const { quorum, members } = plan.officers;
  const approved = approvedBy(folder, plan, planHash);
  if (approved.length >= quorum) return approved;
  const others = members.map(({ name }) => name).filter((name) => !approved.includes(name));
  throw new StrongroomError(
    "ceremony-stopped",
    `${approved.length} of ${quorum} officers have approved the plan`,
    {
      hint: `strongroom ceremony sign DIR --officer NAME --key FILE; not yet: ${others.join(", ")}`,
    },
  );
}

/** @throws evidence-invalid for a file that is not an officer's approval of this plan */
export function approvedBy(folder: CeremonyFolder, plan: CeremonyPlan, planHash: string): readonly string[] {
  return plan.officers.members
    .filter((officer) => {
      const path = approvalPath(officer);
      const bytes = folder.read(path);
      if (!bytes) return false;
      try {
        checkApproval(bytes, path, plan, planHash);
        return true;
      } catch (error) {
        if (!isStrongroomError(error)) throw error;
        throw new StrongroomError(error.code, `${path}: ${error.message}`, {
          hint: "the officer has to look at the plan and sign it again",
          cause: error,
        });
      }
    })
    .map(({ name }) => name);
}

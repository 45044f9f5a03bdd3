/** An officer approves the plan in a ceremony's directory. */
import { equal, fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { approvalPath, signApproval } from "./approvals.ts";
import { approvedBy } from "./approved.ts";
import type { CeremonyFolder } from "./ceremony-folder.ts";
import { type EnvelopeSigner, encodeEnvelope } from "./dsse.ts";
import type { CeremonyPlan, PlannedOfficer } from "./plan.ts";
import { planIn } from "./station-run.ts";

/**
 * @param officer the name in the plan
 * @throws usage where the plan has no such officer, or the key is another's
 */
export function requireOfficer(
  plan: CeremonyPlan,
  officer: string,
  { publicKey }: EnvelopeSigner,
): PlannedOfficer {
  const member = plan.officers.members.find(({ name }) => name === officer);
  if (!member)
    throw new StrongroomError("usage", `the plan has no officer ${officer}`, {
      hint: `it has: ${plan.officers.members.map(({ name }) => name).join(", ")}`,
    });
  if (!equal(fromHex(member.publicKey), publicKey))
    throw new StrongroomError("usage", `the key is not the one that the plan has for ${officer}`);
  return member;
}

/**
 * @param officer the name in the plan
 * @returns names of those that have approved now
 * @throws usage as `requireOfficer` does; file-failed
 */
export async function approvePlan(
  folder: CeremonyFolder,
  officer: string,
  signer: EnvelopeSigner,
): Promise<readonly string[]> {
  const { plan, planHash } = planIn(folder);
  const member = requireOfficer(plan, officer, signer);
  const envelope = await signApproval(plan, planHash, signer);
  folder.publish(approvalPath(member), encodeEnvelope(envelope));
  return approvedBy(folder, plan, planHash);
}

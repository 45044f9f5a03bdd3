/** All claims, checked in their order. One that rests on another that failed counts as failed, and says so. */
import { isStrongroomError } from "../../base/errors.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { transcriptFollowsPlan } from "./calls.ts";
import { certificates } from "./certificates.ts";
import { change, predecessor } from "./change.ts";
import { CLAIM_IDS, type Claim, type ClaimId, type ClaimRule, type Finding } from "./claim.ts";
import { closingApproved } from "./closing.ts";
import { credentials } from "./credentials.ts";
import { attachments, filesIntact } from "./files.ts";
import { holders } from "./holders.ts";
import { inventory } from "./inventory.ts";
import { attributes, refusals, sealed } from "./keys.ts";
import { manifest } from "./manifest.ts";
import { mode } from "./mode.ts";
import { planApproved, planFixed, planPossible } from "./plan.ts";
import { possession } from "./possession.ts";
import { statementsLinked, statementsSigned } from "./statements.ts";
import { devices, sites, software } from "./stations.ts";
import { closed, exceptions, transcriptIntact } from "./transcripts.ts";

const RULES: Readonly<Record<ClaimId, ClaimRule>> = {
  "files-intact": filesIntact,
  "plan-possible": planPossible,
  "plan-fixed": planFixed,
  mode,
  "plan-approved": planApproved,
  "statements-signed": statementsSigned,
  "statements-linked": statementsLinked,
  "transcript-intact": transcriptIntact,
  "transcript-follows-plan": transcriptFollowsPlan,
  sites,
  devices,
  software,
  certificates,
  predecessor,
  possession,
  attributes,
  refusals,
  holders,
  inventory,
  sealed,
  credentials,
  manifest,
  change,
  exceptions,
  closed,
  attachments,
  "closing-approved": closingApproved,
};

/**
 * @param without claims that nobody can make yet, such as of signatures that are still to be given
 * @returns one claim or more for each rule that applies; a plan that cannot be read makes all apply, and fail
 */
export function checkClaims(evidence: EvidenceReading, without: readonly ClaimId[] = []): readonly Claim[] {
  const states = new Map<ClaimId, "holds" | "failed">();
  return CLAIM_IDS.filter((id) => !without.includes(id)).flatMap((id): readonly Claim[] => {
    const { title, source, ...rule } = RULES[id];
    const findings = findingsOf(evidence, rule, (need) => states.get(need) === "failed");
    if (findings === undefined) return [];
    states.set(id, findings.length > 0 && findings.every(({ ok }) => ok) ? "holds" : "failed");
    // What shows nothing does not hold.
    const shown = findings.length > 0 ? findings : [{ ok: false, detail: "There is nothing that shows it." }];
    return shown.map((finding) => ({ id, title, ...finding, source: finding.source ?? source }));
  });
}

/** Undefined where the claim is not for this kind of ceremony. */
function findingsOf(
  evidence: EvidenceReading,
  { needs, appliesTo, check }: Pick<ClaimRule, "needs" | "appliesTo" | "check">,
  hasFailed: (id: ClaimId) => boolean,
): readonly Finding[] | undefined {
  try {
    if (appliesTo?.(evidence) === false) return undefined;
    const missing = needs.filter(hasFailed);
    if (missing.length === 0) return check(evidence);
    return [{ ok: false, detail: `Not checked, because this does not hold: ${missing.join(", ")}.` }];
  } catch (error) {
    if (isStrongroomError(error)) return [{ ok: false, detail: `${error.message}.` }];
    throw error;
  }
}

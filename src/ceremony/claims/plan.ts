/** The plan: it can work, it was fixed before anything was done, and enough officers wanted it. */
import { fromHex } from "../../base/bytes.ts";
import { isStrongroomError } from "../../base/errors.ts";
import { checkApproval } from "../approvals.ts";
import { EVIDENCE_FILE } from "../evidence-files.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { openEvidence } from "../evidence-statement.ts";
import { checkPlan } from "../plan-check.ts";
import { wordsOf } from "../words.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

export const planPossible: ClaimRule = {
  id: "plan-possible",
  title:
    "The plan can work: nothing is used before it exists, every holder is named, every step has its place",
  source: "proved",
  needs: [],
  check(evidence) {
    const { warnings } = checkPlan(evidence.plan);
    const { title, kind, sites, spares } = evidence.plan;
    const what = `“${title}”: ${kind}, ${sites.length} sites, ${spares.length} spares, ${evidence.steps.length} steps.`;
    return [{ ok: true, detail: [what, ...warnings.map((warning) => `Note: ${warning}`)].join(" ") }];
  },
};

/** The hash that each file names. */
function* namedHashes(evidence: EvidenceReading): Generator<readonly [string, string]> {
  for (const { id } of evidence.steps) yield [`steps/${id}.json`, evidence.statement(id).plan];
  for (const station of evidence.stations)
    yield [`transcripts/${station}.jsonl`, evidence.transcript(station).lines[0]?.prev ?? "nothing"];
  if (evidence.files.has(EVIDENCE_FILE))
    yield [EVIDENCE_FILE, openEvidence(evidence.bytes(EVIDENCE_FILE)).statement.predicate.plan];
}

export const planFixed: ClaimRule = {
  id: "plan-fixed",
  title: "The plan was fixed before anything was done: everything else names it by its hash",
  source: "proved",
  needs: ["plan-possible"],
  check(evidence) {
    const { planHash, questions } = evidence;
    const { expectPlan } = questions;
    const others = [...namedHashes(evidence)].filter(([, hash]) => hash !== planHash);
    const problems = others.map(([path, hash]) => `${path} is of another plan: ${hash}`);
    if (expectPlan !== undefined && expectPlan !== planHash)
      problems.unshift(`The plan is ${planHash}; ${expectPlan} was expected.`);
    const known =
      expectPlan === undefined
        ? "Compare it with what the officers published: nothing in this folder can do that for you."
        : "It is the one that was expected.";
    return judged(problems, `${planHash}, in words: ${wordsOf(fromHex(planHash))}. ${known}`);
  },
};

export const planApproved: ClaimRule = {
  id: "plan-approved",
  title: "Enough officers approved the plan; nothing proves when",
  source: "proved",
  needs: ["plan-possible"],
  check(evidence) {
    const { plan, planHash } = evidence;
    const { quorum, members } = plan.officers;
    const approvals = evidence.paths("approvals").map((path): Finding => {
      try {
        return { ok: true, detail: checkApproval(evidence.bytes(path), path, plan, planHash) };
      } catch (error) {
        if (!isStrongroomError(error)) throw error;
        return { ok: false, detail: error.message };
      }
    });
    const problems = approvals.filter(({ ok }) => !ok).map(({ detail }) => detail);
    const good = approvals.filter(({ ok }) => ok).map(({ detail }) => detail);
    if (good.length < quorum) problems.push(`${good.length} officers approved; the plan asks for ${quorum}.`);
    return judged(problems, `${good.join(", ")}: ${good.length} of ${members.length}, ${quorum} needed.`);
  },
};

/** What the stations did is what the plan makes them do: its steps in order, and the calls of the dry run. */
import type { EvidenceReading } from "../evidence-reading.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

/** Steps begun and ended, in the order of the plan; one that was interrupted begins again. */
function order(evidence: EvidenceReading, station: string): readonly string[] {
  const planned = evidence.steps.filter((step) => step.station === station).map(({ id }) => id);
  const problems: string[] = [];
  let at = 0;
  let isOpen = false;
  for (const line of evidence.transcript(station).lines) {
    if (line.kind === "step") {
      if (line.step !== planned[at])
        problems.push(`Line ${line.n + 1} begins ${line.step}, not ${planned[at]}.`);
      isOpen = true;
    } else if (line.kind === "done") {
      if (!isOpen || line.step !== planned[at])
        problems.push(`Line ${line.n + 1} ends ${line.step} out of turn.`);
      isOpen = false;
      at += 1;
    } else if (line.kind === "call" && !isOpen)
      problems.push(`Line ${line.n + 1} calls ${line.fn} between two steps.`);
  }
  return problems;
}

export const transcriptFollowsPlan: ClaimRule = {
  id: "transcript-follows-plan",
  title: "The stations took the steps of the plan in their order, and made the calls of its dry run",
  source: "library-reported",
  needs: ["transcript-intact"],
  check: (evidence) =>
    evidence.stations.flatMap((station): readonly Finding[] => {
      const calls = evidence.transcript(station).lines.filter(({ kind }) => kind === "call").length;
      return judged(order(evidence, station), `${calls} calls.`, { station });
    }),
};

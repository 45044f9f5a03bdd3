/** A rehearsal is a rehearsal everywhere, and production is no rehearsal: not in its words, not in its tokens. */
import { isSoftware } from "../../keys/software-tokens.ts";
import { EVIDENCE_FILE } from "../evidence-files.ts";
import { openEvidence } from "../evidence-statement.ts";
import { type ClaimRule, judged } from "./claim.ts";

export const mode: ClaimRule = {
  id: "mode",
  title: "It was what it says that it was: a rehearsal, or production on real devices",
  source: "library-reported",
  needs: ["plan-possible"],
  check(evidence) {
    const { plan, questions } = evidence;
    const problems: string[] = [];
    const require = (where: string, said: string): void => {
      if (said !== plan.mode) problems.push(`${where} says ${said}; the plan says ${plan.mode}.`);
    };
    for (const { id } of evidence.steps) require(`steps/${id}.json`, evidence.statement(id).mode);
    for (const station of evidence.stations) {
      const [start] = evidence.transcript(station).lines;
      if (start?.kind === "start") require(`The transcript of ${station}`, start.mode);
      else problems.push(`The transcript of ${station} has no start.`);
    }
    if (evidence.files.has(EVIDENCE_FILE))
      require(EVIDENCE_FILE, openEvidence(evidence.bytes(EVIDENCE_FILE)).statement.predicate.mode);
    const soft = evidence
      .all("open")
      .filter(({ output }) => output.software || isSoftware(output.profile, output.token))
      .map(({ station }) => station);
    const accepted = plan.softwareTokensAccepted;
    if (plan.mode === "production" && soft.length > 0 && accepted === undefined)
      problems.push(`Software tokens in production, which the plan does not accept: ${soft.join(", ")}.`);
    if (questions.production && plan.mode !== "production")
      problems.push(
        "THIS IS A REHEARSAL: its keys protect nothing, and it is no evidence of a fleet in production.",
      );
    const well =
      plan.mode === "rehearsal"
        ? "REHEARSAL. It shows that the plan works, and nothing about any fleet in production."
        : soft.length === 0
          ? "Production; no token is known to be software, by what their libraries say."
          : `Production on software tokens (${soft.join(", ")}), which the plan accepts: “${accepted}”.`;
    return judged(problems, well);
  },
};

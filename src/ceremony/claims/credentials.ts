/** What became of the security officers' PINs. */

import type { ActionOutputs } from "../outputs.ts";
import type { CredentialPolicy } from "../plan.ts";
import { type ClaimRule, judged } from "./claim.ts";

function problemsOf(policy: CredentialPolicy, told: ActionOutputs["seal-credentials"]): readonly string[] {
  if (policy.soPin === "destroy")
    return told.soPin === "destroyed" ? [] : ["The PIN was split; the plan destroys it."];
  if (told.soPin === "destroyed") return ["The PIN was destroyed; the plan splits it."];
  const problems: string[] = [];
  if (told.quorum !== policy.quorum)
    problems.push(`${told.quorum} custodians suffice, not ${policy.quorum}.`);
  const names = told.shares.map(({ custodian }) => custodian);
  const isSame =
    names.length === policy.custodians.length && policy.custodians.every((name) => names.includes(name));
  if (!isSame) problems.push(`The shares went to ${names.join(", ")}, not to the custodians of the plan.`);
  if (new Set(told.shares.map(({ sha256 }) => sha256)).size !== told.shares.length)
    problems.push("Two custodians have the same share.");
  return problems;
}

export const credentials: ClaimRule = {
  id: "credentials",
  title: "The security officers' PINs are what the plan says: known to nobody, or split among custodians",
  source: "library-reported",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("seal-credentials"),
  check: (evidence) =>
    evidence.all("seal-credentials").flatMap(({ station, output }) => {
      const well =
        output.soPin === "destroyed"
          ? "Replaced by one that nobody was told."
          : `${output.quorum} of ${output.shares.length} custodians together have it; committed to by ${output.commitment}.`;
      return judged(problemsOf(evidence.plan.credentials, output), well, { station });
    }),
};

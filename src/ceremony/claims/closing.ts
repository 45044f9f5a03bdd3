/** Enough officers signed the list of all files, and with it how the ceremony ended. */
import { fromHex } from "../../base/bytes.ts";
import { isSignedBy, keyIdOf } from "../dsse.ts";
import { EVIDENCE_FILE } from "../evidence-files.ts";
import { openEvidence } from "../evidence-statement.ts";
import { type ClaimRule, judged } from "./claim.ts";

export const closingApproved: ClaimRule = {
  id: "closing-approved",
  title: "Enough officers signed the end: every file, as it is here",
  source: "proved",
  needs: ["files-intact", "plan-possible"],
  check(evidence) {
    const { plan, planHash } = evidence;
    const { envelope, statement } = openEvidence(evidence.bytes(EVIDENCE_FILE));
    const { fleet, kind, mode } = statement.predicate;
    const problems: string[] = [];
    if (
      fleet !== plan.fleet ||
      kind !== plan.kind ||
      mode !== plan.mode ||
      statement.predicate.plan !== planHash
    )
      problems.push("The signed list is of another ceremony.");
    const { quorum, members } = plan.officers;
    const keys = members.map(({ name, publicKey }) => ({ name, key: fromHex(publicKey) }));
    const good: string[] = [];
    for (const signature of envelope.signatures) {
      const officer = keys.find(({ key }) => keyIdOf(key) === signature.keyid);
      if (!officer) problems.push(`Key ${signature.keyid} signed, which is no officer's.`);
      else if (isSignedBy(envelope, officer.key)) good.push(officer.name);
      else problems.push(`The signature of ${officer.name} is not valid.`);
    }
    if (good.length < quorum) problems.push(`${good.length} officers signed; the plan asks for ${quorum}.`);
    return judged(problems, `${good.join(", ")}: ${good.length} of ${members.length}, ${quorum} needed.`);
  },
};

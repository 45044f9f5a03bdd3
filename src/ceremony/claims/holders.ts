/** Every fleet key is in the tokens that shall have it, the same key in all of them, and in no other. */
import { fleetKeys } from "../../keys/fleet-keys.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { membersOf, ROOT } from "../plan.ts";
import { type ClaimRule, type Finding, judged, sameSet } from "./claim.ts";
import { waysOf } from "./ways.ts";

/** Which members hold each fleet key, by the plan. */
function plannedHolders(
  evidence: EvidenceReading,
): readonly { readonly key: string; readonly label: string; readonly holders: readonly string[] }[] {
  return fleetKeys(evidence.shape).map(({ spec, holders }) => ({
    key: spec.name,
    label: spec.label,
    holders: membersOf(evidence.plan)
      .filter(({ seat }) => holders.includes(seat))
      .map(({ name }) => name),
  }));
}

/** What the members that take part answered for a key. */
function answers(evidence: EvidenceReading, key: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    evidence.members.map(({ name }) => {
      const { keys } = evidence.one("prove", name).output;
      return [name, keys.filter((one) => one.key === key).map(({ proof }) => proof)];
    }),
  );
}

function equalAtHolders(evidence: EvidenceReading): readonly Finding[] {
  const compared = evidence.one("compare", ROOT).output.equal;
  return plannedHolders(evidence).map(({ key, holders }): Finding => {
    const answered = answers(evidence, key);
    const here = holders.filter((name) => answered.has(name));
    const problems: string[] = [];
    const given = [...answered].flatMap(([name, proofs]) => proofs.map((proof) => ({ name, proof })));
    for (const { name } of given) if (!holders.includes(name)) problems.push(`${name} has it, and must not.`);
    for (const name of here)
      if (answered.get(name)?.length !== 1) problems.push(`${name} did not answer for it once.`);
    if (new Set(given.map(({ proof }) => proof)).size > 1)
      problems.push("The holders do not have the same key.");
    const told = compared.filter((one) => one.key === key);
    // In a change of a fleet, not every key has a holder that takes part.
    if (here.length === 0 && told.length === 0)
      return { ok: true, detail: "No holder of it takes part.", key };
    if (told.length !== 1 || !sameSet(told[0]?.holders ?? [], here))
      problems.push("The root compared the answers of other holders.");
    // One answer is equal to itself; whether it is the fleet's key is then the word of its token.
    const isAlone = here.length < 2 && holders.length > 1;
    const well = isAlone
      ? `Only ${here.join(", ")} answered, with nobody to compare it with: that it is still the key that was brought there, its token says.`
      : `Equal answers to one nonce at ${here.join(", ")}.`;
    const about = { key, ...(isAlone ? { source: "library-reported" as const } : {}) };
    const [finding] = judged(problems.length > 0 ? [problems.join(" ")] : [], well, about);
    return finding ?? { ok: false, detail: "Nothing was found.", key };
  });
}

function absentElsewhere(evidence: EvidenceReading): readonly Finding[] {
  return evidence.members.map(({ name }): Finding => {
    const { inventory } = evidence.one("verify", name).output;
    const strange = plannedHolders(evidence).filter(
      ({ label, holders }) =>
        !holders.includes(name) &&
        inventory.some((item) => item.label === label || item.label.startsWith(`${label}/`)),
    );
    const lacks = plannedHolders(evidence).filter(({ holders }) => !holders.includes(name));
    const well =
      lacks.length === 0 ? "It holds all keys." : `Without ${lacks.map(({ key }) => key).join(", ")}.`;
    return {
      ok: strange.length === 0,
      station: name,
      source: "library-reported",
      detail:
        strange.length === 0 ? well : `It has ${strange.map(({ key }) => key).join(", ")}, and must not.`,
    };
  });
}

export const holders: ClaimRule = {
  id: "holders",
  title: "Every fleet key is at exactly its holders, and is the same key at all of them",
  // By equal answers to one nonce: stations that lend each other their answers could feign it.
  source: "proved",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("compare"),
  check: (evidence) => [...equalAtHolders(evidence), ...absentElsewhere(evidence), ...waysOf(evidence)],
};

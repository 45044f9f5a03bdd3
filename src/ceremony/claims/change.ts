/** Of ceremonies that change a fleet: what the fleet was before, and that nothing else is changed. */
import { ROOT } from "../plan.ts";
import { unexpectedRoot } from "./certificates.ts";
import { type ClaimRule, judged } from "./claim.ts";
import { destroyedKeys } from "./inventory.ts";

export const predecessor: ClaimRule = {
  id: "predecessor",
  title: "The fleet before was made by a ceremony whose evidence holds",
  source: "proved",
  needs: ["plan-possible"],
  appliesTo: (evidence) => evidence.plan.kind !== "create",
  check(evidence) {
    const { plan, predecessor: before } = evidence;
    if (!before)
      return [
        { ok: false, detail: `Its evidence is not there: ${plan.predecessor?.evidence ?? "not named"}.` },
      ];
    const { reading, failed } = before;
    const problems = failed.map((claim) => `Its evidence does not hold: ${claim}.`);
    // No certificate is made in a change: the root that somebody expects is the one that made the fleet.
    problems.push(...unexpectedRoot(evidence, evidence.keyOf(ROOT)));
    const sha256 = reading.files.get("manifest.json")?.sha256;
    if (sha256 !== plan.predecessor?.manifest) problems.push(`Its manifest is another one: ${sha256}.`);
    const old = reading.plan;
    if (old.fleet !== plan.fleet) problems.push(`It is of the fleet ${old.fleet}.`);
    if (old.mode !== plan.mode) problems.push(`It is of a ${old.mode}.`);
    const same =
      JSON.stringify(old.officers) === JSON.stringify(plan.officers)
        ? "The officers are the same."
        : "Note: the officers are others now.";
    return judged(problems, `“${old.title}” of ${old.date}; its manifest is ${sha256}. ${same}`);
  },
};

export const change: ClaimRule = {
  id: "change",
  title: "Nothing in the fleet is changed but what the plan says",
  source: "proved",
  needs: ["manifest"],
  appliesTo: (evidence) => evidence.plan.kind !== "create",
  check(evidence) {
    const { plan } = evidence;
    const old = evidence.predecessor?.reading.plan;
    const facts = (one: typeof plan | undefined): string =>
      JSON.stringify([one?.threshold, one?.maxAttempts, one?.sites.map(({ name }) => name)]);
    const problems = facts(old) === facts(plan) ? [] : ["The policy or the sites are not those of before."];
    const { site, spare } = plan.change ?? {};
    if (plan.kind === "replace" && old?.spares.find(({ name }) => name === spare)?.for !== site)
      problems.push(`${spare} was not enrolled for ${site}.`);
    const well =
      plan.kind === "replace"
        ? `${spare} takes the place of ${site}; the keys of all other sites are the same as before.`
        : `${site} leaves; the keys of all other sites are the same as before.`;
    return [...judged(problems, well), ...(evidence.has("destroy-keys") ? destroyedKeys(evidence) : [])];
  },
};

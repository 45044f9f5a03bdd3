/** Each step of the plan left one statement, which its station's key signed and which rests on what went before. */
import { isStrongroomError } from "../../base/errors.ts";
import { isSignedBy } from "../dsse.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import type { StepInput } from "../statement.ts";
import type { ActionName, CeremonyStep } from "../steps.ts";
import { type ClaimRule, judged } from "./claim.ts";

/** Steps of a ceremony that makes a fleet, before the station has a key; a later statement vouches for theirs. */
const BEFORE_KEYS: readonly ActionName[] = ["open", "initialise"];

/** What is wrong with the statement of a step, undefined if nothing is. */
function problemOf(evidence: EvidenceReading, { id, station, action }: CeremonyStep): string | undefined {
  try {
    const statement = evidence.statement(id);
    if (statement.step !== id || statement.station !== station || statement.action !== action)
      return `steps/${id}.json is the statement of ${statement.step} at ${statement.station}`;
    const { signatures } = evidence.envelope(id);
    if (evidence.plan.kind === "create" && BEFORE_KEYS.includes(action))
      return signatures.length === 0 ? undefined : `steps/${id}.json is signed before there is a key`;
    if (signatures.length !== 1) return `steps/${id}.json has ${signatures.length} signatures, not one`;
    if (isSignedBy(evidence.envelope(id), evidence.keyOf(station))) return undefined;
    return `steps/${id}.json is not signed by the key of ${station}`;
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    return `steps/${id}.json: ${error.message}`;
  }
}

export const statementsSigned: ClaimRule = {
  id: "statements-signed",
  title: "Every step of the plan has its statement, signed in the token of its station",
  source: "proved",
  needs: ["plan-fixed"],
  check(evidence) {
    const planned = evidence.steps.map(({ id }) => `steps/${id}.json`);
    const problems = [
      ...evidence.steps.flatMap((step) => problemOf(evidence, step) ?? []),
      ...evidence
        .paths("steps")
        .filter((path) => !planned.includes(path))
        .map((path) => `${path} is of no step of the plan`),
    ];
    const unsigned = evidence.plan.kind === "create" ? 2 * evidence.stations.length : 0;
    const note =
      unsigned === 0
        ? ""
        : ` The first ${unsigned} come before there are keys; the next ones vouch for them.`;
    return judged(problems, `${evidence.steps.length} statements.${note}`);
  },
};

/** The statements on which a step rests, by the plan. */
function inputsOf(evidence: EvidenceReading, step: CeremonyStep): readonly StepInput[] {
  const at = evidence.steps.indexOf(step);
  const before = evidence.steps.slice(0, at).filter(({ station }) => station === step.station);
  const own = before.at(-1)?.id;
  return evidence.steps
    .filter(({ id }) => id === own || step.needs.includes(id))
    .map(({ id }) => ({ step: id, sha256: evidence.files.get(`steps/${id}.json`)?.sha256 ?? "" }));
}

export const statementsLinked: ClaimRule = {
  id: "statements-linked",
  title: "Every statement rests on exactly those that the plan says, so that none was exchanged or left out",
  source: "proved",
  needs: ["statements-signed"],
  check(evidence) {
    const problems = evidence.steps.flatMap((step) => {
      const { inputs } = evidence.statement(step.id);
      const wanted = inputsOf(evidence, step);
      if (inputs.length === wanted.length && wanted.every((want, i) => same(want, inputs[i]))) return [];
      const missing = wanted.filter((want) => !inputs.some((input) => same(want, input)));
      const names =
        missing.length > 0 ? missing.map((one) => one.step).join(", ") : "others, or in another order";
      return [`steps/${step.id}.json rests on another set of statements: ${names}`];
    });
    const links = evidence.steps.reduce((sum, { id }) => sum + evidence.statement(id).inputs.length, 0);
    return judged(problems, `${links} links by SHA-256.`);
  },
};

function same(a: StepInput, b: StepInput | undefined): boolean {
  return a.step === b?.step && a.sha256 === b.sha256;
}

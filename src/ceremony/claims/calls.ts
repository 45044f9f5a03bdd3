/** What the stations did is what the plan makes them do: its steps in order, and the calls of the dry run. */

import type { CallArgs, RecordedCall } from "../../token/call-record.ts";
import {
  type CallDeviation,
  describeCall,
  describeDeviation,
  type PlannedCall,
  sameCalls,
  strangeCalls,
} from "../calls.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import type { TranscriptLine } from "../transcript-lines.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

type CallLine = Pick<RecordedCall, "fn" | "args" | "ckr">;

/** Steps begun and ended, in the order of the plan; one that was interrupted begins again. */
function order(evidence: EvidenceReading, station: string): readonly string[] {
  const planned = evidence.steps.filter((step) => step.station === station).map(({ id }) => id);
  const problems: string[] = [];
  let at = 0;
  let isOpen = false;
  for (const line of evidence.transcript(station).lines) {
    const where = `Line ${line.n + 1}`;
    if (line.kind === "step") {
      if (line.step !== planned[at]) problems.push(`${where} begins ${line.step}, not ${planned[at]}.`);
      isOpen = true;
    } else if (line.kind === "done") {
      if (!isOpen || line.step !== planned[at]) problems.push(`${where} ends ${line.step} out of turn.`);
      isOpen = false;
      at += 1;
    } else if (line.kind === "call" && !isOpen) problems.push(`${where} calls ${line.fn} between two steps.`);
    else if (line.kind === "file-in" || line.kind === "file-out") {
      const file = evidence.files.get(`steps/${line.step}.json`);
      if (file?.sha256 !== line.sha256) problems.push(`${where} names another file of ${line.step}.`);
    }
  }
  return problems;
}

/** The calls of each step, for each time that it was begun. */
function attemptsOf(lines: readonly TranscriptLine[]): ReadonlyMap<string, readonly (readonly CallLine[])[]> {
  const attempts = new Map<string, CallLine[][]>();
  let current: CallLine[] | undefined;
  for (const line of lines) {
    if (line.kind === "step") {
      current = [];
      attempts.set(line.step, [...(attempts.get(line.step) ?? []), current]);
    } else if (line.kind === "call") current?.push({ ...line, args: line.args as CallArgs });
  }
  return attempts;
}

/**
 * What differs; of a step that was begun more than once it is told, and explained by that: but an interruption explains
 * no key that is wrapped, copied or made otherwise than by the plan.
 */
function deviations(evidence: EvidenceReading, station: string): readonly Finding[] {
  const planned = evidence.plannedCalls();
  const attempts = attemptsOf(evidence.transcript(station).lines);
  return evidence.steps
    .filter((step) => step.station === station)
    .flatMap(({ id }): readonly Finding[] => {
      const expected: readonly PlannedCall[] = planned.get(id) ?? [];
      const made = attempts.get(id) ?? [];
      const deviation = sameCalls(expected, made.at(-1) ?? []);
      if (!deviation && made.length <= 1) return [];
      if (made.length <= 1)
        return [{ ok: false, station, detail: `${id}, ${describeDeviation(deviation ?? NEVER)}.` }];
      const strange = made.flatMap((calls) => strangeCalls(expected, calls));
      if (strange.length > 0)
        return strange.map((call) => ({
          ok: false,
          station,
          detail: `${id} was begun ${made.length} times, and no attempt at it makes this call: ${describeCall(call)}.`,
        }));
      const calls = made.map((one) => one.length).join(" and ");
      const told = deviation ? ` It deviates: ${describeDeviation(deviation)}.` : "";
      return [
        { ok: true, station, detail: `${id} was begun ${made.length} times, with ${calls} calls.${told}` },
      ];
    });
}

const NEVER: CallDeviation = { at: 0, planned: undefined, recorded: undefined };

export const transcriptFollowsPlan: ClaimRule = {
  id: "transcript-follows-plan",
  title: "The stations took the steps of the plan in their order, and made the calls of its dry run",
  source: "library-reported",
  needs: ["transcript-intact"],
  check: (evidence) =>
    evidence.stations.flatMap((station): readonly Finding[] => {
      const calls = evidence.transcript(station).lines.filter(({ kind }) => kind === "call").length;
      return [
        ...judged(order(evidence, station), `Its steps in order, with ${calls} calls.`, { station }),
        ...deviations(evidence, station),
      ];
    }),
};

/** What each station wrote down while it was at work: whole, in order, and what the plan's dry run says. */
import { isStrongroomError } from "../../base/errors.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { lineHash, type TranscriptLine } from "../transcript-lines.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

/** The hash of each line of a transcript, by the number of lines up to it. */
function hashesOf(evidence: EvidenceReading, station: string): readonly string[] {
  const bytes = evidence.bytes(`transcripts/${station}.jsonl`);
  const hashes: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at);
    hashes.push(lineHash(bytes.subarray(at, end < 0 ? undefined : end)));
    at = end < 0 ? bytes.length : end + 1;
  }
  return hashes;
}

function intact(evidence: EvidenceReading, station: string): readonly Finding[] {
  const { lines } = evidence.transcript(station);
  const hashes = hashesOf(evidence, station);
  let before = 0;
  const problems = evidence.steps
    .filter((step) => step.station === station)
    .flatMap(({ id }) => {
      const { transcript } = evidence.statement(id);
      const wrong: string[] = [];
      if (hashes[transcript.lines - 1] !== transcript.head)
        wrong.push(`${id} was signed over another line ${transcript.lines}.`);
      if (transcript.lines <= before) wrong.push(`${id} was signed before the step that precedes it.`);
      before = transcript.lines;
      return wrong;
    });
  const [start] = lines;
  if (start?.kind !== "start" || start.station !== station || start.fleet !== evidence.plan.fleet)
    problems.push("It is the transcript of another station or fleet.");
  if (lines.filter(({ kind }) => kind === "start").length > 1) problems.push("It starts twice.");
  return judged(problems, `${lines.length} lines in one chain; its key signed the heads.`, { station });
}

export const transcriptIntact: ClaimRule = {
  id: "transcript-intact",
  title: "No line of a transcript was dropped, changed or moved",
  source: "proved",
  needs: ["plan-possible"],
  check: (evidence) =>
    evidence.stations.flatMap((station) => {
      try {
        return intact(evidence, station);
      } catch (error) {
        if (!isStrongroomError(error)) throw error;
        return [{ ok: false, detail: error.message, station }];
      }
    }),
};

export const closed: ClaimRule = {
  id: "closed",
  title: "Every station ended its transcript, and nothing was written after that",
  source: "proved",
  needs: ["transcript-intact", "statements-signed"],
  check: (evidence) =>
    evidence.stations.map((station): Finding => {
      const { head } = evidence.transcript(station);
      const { transcript, time } = evidence.one("close", station);
      const ok = transcript.head === head.head && transcript.lines === head.lines;
      const when = new Date(time).toISOString();
      return {
        ok,
        station,
        detail: ok
          ? `Closed at ${when}, by its clock.`
          : `${head.lines - transcript.lines} lines after the end.`,
      };
    }),
};

export const exceptions: ClaimRule = {
  id: "exceptions",
  title: "What went otherwise than planned is written down, with what was decided",
  source: "officer-stated",
  needs: ["transcript-intact"],
  check(evidence) {
    const found = evidence.stations.flatMap((station) =>
      evidence.transcript(station).lines.flatMap((line) => exceptionOf(station, line)),
    );
    return found.length > 0 ? found : [{ ok: true, detail: "Nothing did." }];
  },
};

function exceptionOf(station: string, line: TranscriptLine): readonly Finding[] {
  if (line.kind !== "exception") return [];
  const ok = line.decided.trim() !== "" && line.by.trim() !== "";
  const decided = ok ? `Decided by ${line.by}: ${line.decided}.` : "Nothing was decided, or by nobody.";
  return [{ ok, station, detail: `Expected: ${line.expected}. Happened: ${line.happened}. ${decided}` }];
}

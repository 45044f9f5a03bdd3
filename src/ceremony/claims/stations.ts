/** Who took part: exactly the stations of the plan, with its devices and its software. */

import type { EvidenceReading } from "../evidence-reading.ts";
import type { PlannedToken } from "../plan.ts";
import { ROOT } from "../plan.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

/** Where a name of a station stands, apart from the steps' ids. */
function* namedStations(evidence: EvidenceReading): Generator<readonly [string, readonly string[]]> {
  const stem = (path: string): string => path.replace(/^[^/]*\//, "").replace(/\.[a-z]+$/, "");
  yield ["The folder of transcripts", evidence.paths("transcripts").map(stem)];
  yield ["The folder of steps", evidence.paths("steps").map((path) => stem(path).split(".")[1] ?? "")];
  if (evidence.has("certify")) {
    yield ["The folder of certificates", evidence.paths("certificates").map(stem)];
    const { certificates } = evidence.one("certify", ROOT).output;
    yield ["The root's list of certificates", [ROOT, ...Object.keys(certificates)]];
  }
  if (evidence.has("challenge")) {
    const { points } = evidence.one("challenge", ROOT).output;
    yield ["The challenge", [ROOT, ...Object.keys(points).map((name) => name.split("/")[0] ?? "")]];
  }
}

export const sites: ClaimRule = {
  id: "sites",
  title:
    "The stations that took part are those of the plan: no site or spare is missing, and there is no other",
  source: "proved",
  needs: ["plan-possible"],
  check(evidence) {
    const problems: string[] = [];
    for (const [where, names] of namedStations(evidence)) {
      const extra = [...new Set(names)].filter((name) => !evidence.stations.includes(name));
      const missing = evidence.stations.filter((name) => !names.includes(name));
      if (extra.length > 0) problems.push(`${where} has ${extra.join(", ")}, which the plan does not have.`);
      if (missing.length > 0) problems.push(`${where} lacks ${missing.join(", ")}.`);
    }
    return judged(problems, `${evidence.stations.join(", ")}.`);
  },
};

/** What the plan says of a station's token. */
function plannedToken(evidence: EvidenceReading, station: string): PlannedToken | undefined {
  return station === ROOT
    ? evidence.plan.root.token
    : evidence.members.find(({ name }) => name === station)?.token;
}

function device(evidence: EvidenceReading, station: string): readonly Finding[] {
  const { token, profile, attestation, software } = evidence.one("open", station).output;
  const planned = plannedToken(evidence, station);
  const problems: string[] = [];
  // What a software token is called changes when it is initialised.
  const initialised = evidence.has("initialise")
    ? evidence.one("initialise", station).output.serial
    : token.serial;
  if (planned?.serial !== undefined && ![token.serial, initialised].includes(planned.serial))
    problems.push(`The device has the serial number ${token.serial}; the plan says ${planned.serial}.`);
  if (!software && initialised !== token.serial)
    problems.push(`The device was ${token.serial} when it was opened, and ${initialised} afterwards.`);
  const wanted = evidence.profile(station).name;
  if (wanted !== profile) problems.push(`It was used as ${profile}; the plan says ${wanted}.`);
  const model = `${token.manufacturer} ${token.model}, firmware ${token.firmware}, serial ${initialised}`;
  const vouched = attestation
    ? `Not attested: an attestation (${attestation.format}) is attached, and this version knows no verifier for it.`
    : "Not attested: nobody but the library says so.";
  return judged(problems, `${model}. ${vouched}`, { station });
}

export const devices: ClaimRule = {
  id: "devices",
  title: "The tokens are the devices of the plan",
  source: "library-reported",
  needs: ["statements-signed"],
  check(evidence) {
    const findings = evidence.stations.flatMap((station) => device(evidence, station));
    const serials = evidence.stations.map((station) => serialOf(evidence, station));
    const twice = evidence.stations.filter((_, i) => serials.indexOf(serials[i] ?? "") !== i);
    return [
      ...findings,
      ...twice.map((station) => ({ ok: false, station, detail: "Another station has the same token." })),
    ];
  },
};

/** The serial number that the token had in the end. */
export function serialOf(evidence: EvidenceReading, station: string): string {
  return evidence.has("initialise")
    ? evidence.one("initialise", station).output.serial
    : evidence.one("open", station).output.token.serial;
}

export const software: ClaimRule = {
  id: "software",
  title: "The tool was the one that the plan names",
  source: "library-reported",
  needs: ["statements-signed", "transcript-intact"],
  check: (evidence) =>
    evidence.stations.flatMap((station) => {
      const { release, digest } = evidence.plan.software;
      const { tool, module } = evidence.one("open", station).output;
      const [start] = evidence.transcript(station).lines;
      const tools = [tool, ...(start?.kind === "start" ? [start.tool] : [])];
      const problems = tools
        .filter((one) => one.release !== release || one.digest !== digest)
        .map((one) => `It was ${one.release} (${one.digest}); the plan says ${release} (${digest}).`);
      const library = `${module.manufacturer} ${module.description} ${module.version}`.trim();
      const well = `${release}, as the tool says of itself. Module: ${library}, SHA-256 ${module.sha256}.`;
      return judged(problems, well, { station });
    }),
};

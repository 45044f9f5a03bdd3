/** How the fleet's keys came to their holders: under transport keys that people compared, and to nobody else. */

import { sha256HexOf } from "../../base/node/sha256.ts";
import { fleetKeys, holdersOf } from "../../keys/fleet-keys.ts";
import { transportBytes } from "../actions/transport.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { fingerprintWords } from "../words.ts";
import { type Finding, judged, sameSet } from "./claim.ts";

/** Each station that wrapped keys: whose transport keys it trusted, and what it wrapped for whom. */
export function waysOf(evidence: EvidenceReading): readonly Finding[] {
  if (!evidence.has("export")) return [];
  return evidence.all("export").flatMap(({ station, output: { packages } }) => {
    const made = fleetKeys(evidence.shape).filter(({ origin }) => evidence.shape.sites[origin] === station);
    const planned = made.flatMap((key) =>
      holdersOf(evidence.shape, key).map((to) => `${key.spec.name} for ${to}`),
    );
    const { trusted, compared } = evidence.one("trust", station).output;
    const destinations = [...new Set(made.flatMap((key) => holdersOf(evidence.shape, key)))];
    const problems: string[] = [];
    if (
      !sameSet(
        packages.map(({ key, to }) => `${key} for ${to}`),
        planned,
      )
    )
      problems.push("It wrapped other keys than the plan says, or for others.");
    if (
      !sameSet(
        trusted.map(({ site }) => site),
        destinations,
      )
    )
      problems.push(`It trusted the transport keys of ${trusted.map(({ site }) => site).join(", ")}.`);
    for (const { site, fingerprint } of trusted.filter((one) => destinations.includes(one.site))) {
      const bytes = transportBytes(evidence.one("make-transport", site).output.transport);
      if (sha256HexOf(bytes) !== fingerprint)
        problems.push(`The transport key that it trusted is not the one of ${site}.`);
      if (compared.find(({ member }) => member === site)?.words !== fingerprintWords(bytes))
        problems.push(`Nobody compared the transport key of ${site}.`);
    }
    const well = `${packages.length} packages, each for a holder whose transport key people compared, as they say.`;
    return judged(problems, well, { station, source: "library-reported" });
  });
}

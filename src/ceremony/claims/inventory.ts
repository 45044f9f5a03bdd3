/** What is in each token: nothing before the ceremony, the planned keys after it, and nothing else. */
import { toHex } from "../../base/bytes.ts";
import {
  carrierLabel,
  fleetKeys,
  keysOfSite,
  originalOf,
  transportKey,
  trustedLabel,
} from "../../keys/fleet-keys.ts";
import { type KeySpec, ROLES } from "../../keys/roles.ts";
import { keyId } from "../../keys/templates.ts";
import { showAttribute } from "../../token/attributes.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import type { InventoryItem } from "../outputs.ts";
import type { Member } from "../plan.ts";
import { isAlone } from "../steps.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";
import { partsOf } from "./keys.ts";

const nameOf = ({ label, class: what, id }: InventoryItem): string =>
  `${what} ${label === "" ? "without a label" : label}${id === undefined ? "" : ` (${id.slice(0, 8)})`}`;

/** The objects of keys, as an inventory has them. */
function objectsOf(evidence: EvidenceReading, { name }: Member, keys: readonly KeySpec[]): readonly string[] {
  const profile = evidence.profile(name);
  return keys.flatMap((spec) =>
    partsOf(evidence, spec, profile).map(({ expect }) =>
      nameOf({
        label: spec.label,
        class: showAttribute("CLASS", expect.CLASS),
        id: toHex(keyId(spec.label)),
      }),
    ),
  );
}

function compareObjects(when: string, found: readonly InventoryItem[], wanted: readonly string[]): string[] {
  const rest = [...wanted];
  const extra = found.map(nameOf).filter((name) => {
    const at = rest.indexOf(name);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return [
    ...(extra.length > 0 ? [`${when} there was ${extra.join(", ")}, which nobody expects.`] : []),
    ...(rest.length > 0 ? [`${when} there was no ${rest.join(", ")}.`] : []),
  ];
}

/** What a step says that it destroyed, against what it should have. */
function compareLabels(what: string, told: readonly string[], wanted: readonly string[]): string[] {
  const missing = wanted.filter((label) => !told.includes(label));
  const extra = told.filter((label) => !wanted.includes(label));
  return [
    ...(missing.length > 0 ? [`${what}: ${missing.join(", ")} was not destroyed.`] : []),
    ...(extra.length > 0 ? [`${what}: ${extra.join(", ")} was destroyed, which nobody expects.`] : []),
  ];
}

function removed(evidence: EvidenceReading, { name, seat, isSpare }: Member): readonly string[] {
  if (!evidence.has("destroy-originals")) return [];
  const { fleet } = evidence.plan;
  const problems = compareLabels("transport key", evidence.one("remove-transport", name).output.removed, [
    transportKey(fleet).label,
  ]);
  const originals = fleetKeys(evidence.shape).filter(({ origin }) => !isSpare && origin === seat);
  if (originals.length === 0) return problems;
  const { trusted, carriers } = evidence.one("trust", name).output;
  return [
    ...problems,
    ...compareLabels(
      "originals",
      evidence.one("destroy-originals", name).output.destroyed,
      originals.map(({ spec }) => originalOf(spec).label),
    ),
    ...compareLabels("trusted keys", evidence.one("remove-trusted", name).output.removed, [
      ...trusted.map(({ site }) => trustedLabel(fleet, site)),
      ...carriers.map((site) => carrierLabel(fleet, site)),
    ]),
  ];
}

function ofMember(evidence: EvidenceReading, member: Member): readonly Finding[] {
  const { name, seat } = member;
  const keys = keysOfSite(evidence.shape, seat);
  const problems: string[] = [];
  if (evidence.has("make-site-keys")) {
    const { before, after } = evidence.one("make-site-keys", name).output;
    const born = keys.filter(({ role }) => isAlone(evidence.plan) || ROLES[role].life === "kept");
    problems.push(...compareObjects("Before the first key", before, []));
    problems.push(...compareObjects("After the first keys", after, objectsOf(evidence, member, born)));
  }
  const wanted = objectsOf(evidence, member, keys);
  const { inventory: final } = evidence.one("verify", name).output;
  problems.push(...compareObjects("In the end", final, wanted), ...removed(evidence, member));
  const before = evidence.has("make-site-keys") ? "Empty before; in" : "In";
  return judged(problems, `${before} the end exactly the ${wanted.length} planned objects.`, {
    station: name,
  });
}

export const inventory: ClaimRule = {
  id: "inventory",
  title: "The tokens were empty before, and hold exactly the planned objects after",
  source: "library-reported",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("verify"),
  check: (evidence) => evidence.members.flatMap((member) => ofMember(evidence, member)),
};

/** A retired site's keys are gone; its identity stays, since it has to sign that they are. */
export function destroyedKeys(evidence: EvidenceReading): readonly Finding[] {
  return evidence.members.flatMap(({ name, seat }) => {
    const { destroyed, inventory: rest } = evidence.one("destroy-keys", name).output;
    const keys = keysOfSite(evidence.shape, seat).filter(({ role }) => role !== "identity");
    const problems = compareLabels(
      "fleet keys",
      destroyed,
      keys.map(({ label }) => label),
    );
    const left = rest.filter(({ label }) => keys.some((key) => label.startsWith(key.label)));
    if (left.length > 0) problems.push(`Still there: ${left.map(nameOf).join(", ")}.`);
    const detail = `Its ${keys.length} keys were destroyed, and none of them is left in the token.`;
    return judged(problems, detail, { station: name, source: "library-reported" });
  });
}

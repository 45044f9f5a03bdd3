/** What an epoch changes, in words, for people who are about to put their name to it. */
import { deltaOf, type EpochDelta, type FactDelta, type KeyDelta } from "../trust/deltas.ts";
import { timeText } from "../trust/state.ts";
import type { AnnouncedFleet, Announcement } from "../wire/announcement.ts";
import { servingSites } from "../wire/manifest.ts";

/** Of digests and keys; the whole of it is in the announcement. */
const short = (value: string): string => (/^[0-9a-f]{32,}$/.test(value) ? `${value.slice(0, 16)}…` : value);

function factText({ what, before, after }: FactDelta): string {
  if (before === undefined) return `${what} ${short(after ?? "")}`;
  return `${what} ${short(before)} → ${after === undefined ? "none" : short(after)}`;
}

function fleetLine(fleet: AnnouncedFleet, isNew: boolean, { facts, keys }: EpochDelta): string {
  const { manifest, status, manifestSha256, evidenceSha256 } = fleet;
  const sites = servingSites(manifest).length;
  const about = `fleet ${manifest.fleet}, ${sites} ${sites === 1 ? "site" : "sites"}`;
  if (isNew) {
    const evidence = evidenceSha256 === undefined ? "no evidence" : `evidence ${short(evidenceSha256)}`;
    return `added      ${about}: ${status}, manifest ${short(manifestSha256)}, ${evidence}`;
  }
  const own = facts.filter((fact) => fact.fleet === manifest.fleet);
  const changes = own.map(factText);
  const others = keys.some((key) => key.fleet === manifest.fleet && /^(?:added|removed)$/.test(key.kind));
  if (others && !own.some(({ what }) => what === "manifest"))
    changes.push("OTHER KEYS under the hash of the same manifest");
  return changes.length === 0
    ? `unchanged  ${about}: ${status}`
    : `changed    ${about}: ${changes.join(", ")}`;
}

/** Keys of fleets come and go with their manifests, which have lines of their own. */
function keyLine({ kind, role, publicKey, fleet }: KeyDelta): readonly string[] {
  if (fleet !== undefined || kind === "unchanged" || kind === "role-changed") return [];
  return [`${kind === "removed" ? "removed    " : "added      "}${role}'s key ${short(publicKey)}`];
}

export function changesBetween(before: Announcement | undefined, after: Announcement): readonly string[] {
  const delta = deltaOf(before, after);
  const names = ({ fleets }: Announcement): ReadonlySet<string> =>
    new Set(fleets.map(({ manifest }) => manifest.fleet));
  const old = before ? names(before) : new Set<string>();
  const now = names(after);
  return [
    ...after.fleets.map((fleet) => fleetLine(fleet, !old.has(fleet.manifest.fleet), delta)),
    ...[...old].filter((name) => !now.has(name)).map((name) => `removed    fleet ${name}`),
    ...delta.keys.flatMap(keyLine),
    `valid until ${timeText(after.validUntil)}`,
  ];
}

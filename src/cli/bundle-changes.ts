/** What an epoch changes, in words, for people who are about to put their name to it. */

import { timeText } from "../trust/state.ts";
import type { AnnouncedFleet, AnnouncedKeys, Announcement } from "../wire/announcement.ts";
import { servingSites } from "../wire/manifest.ts";

const KINDS = { auditors: "auditor's key", operators: "operator's key", logs: "log's key" } as const;

function fleetLine(fleet: AnnouncedFleet, before: AnnouncedFleet | undefined): string {
  const { manifest, status, manifestSha256, evidenceSha256 } = fleet;
  const sites = servingSites(manifest).length;
  const about = `fleet ${manifest.fleet}, ${sites} ${sites === 1 ? "site" : "sites"}`;
  const evidence = evidenceSha256 === undefined ? "no evidence" : `evidence ${evidenceSha256.slice(0, 16)}`;
  if (!before) return `added      ${about}: ${status}, manifest ${manifestSha256.slice(0, 16)}, ${evidence}`;
  const changes = [
    ...(before.status === status ? [] : [`${before.status} → ${status}`]),
    ...(before.manifestSha256 === manifestSha256 ? [] : [`another manifest, ${manifestSha256.slice(0, 16)}`]),
    ...(before.evidenceSha256 === evidenceSha256 ? [] : [evidence]),
  ];
  return changes.length === 0
    ? `unchanged  ${about}: ${status}`
    : `changed    ${about}: ${changes.join(", ")}`;
}

function keyLines(kind: keyof typeof KINDS, before: AnnouncedKeys, after: AnnouncedKeys): readonly string[] {
  const short = (key: string): string => (kind === "logs" ? key : `${key.slice(0, 16)}…`);
  return [
    ...after[kind]
      .filter((key) => !before[kind].includes(key))
      .map((key) => `added      ${KINDS[kind]} ${short(key)}`),
    ...before[kind]
      .filter((key) => !after[kind].includes(key))
      .map((key) => `removed    ${KINDS[kind]} ${short(key)}`),
  ];
}

export function changesBetween(before: Announcement | undefined, after: Announcement): readonly string[] {
  const old = new Map(before?.fleets.map((fleet) => [fleet.manifest.fleet, fleet]));
  const names = new Set(after.fleets.map(({ manifest }) => manifest.fleet));
  const none: AnnouncedKeys = { auditors: [], operators: [], logs: [] };
  return [
    ...after.fleets.map((fleet) => fleetLine(fleet, old.get(fleet.manifest.fleet))),
    ...[...old.keys()].filter((name) => !names.has(name)).map((name) => `removed    fleet ${name}`),
    ...(["auditors", "operators", "logs"] as const).flatMap((kind) =>
      keyLines(kind, before?.keys ?? none, after.keys),
    ),
    `valid until ${timeText(after.validUntil)}`,
  ];
}

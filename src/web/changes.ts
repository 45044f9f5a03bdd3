/** What an announcement changed of the one before it, in sentences. Nothing that matters to a visitor is left out. */
import type { AnnouncedFleet, AnnouncedKeys, Announcement } from "../wire/announcement.ts";
import type { Manifest, ManifestKey } from "../wire/manifest.ts";

export interface Change {
  /** First and anew, taken away, otherwise other, or as before. */
  readonly kind: "added" | "removed" | "changed" | "same";
  readonly text: string;
}

const STATUS_WORDS: Readonly<Record<AnnouncedFleet["status"], string>> = {
  active: "in use for new backups",
  draining: "being emptied: it still recovers, and nothing new goes there",
  revoked: "withdrawn: apps do not talk to it any more",
};

export function statusWords(status: AnnouncedFleet["status"]): string {
  return STATUS_WORDS[status];
}

const KEY_WORDS: readonly (readonly [keyof AnnouncedKeys, string])[] = [
  ["auditors", "auditor's key"],
  ["operators", "operator's key"],
  ["logs", "public record's key"],
];

/** Enough of a key to tell it from others. */
const short = (key: string): string => (key.length > 20 ? `${key.slice(0, 8)}…${key.slice(-8)}` : key);

function keyName({ role, site }: ManifestKey): string {
  return site === undefined ? `${role} key` : `${role} key of ${site}`;
}

/** From one manifest of a fleet to the next. */
function manifestChanges(before: Manifest, after: Manifest): readonly Change[] {
  const changes: Change[] = [];
  const { fleet } = after;
  for (const site of after.sites) {
    const old = before.sites.find(({ name }) => name === site.name);
    if (!old) changes.push({ kind: "added", text: `${fleet}: the site ${site.name} joined.` });
    else if (site.retired && !old.retired)
      changes.push({ kind: "removed", text: `${fleet}: the site ${site.name} left.` });
    else if (old.tokenSerial !== site.tokenSerial)
      changes.push({
        kind: "changed",
        text: `${fleet}: ${site.name} has another device (${old.tokenSerial} → ${site.tokenSerial}).`,
      });
    else if (old.url !== site.url)
      changes.push({ kind: "changed", text: `${fleet}: ${site.name} is reached at ${site.url} now.` });
  }
  for (const { name } of before.sites)
    if (!after.sites.some((site) => site.name === name))
      changes.push({ kind: "removed", text: `${fleet}: the site ${name} is gone.` });
  const has = (manifest: Manifest, key: ManifestKey): boolean =>
    manifest.keys.some(
      ({ role, site, publicKey }) => role === key.role && site === key.site && publicKey === key.publicKey,
    );
  for (const key of before.keys)
    if (!has(after, key))
      changes.push({ kind: "removed", text: `${fleet}: the ${keyName(key)} (${key.kid}) was taken out.` });
  for (const key of after.keys)
    if (!has(before, key))
      changes.push({ kind: "added", text: `${fleet}: the ${keyName(key)} (${key.kid}) was put in.` });
  const [old, now] = [before.policy, after.policy];
  if (old.threshold !== now.threshold)
    changes.push({
      kind: "changed",
      text: `${fleet}: ${now.threshold} sites are needed instead of ${old.threshold}.`,
    });
  if (old.maxAttempts !== now.maxAttempts)
    changes.push({
      kind: "changed",
      text: `${fleet}: ${now.maxAttempts} wrong codes destroy a record, instead of ${old.maxAttempts}.`,
    });
  return changes;
}

function fleetChanges(before: AnnouncedFleet | undefined, after: AnnouncedFleet): readonly Change[] {
  const { fleet, sites } = after.manifest;
  if (!before)
    return [
      {
        kind: "added",
        text: `${fleet} is new, with ${sites.length === 1 ? "one site" : `${sites.length} sites`}: ${statusWords(after.status)}.`,
      },
    ];
  const changes: Change[] =
    before.status === after.status
      ? []
      : [{ kind: "changed", text: `${fleet} is now ${statusWords(after.status)}.` }];
  // Whatever the hash beside it says: clients read the manifest.
  const found = manifestChanges(before.manifest, after.manifest);
  if (found.length > 0) changes.push(...found);
  else if (before.manifestSha256 !== after.manifestSha256)
    changes.push({ kind: "changed", text: `${fleet}: its manifest was made anew.` });
  else if (before.evidenceSha256 !== after.evidenceSha256)
    changes.push({ kind: "changed", text: `${fleet}: another record of its key ceremony is named.` });
  return changes;
}

function trustChanges(before: AnnouncedKeys, after: AnnouncedKeys): readonly Change[] {
  return KEY_WORDS.flatMap(([name, words]) => [
    ...after[name]
      .filter((key) => !before[name].includes(key))
      .map((key): Change => ({ kind: "added", text: `Another ${words} is trusted: ${short(key)}.` })),
    ...before[name]
      .filter((key) => !after[name].includes(key))
      .map((key): Change => ({ kind: "removed", text: `The ${words} ${short(key)} is trusted no more.` })),
  ]);
}

/** @param before undefined for the first that is known */
export function changesOf(before: Announcement | undefined, after: Announcement): readonly Change[] {
  const old = (fleet: string): AnnouncedFleet | undefined =>
    before?.fleets.find(({ manifest }) => manifest.fleet === fleet);
  const changes: Change[] = [
    ...after.fleets.flatMap((fleet) => fleetChanges(old(fleet.manifest.fleet), fleet)),
    ...(before?.fleets ?? [])
      .filter(({ manifest }) => !after.fleets.some((fleet) => fleet.manifest.fleet === manifest.fleet))
      .map(({ manifest }): Change => ({ kind: "removed", text: `${manifest.fleet} is named no more.` })),
    ...(before ? trustChanges(before.keys, after.keys) : []),
  ];
  return changes.length > 0
    ? changes
    : [{ kind: "same", text: "Nothing but its date: it was made to stay valid." }];
}

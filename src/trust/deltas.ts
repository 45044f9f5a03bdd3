/**
 * What each epoch changed, key by key (design §10): the oldest one that is looked at is the baseline, each next one is
 * compared with the one before. A key's role is what its fleet uses it for and whether that fleet takes backups; so a
 * fleet that begins to drain changes the role of all its keys. Runs in browsers.
 */
import type { AnnouncedKeys, Announcement, FleetStatus } from "../wire/announcement.ts";
import type { Manifest, ManifestRole } from "../wire/manifest.ts";

export type DeltaKind = "baseline" | "added" | "removed" | "role-changed" | "unchanged";

/** What a key is for. */
export interface KeyRole {
  readonly role: ManifestRole | "auditor" | "operator" | "log";
  readonly site?: string;
  /** Of its fleet; absent for keys of auditor, operator and log. */
  readonly status?: FleetStatus;
}

export interface KeyDelta extends KeyRole {
  readonly kind: DeltaKind;
  /** Absent for keys of auditor, operator and log. */
  readonly fleet?: string;
  /** Hex; for logs a C2SP vkey. */
  readonly publicKey: string;
  /** What it was for, where its role changed. */
  readonly before?: KeyRole;
}

/** Something of a fleet that is not a key. */
export interface FactDelta {
  readonly fleet: string;
  /** e.g. `status`, `threshold`, `site-a url`. */
  readonly what: string;
  /** Absent where it was not there before. */
  readonly before?: string;
  /** Absent where it is not there any more. */
  readonly after?: string;
}

export interface EpochDelta {
  readonly epoch: number;
  readonly keys: readonly KeyDelta[];
  readonly facts: readonly FactDelta[];
}

interface HeldKey extends KeyRole {
  readonly fleet?: string;
  readonly publicKey: string;
}

const TRUSTED: readonly (readonly [keyof AnnouncedKeys, "auditor" | "operator" | "log"])[] = [
  ["auditors", "auditor"],
  ["operators", "operator"],
  ["logs", "log"],
];

function keysOf({ fleets, keys }: Announcement): readonly HeldKey[] {
  return [
    ...fleets.flatMap(({ status, manifest }) =>
      manifest.keys.map(({ role, site, publicKey }) => ({
        fleet: manifest.fleet,
        status,
        role,
        ...(site === undefined ? {} : { site }),
        publicKey,
      })),
    ),
    ...TRUSTED.flatMap(([list, role]) => keys[list].map((publicKey) => ({ role, publicKey }))),
  ];
}

/** One key may not be used by two fleets, and if it is, it is shown with both. */
const idOf = ({ fleet, publicKey }: HeldKey): string => `${fleet ?? ""} ${publicKey}`;

function roleOf({ role, site, status }: HeldKey): KeyRole {
  return { role, ...(site === undefined ? {} : { site }), ...(status === undefined ? {} : { status }) };
}

function keyDeltas(before: Announcement | undefined, after: Announcement): readonly KeyDelta[] {
  const now = keysOf(after);
  if (!before) return now.map((key) => ({ kind: "baseline", ...key }));
  const old = new Map(keysOf(before).map((key) => [idOf(key), key]));
  const kept = new Set(now.map(idOf));
  return [
    ...now.map((key): KeyDelta => {
      const was = old.get(idOf(key));
      if (!was) return { kind: "added", ...key };
      const same = was.role === key.role && was.site === key.site && was.status === key.status;
      return same ? { kind: "unchanged", ...key } : { kind: "role-changed", ...key, before: roleOf(was) };
    }),
    ...[...old].filter(([id]) => !kept.has(id)).map(([, key]): KeyDelta => ({ kind: "removed", ...key })),
  ];
}

/** All that is said of a fleet but its keys, by name. */
function factsOf({ fleets }: Announcement, fleet: string): ReadonlyMap<string, string> {
  const announced = fleets.find(({ manifest }) => manifest.fleet === fleet);
  if (!announced) return new Map();
  const { status, manifest, manifestSha256, evidenceSha256 } = announced;
  return new Map([
    ["status", status],
    ["manifest", manifestSha256],
    ...(evidenceSha256 === undefined ? [] : [["evidence", evidenceSha256] as const]),
    ...manifestFacts(manifest),
  ]);
}

function manifestFacts({ policy, sites }: Manifest): readonly (readonly [string, string])[] {
  return [
    ["threshold", `${policy.threshold} of ${sites.length}`],
    ["max attempts", `${policy.maxAttempts}`],
    ...sites.flatMap(({ name, url, tokenSerial, retired }): (readonly [string, string])[] => [
      [`${name} url`, url],
      [`${name} token`, tokenSerial],
      ...(retired ? [[`${name} retired`, "yes"] as const] : []),
    ]),
  ];
}

function factDeltas(before: Announcement | undefined, after: Announcement): readonly FactDelta[] {
  const fleets = new Set(
    [before, after].flatMap((one) => one?.fleets.map(({ manifest }) => manifest.fleet) ?? []),
  );
  return [...fleets].flatMap((fleet) => {
    const old = before ? factsOf(before, fleet) : new Map<string, string>();
    const now = factsOf(after, fleet);
    return [...new Set([...now.keys(), ...old.keys()])]
      .filter((what) => old.get(what) !== now.get(what))
      .map((what): FactDelta => {
        const [was, is] = [old.get(what), now.get(what)];
        return {
          fleet,
          what,
          ...(was === undefined ? {} : { before: was }),
          ...(is === undefined ? {} : { after: is }),
        };
      });
  });
}

/** @param before the epoch before it; undefined where it is the baseline */
export function deltaOf(before: Announcement | undefined, after: Announcement): EpochDelta {
  return { epoch: after.epoch, keys: keyDeltas(before, after), facts: factDeltas(before, after) };
}

/** How many keys of each kind. */
export function countKinds({ keys }: EpochDelta): Readonly<Record<DeltaKind, number>> {
  const counts = { baseline: 0, added: 0, removed: 0, "role-changed": 0, unchanged: 0 };
  for (const { kind } of keys) counts[kind]++;
  return counts;
}

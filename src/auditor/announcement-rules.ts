/**
 * What an announcement must be for the auditor to sign it, besides the evidence: it follows from the one before, at the
 * right time, under keys that are trusted already, and changes nothing that may not be changed. No I/O.
 */
import { StrongroomError } from "../base/errors.ts";
import type { AnnouncedFleet, AnnouncedKeys, Announcement } from "../wire/announcement.ts";
import { type AuditPolicy, matches } from "./policy.ts";

export interface AuditedEpoch {
  readonly announcement: Announcement;
  /** SHA-256 (hex) of its exact bytes. */
  readonly digest: string;
}

export interface AnnouncementContext {
  readonly namespace: string;
  /** The newest epoch of the log; undefined before the first. */
  readonly before: AuditedEpoch | undefined;
  /** Fleets that the epoch before left out, as they were announced last; at least those that are announced now. */
  readonly leftOut: readonly AnnouncedFleet[];
  /** Digest that the first epoch must have, where one was agreed. */
  readonly root: string | undefined;
  /** The auditor's audit keys, hex, oldest first: those that it could sign with. */
  readonly auditKeys: readonly string[];
  /** The vkey of its log. */
  readonly logKey: string;
  readonly policy: AuditPolicy;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** Clocks differ. */
const SKEW_MS = 5 * 60_000;
const DAY_MS = 86_400_000;

export function auditorRefused(message: string, hint?: string): StrongroomError {
  return new StrongroomError("auditor-refused", message, hint === undefined ? {} : { hint });
}

/** Keys that are trusted when an epoch is announced: those of the one before it, or its own for the first. */
export function trustedKeys(announcement: Announcement, before: AuditedEpoch | undefined): AnnouncedKeys {
  return before?.announcement.keys ?? announcement.keys;
}

/**
 * The newest of the auditor's keys that clients trust already: a new key signs from the epoch after the one that
 * announced it.
 * @throws auditor-refused where there is none
 */
export function signingKey(
  { auditKeys, before }: Pick<AnnouncementContext, "auditKeys" | "before">,
  announcement: Announcement,
): string {
  const { auditors } = trustedKeys(announcement, before);
  const key = auditKeys.findLast((own) => auditors.includes(own));
  if (key !== undefined) return key;
  throw auditorRefused(
    "no key of this auditor is trusted for this epoch",
    "announce its key one epoch earlier",
  );
}

/** @throws auditor-refused with what is wrong, the first thing of it */
export function checkAnnouncement(
  announcement: Announcement,
  digest: string,
  context: AnnouncementContext,
): void {
  const { namespace, before, root } = context;
  if (announcement.namespace !== namespace)
    throw auditorRefused(`the announcement is of the namespace ${announcement.namespace}`);
  const next = (before?.announcement.epoch ?? 0) + 1;
  if (announcement.epoch !== next)
    throw auditorRefused(`the announcement is of epoch ${announcement.epoch}; the next one is ${next}`);
  if (announcement.previous !== before?.digest)
    throw auditorRefused(
      `the announcement does not name the one before, ${before?.digest}`,
      "`strongroom bundle propose` takes it from the newest bundle",
    );
  if (root !== undefined && before === undefined && root !== digest)
    throw auditorRefused(`the first announcement is not the agreed root ${root}`);
  checkTimes(announcement, context);
  checkKeys(announcement, context);
  for (const fleet of announcement.fleets) checkFleet(fleet, context);
}

function checkTimes(
  { createdAt, validUntil }: Announcement,
  { before, policy, now }: Pick<AnnouncementContext, "before" | "policy" | "now">,
): void {
  if (createdAt > now + SKEW_MS) throw auditorRefused("the announcement was made in the future");
  if (createdAt < (before?.announcement.createdAt ?? 0))
    throw auditorRefused("the announcement was made before the one that it follows");
  if (validUntil <= now) throw auditorRefused("the announcement has expired");
  if (validUntil - createdAt > policy.maxValidityDays * DAY_MS)
    throw auditorRefused(`the announcement is valid for more than ${policy.maxValidityDays} days`);
}

function checkKeys(announcement: Announcement, context: AnnouncementContext): void {
  const { auditKeys, logKey, before, policy } = context;
  signingKey(context, announcement);
  const { keys } = announcement;
  if (!keys.auditors.some((key) => auditKeys.includes(key)))
    throw auditorRefused("the announcement leaves this auditor no key to sign the next epoch with");
  for (const logs of [keys.logs, trustedKeys(announcement, before).logs])
    if (!logs.includes(logKey)) throw auditorRefused(`the announcement does not name this log, ${logKey}`);
  // Whoever had an auditor's and a log's key announced beside these would need this auditor no more. Of its own keys
  // only newer ones may come: one that was left out may have been for a reason.
  const { auditors: known = [], logs: knownLogs = [] } = before?.announcement.keys ?? {};
  const newest = auditKeys.findLastIndex((key) => known.includes(key));
  const own = [...auditKeys.slice(newest + 1), logKey];
  const mayBe = [...own, ...known, ...knownLogs, ...(policy.mayAdd.keys ?? [])];
  const stranger = [...keys.auditors, ...keys.logs].find((key) => !mayBe.includes(key));
  if (stranger !== undefined)
    throw auditorRefused(
      `${stranger} is no key of this auditor or its log, or a retired one, and mayAdd.keys of its policy does not name it`,
    );
}

function named(
  fleets: readonly AnnouncedFleet[],
  { manifest: { fleet } }: AnnouncedFleet,
): AnnouncedFleet | undefined {
  return fleets.find(({ manifest }) => manifest.fleet === fleet);
}

/** A fleet of that name in the epoch before. */
export function sameFleet(
  fleet: AnnouncedFleet,
  before: AuditedEpoch | undefined,
): AnnouncedFleet | undefined {
  return before && named(before.announcement.fleets, fleet);
}

/** One epoch that leaves a fleet out is no way around what holds from one epoch to the next. */
function checkFleet(
  fleet: AnnouncedFleet,
  { before, leftOut, policy }: Pick<AnnouncementContext, "before" | "leftOut" | "policy">,
): void {
  const { manifest, manifestSha256, status } = fleet;
  const old = sameFleet(fleet, before) ?? named(leftOut, fleet);
  const name = `fleet ${manifest.fleet}`;
  if (old?.status === "revoked" && status !== "revoked")
    throw auditorRefused(`${name} was revoked, and stays so`, "announce a new fleet under another name");
  if (old?.evidenceSha256 !== undefined && fleet.evidenceSha256 === undefined && status !== "revoked")
    throw auditorRefused(`${name} had evidence, and has none now`);
  if (old?.manifestSha256 === manifestSha256) {
    // Clients read the manifest in the announcement, and nobody looks at the evidence of this hash again.
    if (JSON.stringify(old.manifest) === JSON.stringify(manifest)) return;
    throw auditorRefused(`${name} has another manifest under the same hash`);
  }
  if (old) {
    if (manifest.predecessor !== old.manifestSha256)
      throw auditorRefused(
        `${name} has another manifest, which does not follow from the one before`,
        "a fleet is changed by a ceremony; another fleet has another name",
      );
  } else if (!matches(policy.mayAdd.fleets, manifest.fleet))
    throw auditorRefused(`${name} may not be added: the policy does not name it`);
  for (const { name: site, url } of manifest.sites)
    if (!matches(policy.mayAdd.hosts, hostOf(url)))
      throw auditorRefused(`${name} may not be added: the policy does not name the host of ${site}, ${url}`);
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : "";
}

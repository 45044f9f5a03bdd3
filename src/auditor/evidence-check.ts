/**
 * Whether the evidence of the announced fleets holds, by the auditor's policy. A fleet that is announced as it was in
 * the epoch before has been looked at then.
 *
 * The plan of a ceremony that changed a fleet says where the evidence before it lies, as a path relative to its own
 * folder. Plans are strangers' words: the folders are laid out anew for the check, as links in a place of their own,
 * and a path that leads out of it is refused.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { summarise } from "../ceremony/claims/summary.ts";
import { verifyEvidence } from "../ceremony/evidence-verify.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import { decodeManifest } from "../wire/manifest.ts";
import { type AuditedEpoch, auditorRefused, sameFleet } from "./announcement-rules.ts";
import type { EvidenceStore } from "./evidence-store.ts";
import { type AuditPolicy, restsOn } from "./policy.ts";

/** Ceremonies before one another; more make a new fleet. */
const MAX_CHAIN = 32;
/** Folders between the evidence and the top of its layout: as many `..` may begin a plan's path. */
const DEPTH = 16;

/**
 * @param work a folder of our own, for links
 * @returns the evidence that belongs to the announcement, by its signed list's SHA-256 (hex), and is to be published
 * @throws auditor-refused with the first claim that does not hold; evidence-invalid, file-failed
 */
export async function checkEvidence(
  fleets: readonly AnnouncedFleet[],
  before: AuditedEpoch | undefined,
  policy: AuditPolicy,
  store: EvidenceStore,
  work: string,
): Promise<readonly string[]> {
  const used: string[] = [];
  for (const fleet of fleets) {
    const id = fleet.evidenceSha256;
    const old = sameFleet(fleet, before);
    if (old?.manifestSha256 === fleet.manifestSha256 && old.evidenceSha256 === id) continue;
    if (id !== undefined) used.push(...(await checkFleet(fleet, id, policy, store, work)));
    else if (policy.evidenceRequired)
      throw auditorRefused(
        `fleet ${fleet.manifest.fleet} brings no evidence of its ceremony`,
        "the policy asks for it (evidenceRequired)",
      );
  }
  return [...new Set(used)];
}

async function checkFleet(
  { manifest, manifestSha256 }: AnnouncedFleet,
  id: string,
  policy: AuditPolicy,
  store: EvidenceStore,
  work: string,
): Promise<readonly string[]> {
  const about = `the evidence of fleet ${manifest.fleet}`;
  const { dir } = store.find(id);
  const bytes = readManifestOf(dir, about);
  if (sha256HexOf(bytes) !== manifestSha256)
    throw auditorRefused(`${about} is of another manifest than the announced one`, "hash the published file");
  // The announcement says it in its own bytes, which clients read; that they say the same is for us to see.
  if (JSON.stringify(decodeManifest(bytes)) !== JSON.stringify(manifest))
    throw auditorRefused(`${about} has a manifest that says otherwise than the announced one`);

  const layout = layOut(id, dir, store, work);
  try {
    const claims = summarise(await verifyEvidence(layout.at, { production: policy.production }));
    for (const claim of claims) {
      const least = policy.claims[claim.id];
      if (least === undefined) continue;
      if (!claim.ok)
        throw auditorRefused(
          `${about} does not hold: ${claim.id}: ${claim.findings.find(({ ok }) => !ok)?.detail ?? ""}`,
          "`strongroom evidence verify` says the same of it, and more",
        );
      const weak = claim.sources.find((source) => !restsOn(source, least));
      if (weak !== undefined)
        throw auditorRefused(`${about}: ${claim.id} is ${weak}, and the policy asks for ${least}`);
    }
  } finally {
    rmSync(layout.root, { recursive: true, force: true });
  }
  return layout.used;
}

function readManifestOf(dir: string, about: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(join(dir, "manifest.json")));
  } catch (cause) {
    throw new StrongroomError("auditor-refused", `${about} has no manifest.json`, { cause });
  }
}

/** Links to the evidence and to all before it, where the plans look for them. */
function layOut(
  id: string,
  dir: string,
  store: EvidenceStore,
  work: string,
): { readonly root: string; readonly at: string; readonly used: readonly string[] } {
  const root = join(work, randomBytes(8).toString("hex"));
  const at = join(root, ...Array.from({ length: DEPTH }, () => "d"), "evidence");
  const used: string[] = [];
  try {
    let [place, folder, own] = [at, dir, id];
    for (let left = MAX_CHAIN; ; left--) {
      if (left === 0) throw auditorRefused("the ceremonies before have no beginning");
      link(root, place, folder);
      used.push(own);
      const past = predecessorIn(folder);
      if (!past) return { root, at, used };
      const before = store.findByManifest(past.manifest);
      if (!before)
        throw auditorRefused(
          `the evidence of the ceremony before is not there: its manifest is ${past.manifest}`,
          "hand it in under the hash of its own signed list",
        );
      [place, folder, own] = [join(place, past.evidence), before.dir, before.id];
    }
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
}

function predecessorIn(folder: string): { readonly manifest: string; readonly evidence: string } | undefined {
  try {
    return readPlan(join(folder, "plan.yaml")).plan.predecessor;
  } catch (error) {
    // A plan that cannot be read fails the claims, which say why.
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

function link(root: string, place: string, folder: string): void {
  const refuse = (): StrongroomError =>
    auditorRefused(
      "the plan's path to the evidence before it leads elsewhere",
      "lay the folders side by side",
    );
  if (!place.startsWith(root + sep)) throw refuse();
  // Nothing may be made through a link: that would be inside somebody's evidence.
  for (let above = dirname(place); above !== root; above = dirname(above)) {
    const stat = lstatSync(above, { throwIfNoEntry: false });
    if (stat && !stat.isDirectory()) throw refuse();
  }
  if (lstatSync(place, { throwIfNoEntry: false })) throw refuse();
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(folder, place, "dir");
}

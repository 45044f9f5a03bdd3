/**
 * The evidence of all fleets that were ever announced, judged anew: by the auditor's own policy where it is given, else
 * every claim has to hold on something. Evidence is fetched to a folder of its own, and only what hashes to its list.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { checkEvidence } from "../auditor/evidence-check.ts";
import { EvidenceStore } from "../auditor/evidence-store.ts";
import type { AuditPolicy } from "../auditor/policy.ts";
import { fromUtf8 } from "../base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { CLAIM_IDS } from "../ceremony/claims/claim.ts";
import {
  isAttachment,
  isListed,
  MAX_EVIDENCE_FILE_BYTES,
  MAX_EVIDENCE_FILES,
} from "../ceremony/evidence-files.ts";
import { refused } from "../trust/refusal.ts";
import type { TrustSource } from "../trust/source.ts";
import type { WalkedLog } from "../trust/walk.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import type { AuditPlace } from "./audit-source.ts";

export interface JudgedEvidence {
  readonly fleet: string;
  /** Hex; absent where the fleet was announced without evidence. */
  readonly evidenceSha256?: string;
  /** Where it was announced first. */
  readonly epoch: number;
  readonly refusal?: StrongroomError;
}

/** Every claim, on whatever it rests; whoever wants more gives the auditor's policy. */
export const ANY_EVIDENCE: AuditPolicy = {
  production: false,
  evidenceRequired: false,
  maxValidityDays: 3_660,
  mayAdd: { fleets: ["*"], hosts: ["*"] },
  claims: Object.fromEntries(CLAIM_IDS.map((id) => [id, "officer-stated"])),
};

const MAX_LISTING_BYTES = 16 << 20;
/** Films are possible; hours of them are not fetched for a check. */
const MAX_ATTACHMENT_BYTES = 512 << 20;

const listingSchema = z.strictObject({
  files: z
    .array(
      z.strictObject({
        path: z.string().refine(isListed, "is no file of evidence"),
        size: z.number().int().nonnegative().max(MAX_ATTACHMENT_BYTES),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .max(MAX_EVIDENCE_FILES),
});

const missing = (what: string): StrongroomError => refused("evidence-mismatch", `${what} is not published`);

/** @throws bundle-refused (evidence-mismatch); what the source throws */
async function fetchEvidence(source: TrustSource, folder: string, to: string): Promise<void> {
  const list = await source.get(`${folder}/files.json`, MAX_LISTING_BYTES);
  if (!list) throw missing(folder);
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(list));
  } catch (cause) {
    throw refused("evidence-mismatch", `${folder}/files.json is not JSON`, cause);
  }
  const listing = listingSchema.safeParse(value);
  if (!listing.success) throw refused("evidence-mismatch", `${folder}/files.json is no list of files`);
  for (const { path, size, sha256 } of listing.data.files) {
    const limit = isAttachment(path) ? MAX_ATTACHMENT_BYTES : MAX_EVIDENCE_FILE_BYTES;
    const bytes = size <= limit ? await source.get(`${folder}/files/${path}`, size) : undefined;
    if (!bytes) throw missing(path);
    if (bytes.length !== size || sha256HexOf(bytes) !== sha256)
      throw refused("evidence-mismatch", `${path} is not the one that is listed`);
    await writeDurably(join(to, "files", path), bytes);
  }
}

/** Each fleet as often as it was announced with something else. */
function announcedFleets({
  epochs,
}: WalkedLog): readonly { readonly epoch: number; readonly fleet: AnnouncedFleet }[] {
  const found = new Map<string, { readonly epoch: number; readonly fleet: AnnouncedFleet }>();
  for (const { epoch, announcement, refusal } of epochs)
    for (const fleet of (!refusal && announcement?.fleets) || []) {
      // The manifest itself: clients read that one, whatever hash stands beside it.
      const key = JSON.stringify([fleet.manifest, fleet.manifestSha256, fleet.evidenceSha256]);
      if (!found.has(key)) found.set(key, { epoch, fleet });
    }
  return [...found.values()];
}

/** What is wrong with evidence is never the auditor's refusal here, but that it is not what was announced. */
function asMismatch(error: unknown): StrongroomError {
  if (isStrongroomError(error, "bundle-refused")) return error;
  const codes = ["auditor-refused", "evidence-invalid", "file-failed", "manifest-invalid", "decode-failed"];
  if (!isStrongroomError(error) || !codes.includes(error.code)) throw error;
  return refused("evidence-mismatch", error.message, error);
}

/** @throws what the source throws; refusals are in the result */
export async function judgeEvidence(
  { source, dir: mirror }: AuditPlace,
  namespace: string,
  walked: WalkedLog,
  policy: AuditPolicy,
): Promise<readonly JudgedEvidence[]> {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-evidence-"));
  try {
    const all = announcedFleets(walked);
    const published =
      mirror === undefined ? join(dir, "evidence") : join(mirror, "log", namespace, "evidence");
    const failed = new Map<string, StrongroomError>();
    const wanted = mirror === undefined ? all.flatMap(({ fleet }) => fleet.evidenceSha256 ?? []) : [];
    for (const id of new Set(wanted))
      await fetchEvidence(source, `log/${namespace}/evidence/${id}`, join(published, id)).catch(
        (error: unknown) => failed.set(id, asMismatch(error)),
      );
    const store = new EvidenceStore(join(dir, "waiting"), published);
    const judged: JudgedEvidence[] = [];
    for (const { epoch, fleet } of all) {
      const { evidenceSha256: id, manifest } = fleet;
      const about = { fleet: manifest.fleet, epoch, ...(id === undefined ? {} : { evidenceSha256: id }) };
      const lacking = id === undefined ? undefined : failed.get(id);
      const refusal =
        lacking ??
        (await checkEvidence([fleet], undefined, policy, store, join(dir, "work")).then(
          () => undefined,
          asMismatch,
        ));
      judged.push({ ...about, ...(refusal ? { refusal } : {}) });
    }
    return judged;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

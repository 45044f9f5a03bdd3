/**
 * Evidence of ceremonies that a visitor let fall on the page: files in memory, with the paths that they had in what was
 * dropped. Nothing is sent anywhere; the claims and the report are those of `strongroom evidence verify`.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { checkClaims } from "../ceremony/claims/all.ts";
import type { Claim } from "../ceremony/claims/claim.ts";
import {
  EVIDENCE_FILE,
  type EvidenceFile,
  type EvidenceFiles,
  isAttachment,
  isListed,
  MAX_EVIDENCE_FILE_BYTES,
  MAX_EVIDENCE_FILES,
} from "../ceremony/evidence-files.ts";
import { type EvidenceSource, readingOf } from "../ceremony/evidence-judge.ts";
import type { EvidenceQuestions } from "../ceremony/evidence-reading.ts";
import { reportHtml } from "../ceremony/report.ts";

/** A file somewhere in what was dropped. */
export interface FoundFile {
  /** With slashes, from what was dropped downwards. */
  readonly path: string;
  readonly blob: Blob;
}

export interface JudgedEvidence {
  /** The folder, as it was dropped; "" for files without one. */
  readonly folder: string;
  readonly claims: readonly Claim[];
  /** The whole page of the report. */
  readonly report: string;
  /** SHA-256 of evidence.dsse.json and of the manifest, hex: what an announcement names. */
  readonly evidenceSha256: string | undefined;
  readonly manifestSha256: string | undefined;
}

/** What lies at the top of evidence. */
const ROOT = /^(?<folder>(?:.*\/)?)(?:plan\.yaml|evidence\.dsse\.json)$/;

/** Folders that are evidence of a ceremony, the files of each by their paths in it. */
type Folders = ReadonlyMap<string, EvidenceFiles>;

/** Without `.` and `..`, which must not lead out. */
function normal(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

/** Attachments may be films: they are hashed, and never held in memory. */
async function streamed(blob: Blob): Promise<EvidenceFile> {
  const hash = sha256.create();
  const reader = blob.stream().getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) hash.update(piece.value);
  return { sha256: toHex(hash.digest()), size: blob.size, bytes: undefined };
}

/** @throws evidence-invalid for one that is too large */
async function readOne(path: string, blob: Blob): Promise<EvidenceFile> {
  if (isAttachment(path)) return streamed(blob);
  if (blob.size > MAX_EVIDENCE_FILE_BYTES)
    throw new StrongroomError("evidence-invalid", `${path} is too large`);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return { sha256: toHex(sha256(bytes)), size: bytes.length, bytes };
}

/** @throws evidence-invalid for too many or too large files */
async function read(found: readonly FoundFile[]): Promise<Folders> {
  const roots = new Set(found.flatMap(({ path }) => ROOT.exec(path)?.groups?.folder ?? []));
  const folders = new Map<string, EvidenceFiles>();
  for (const folder of roots) {
    const listed = found
      .filter(({ path }) => path.startsWith(folder) && isListed(path.slice(folder.length)))
      .map(({ path, blob }) => ({ path: path.slice(folder.length), blob }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    if (listed.length > MAX_EVIDENCE_FILES) throw new StrongroomError("evidence-invalid", "too many files");
    const files = new Map<string, EvidenceFile>();
    for (const { path, blob } of listed) files.set(path, await readOne(path, blob));
    folders.set(folder.slice(0, -1), files);
  }
  return folders;
}

function sourceOf(folders: Folders, folder: string): EvidenceSource | undefined {
  const files = folders.get(folder);
  return (
    files && {
      files,
      before(path) {
        const past = normal(`${folder}/${path}`);
        return past === undefined ? undefined : sourceOf(folders, past);
      },
    }
  );
}

/**
 * Every ceremony's evidence that is in what was dropped. That of a change finds the evidence before it where its plan
 * says, if that was dropped with it.
 * @throws evidence-invalid where there is no evidence at all, or no order in it
 */
export async function judgeFiles(
  found: readonly FoundFile[],
  questions: EvidenceQuestions = {},
): Promise<readonly JudgedEvidence[]> {
  const folders = await read(found);
  if (folders.size === 0)
    throw new StrongroomError("evidence-invalid", "no evidence of a ceremony is among these files", {
      hint: `drop the folder that has plan.yaml and ${EVIDENCE_FILE} in it`,
    });
  const judged: JudgedEvidence[] = [];
  for (const [folder, files] of folders) {
    const source = sourceOf(folders, folder);
    if (!source) continue;
    const reading = await readingOf(source, questions);
    const claims = checkClaims(reading);
    judged.push({
      folder,
      claims,
      report: reportHtml(reading, claims),
      evidenceSha256: files.get(EVIDENCE_FILE)?.sha256,
      manifestSha256: files.get("manifest.json")?.sha256,
    });
  }
  return judged;
}

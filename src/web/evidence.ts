/**
 * Evidence of ceremonies that a visitor let fall on the page: files in memory, with the paths that they had in what was
 * dropped. Nothing is sent anywhere; the claims and the report are those of `strongroom evidence verify`.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { toHex } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
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
import { openEvidence } from "../ceremony/evidence-statement.ts";
import type { CeremonyPlan } from "../ceremony/plan.ts";
import { decodePlan } from "../ceremony/plan-file.ts";
import { reportHtml } from "../ceremony/report.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";

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
  /** SHA-256, hex, of the list that the officers signed: what an announcement names it by. */
  readonly evidenceSha256: string | undefined;
  /** SHA-256 of the manifest's file, hex. */
  readonly manifestSha256: string | undefined;
  /** What the file says: an announcement names its hash, and carries a manifest of its own that clients read. */
  readonly manifest: Manifest | undefined;
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

/** Undefined where there is no list that can be read, which a claim says. */
function signedHash(files: EvidenceFiles): string | undefined {
  const bytes = files.get(EVIDENCE_FILE)?.bytes;
  if (!bytes) return undefined;
  try {
    return toHex(sha256(openEvidence(bytes).envelope.payload));
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

function manifestIn(files: EvidenceFiles): Manifest | undefined {
  const bytes = files.get("manifest.json")?.bytes;
  if (!bytes) return undefined;
  try {
    return decodeManifest(bytes);
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

async function judgeFolder(
  folders: Folders,
  folder: string,
  questions: EvidenceQuestions,
): Promise<JudgedEvidence | undefined> {
  const source = sourceOf(folders, folder);
  if (!source) return undefined;
  const reading = await readingOf(source, questions);
  const claims = checkClaims(reading);
  return {
    folder,
    claims,
    report: reportHtml(reading, claims),
    evidenceSha256: signedHash(source.files),
    manifestSha256: source.files.get("manifest.json")?.sha256,
    manifest: manifestIn(source.files),
  };
}

const noEvidence = (message: string): StrongroomError =>
  new StrongroomError("evidence-invalid", message, {
    hint: `drop the folder that has plan.yaml and ${EVIDENCE_FILE} in it`,
  });

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
  if (folders.size === 0) throw noEvidence("no evidence of a ceremony is among these files");
  const judged: JudgedEvidence[] = [];
  for (const folder of folders.keys()) {
    const one = await judgeFolder(folders, folder, questions);
    if (one) judged.push(one);
  }
  return judged;
}

/** Evidence as an auditor publishes it, by the hash of its signed list. */
export interface PublishedEvidence {
  /** Paths are relative to the evidence; undefined where it is not published. */
  files(evidenceSha256: string): Promise<readonly FoundFile[] | undefined>;
  /** The evidence that was announced with a manifest. */
  ofManifest(manifestSha256: string): string | undefined;
}

/** As the auditor lays it out: plans name the evidence before them relative to their own, which lies deep enough for that. */
const PLACE: string = `${"d/".repeat(16)}evidence`;
const MAX_CHAIN = 32;

/**
 * The evidence of an announced fleet, with that of the ceremonies before it.
 * @throws evidence-invalid where it is not published
 */
export async function judgePublished(
  evidenceSha256: string,
  published: PublishedEvidence,
): Promise<JudgedEvidence> {
  const found: FoundFile[] = [];
  let [id, place]: [string | undefined, string] = [evidenceSha256, PLACE];
  for (let left = MAX_CHAIN; id !== undefined && left > 0; left--) {
    const files = await published.files(id);
    if (!files) break;
    found.push(...files.map(({ path, blob }) => ({ path: `${place}/${path}`, blob })));
    const past = await predecessorIn(files);
    const next = past && normal(`${place}/${past.evidence}`);
    if (!past || next === undefined) break;
    [id, place] = [published.ofManifest(past.manifest), next];
  }
  const judged = await judgeFolder(await read(found), PLACE, {});
  if (!judged) throw noEvidence("the evidence is not published");
  return judged;
}

/** Undefined for a plan that cannot be read, which a claim says. */
async function predecessorIn(files: readonly FoundFile[]): Promise<CeremonyPlan["predecessor"]> {
  const plan = files.find(({ path }) => path === "plan.yaml");
  if (!plan) return undefined;
  try {
    return decodePlan(new Uint8Array(await plan.blob.arrayBuffer()), "plan.yaml").predecessor;
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

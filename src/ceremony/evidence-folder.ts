/**
 * The files of a ceremony's directory that are its evidence. A rehearsal's directory also has the tokens, and any has
 * what people put there: nothing but the layout is read, hashed or published.
 */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import {
  type EvidenceFile,
  type EvidenceFiles,
  evidenceFile,
  isAttachment,
  isListed,
  MAX_EVIDENCE_FILE_BYTES,
  MAX_EVIDENCE_FILES,
} from "./evidence-files.ts";

const FOLDERS: readonly string[] = ["approvals", "steps", "transcripts", "certificates", "attachments"];

function failed(path: string, cause: unknown): StrongroomError {
  return new StrongroomError("file-failed", `cannot read ${path}`, { cause });
}

/** Paths of plain files below `dir`, with slashes. @throws evidence-invalid for links and the like */
function walk(dir: string, folder: string, depth: number): readonly string[] {
  return readdirSync(join(dir, folder)).flatMap((name) => {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (folder === "" && !FOLDERS.includes(name) && !isListed(name)) return [];
    const stat = lstatSync(join(dir, path));
    if (stat.isFile()) return [path];
    if (!stat.isDirectory())
      // A link could make a file that nobody sees part of what is signed.
      throw new StrongroomError("evidence-invalid", `${path} is neither a file nor a folder`);
    return depth > 0 ? walk(dir, path, depth - 1) : [];
  });
}

function streamed(path: string): EvidenceFile {
  const file = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    const chunk = Buffer.alloc(1 << 20);
    let size = 0;
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      hash.update(chunk.subarray(0, read));
      size += read;
    }
    return { sha256: hash.digest("hex"), size, bytes: undefined };
  } finally {
    closeSync(file);
  }
}

/** @throws evidence-invalid for one that is too large; file-failed */
function readOne(dir: string, path: string): EvidenceFile {
  const at = join(dir, path);
  try {
    if (isAttachment(path)) return streamed(at);
    const { size } = lstatSync(at);
    if (size > MAX_EVIDENCE_FILE_BYTES) throw new StrongroomError("evidence-invalid", `${path} is too large`);
    return evidenceFile(Uint8Array.from(readFileSync(at)));
  } catch (error) {
    if (error instanceof StrongroomError) throw error;
    throw failed(at, error);
  }
}

/**
 * Paths of all that is evidence in a ceremony's directory, and of the signed list itself where it is there.
 * @throws evidence-invalid for links, and for too many files; file-failed
 */
export function evidencePaths(dir: string): readonly string[] {
  let paths: readonly string[];
  try {
    paths = walk(dir, "", 5);
  } catch (error) {
    if (error instanceof StrongroomError) throw error;
    throw failed(dir, error);
  }
  const wanted = paths.filter(isListed).sort();
  if (wanted.length > MAX_EVIDENCE_FILES) throw new StrongroomError("evidence-invalid", "too many files");
  return wanted;
}

/**
 * All of these files.
 * @throws evidence-invalid for links, and for too many or too large files; file-failed, also where there are none
 */
export function readEvidenceFiles(dir: string): EvidenceFiles {
  const paths = evidencePaths(dir);
  if (paths.length === 0)
    throw new StrongroomError("file-failed", `${dir} has no evidence of a ceremony`, {
      hint: "name the ceremony's directory, or the folder that `strongroom evidence build --out` made",
    });
  return new Map(paths.map((path) => [path, readOne(dir, path)]));
}

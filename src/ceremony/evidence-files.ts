/** Which files are the evidence of a ceremony, and how large they may be. */
import { sha256HexOf } from "../base/node/sha256.ts";

export interface EvidenceFile {
  /** SHA-256, hex. */
  readonly sha256: string;
  readonly size: number;
  /** Attachments may be films: they are hashed, and never held in memory. */
  readonly bytes: Uint8Array | undefined;
}

/** By path with slashes, sorted. */
export type EvidenceFiles = ReadonlyMap<string, EvidenceFile>;

/** The signed list of all other files. */
export const EVIDENCE_FILE = "evidence.dsse.json";

export const MAX_EVIDENCE_FILES = 10_000;
/** Of a file that is no attachment. */
export const MAX_EVIDENCE_FILE_BYTES: number = 64 << 20;
const NAME = "[A-Za-z0-9][A-Za-z0-9._ -]{0,127}";
const ATTACHMENT = new RegExp(`^attachments(?:/${NAME}){1,4}$`);
const LAYOUT: readonly RegExp[] = [
  /^plan\.yaml$/,
  /^manifest\.json$/,
  /^manifest\.sig\.json$/,
  new RegExp(`^approvals/${NAME}\\.json$`),
  new RegExp(`^steps/${NAME}\\.json$`),
  new RegExp(`^transcripts/${NAME}\\.jsonl$`),
  new RegExp(`^certificates/${NAME}\\.pem$`),
  ATTACHMENT,
];

/** May a file of that path be part of evidence? */
export function isEvidencePath(path: string): boolean {
  return path.length <= 512 && LAYOUT.some((pattern) => pattern.test(path));
}

/** May it be there at all: part of the evidence, or the signed list? */
export function isListed(path: string): boolean {
  return path === EVIDENCE_FILE || isEvidencePath(path);
}

/** Something of any size that officers added. */
export function isAttachment(path: string): boolean {
  return ATTACHMENT.test(path);
}

/** A file of which the bytes are there. */
export function evidenceFile(bytes: Uint8Array): EvidenceFile {
  return { sha256: sha256HexOf(bytes), size: bytes.length, bytes };
}

/** Puts the evidence of a ceremony together: checks it, lists its files, and lets officers sign the list. */
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { equal, fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { writeDurablySync } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { checkClaims } from "./claims/all.ts";
import { addSignature, type Envelope, type EnvelopeSigner, encodeEnvelope, keyIdOf } from "./dsse.ts";
import { EVIDENCE_FILE } from "./evidence-files.ts";
import { readEvidenceFiles } from "./evidence-folder.ts";
import { failedClaims } from "./evidence-judge.ts";
import type { EvidenceReading } from "./evidence-reading.ts";
import { listEvidence, openEvidence } from "./evidence-statement.ts";
import { readEvidence } from "./evidence-verify.ts";

export interface BuiltEvidence {
  /** unchanged: the list was there already, and says the same; its signatures stay. */
  readonly state: "created" | "unchanged";
  readonly files: number;
  /** Of the signed payload, hex: what officers compare before they sign. */
  readonly sha256: string;
}

/**
 * Writes `evidence.dsse.json`, without signatures.
 * @throws evidence-invalid, and nothing is written, where a claim does not hold that needs no signature of it, or
 *   where there is a list that says something else; file-failed
 */
export async function buildEvidence(dir: string): Promise<BuiltEvidence> {
  const { envelope, state } = listOf(await readEvidence(dir));
  if (state === "created") writeDurablySync(join(dir, EVIDENCE_FILE), encodeEnvelope(envelope));
  const { subject } = openEvidence(encodeEnvelope(envelope)).statement;
  return { state, files: subject.length, sha256: sha256HexOf(envelope.payload) };
}

/** The list of a ceremony that holds, with the signatures that it has. @throws evidence-invalid */
function listOf(reading: EvidenceReading): {
  readonly envelope: Envelope;
  readonly state: BuiltEvidence["state"];
} {
  const failed = failedClaims(checkClaims(reading, ["files-intact", "closing-approved"]));
  if (failed.length > 0)
    throw new StrongroomError("evidence-invalid", `this is no evidence of the plan: ${failed.join(", ")}`, {
      hint: "`strongroom evidence verify` says what is wrong with each; nothing was written",
    });
  const envelope = listEvidence(reading.files, reading.plan);
  const old = reading.files.get(EVIDENCE_FILE)?.bytes;
  if (old === undefined) return { envelope, state: "created" };
  const signed = openEvidence(old).envelope;
  if (equal(signed.payload, envelope.payload)) return { envelope: signed, state: "unchanged" };
  throw new StrongroomError("evidence-invalid", `${EVIDENCE_FILE} is there, and lists other files`, {
    hint: "somebody changed a file after it was written; if that was meant, take the list away and sign anew",
  });
}

/**
 * Adds officers' signatures, and makes the list if there is none yet. What is signed is looked at once more before: the
 * folder as it is now, so that nobody signs what was changed after it was listed.
 * @returns how many have signed
 * @throws evidence-invalid for a key that is no officer's, for files that are not those of the list, and where a claim
 *   does not hold; file-failed
 */
export async function addOfficerSignature(
  dir: string,
  ...officers: readonly EnvelopeSigner[]
): Promise<number> {
  const reading = await readEvidence(dir);
  const { members } = reading.plan.officers;
  for (const { publicKey } of officers)
    if (!members.some((member) => equal(fromHex(member.publicKey), publicKey)))
      throw new StrongroomError("evidence-invalid", `key ${keyIdOf(publicKey)} is no officer's of the plan`);
  let { envelope } = listOf(reading);
  for (const officer of officers) envelope = await addSignature(envelope, officer);
  writeDurablySync(join(dir, EVIDENCE_FILE), encodeEnvelope(envelope));
  return envelope.signatures.length;
}

/**
 * Copies the evidence, and nothing else of the directory, into a new folder that can be published.
 * @throws file-failed, also where the folder is there already
 */
export function copyEvidence(dir: string, to: string): number {
  if (existsSync(to))
    throw new StrongroomError("file-failed", `${to} is there already`, {
      hint: "name a folder that is not there",
    });
  const paths = [...readEvidenceFiles(dir).keys()];
  try {
    for (const path of paths) {
      mkdirSync(dirname(join(to, path)), { recursive: true });
      copyFileSync(join(dir, path), join(to, path));
    }
  } catch (cause) {
    throw new StrongroomError("file-failed", `cannot write the evidence to ${to}`, { cause });
  }
  return paths.length;
}

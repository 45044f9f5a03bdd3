/**
 * Evidence of a ceremony that never took place: every statement as a real one has it, signed by keys that the test
 * holds. So a test can put one false thing into the evidence and sign it properly, and see that this alone is found.
 * Real evidence, from tokens, is in evidence-rehearsal.test.ts.
 */
import { stringify } from "yaml";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import {
  approvalPath,
  type ManifestSignature,
  signApproval,
  signManifest,
} from "../../src/ceremony/approvals.ts";
import { type Envelope, encodeEnvelope, signEnvelope } from "../../src/ceremony/dsse.ts";
import { EVIDENCE_FILE, type EvidenceFiles, evidenceFile } from "../../src/ceremony/evidence-files.ts";
import { listEvidence } from "../../src/ceremony/evidence-statement.ts";
import type { ActionOutputs } from "../../src/ceremony/outputs.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { encodeStatement, STEP_PAYLOAD, type StepStatement } from "../../src/ceremony/statement.ts";
import { type ActionName, type CeremonyStep, stepsOf } from "../../src/ceremony/steps.ts";
import {
  encodeLine,
  lineHash,
  type TranscriptEntry,
  type TranscriptHead,
} from "../../src/ceremony/transcript-lines.ts";
import { encodeManifest, type Manifest } from "../../src/wire/manifest.ts";
import type { PaperOutputs } from "./paper-outputs.ts";
import type { PaperOfficer } from "./signers.ts";

const NOW = Date.UTC(2026, 5, 1, 9);

/** Where a test may put something false in; everything after it is signed as if it were true. */
export interface Falsehoods {
  /** The output of a step. */
  readonly output?: (output: unknown, step: CeremonyStep) => unknown;
  /** The statement of a step. */
  readonly statement?: (statement: StepStatement, step: CeremonyStep) => StepStatement;
  /** The signed statement of a step. */
  readonly envelope?: (envelope: Envelope, step: CeremonyStep) => Envelope;
  /** Lines of a step's transcript, before they are chained. */
  readonly lines?: (lines: readonly TranscriptEntry[], step: CeremonyStep) => readonly TranscriptEntry[];
  readonly manifest?: (manifest: Manifest) => Manifest;
  readonly manifestSignature?: (signature: ManifestSignature) => ManifestSignature;
  /** Files, before officers sign their list. */
  readonly files?: (files: Map<string, Uint8Array>) => void;
  /** Indices of officers that approve and that sign the end; all by default. */
  readonly approving?: readonly number[];
  readonly closing?: readonly number[];
}

export type PaperFiles = ReadonlyMap<string, Uint8Array>;

/** As `readEvidenceFiles` gives them. */
export function asEvidence(files: PaperFiles): EvidenceFiles {
  return new Map(
    [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, bytes]) => [path, evidenceFile(bytes)]),
  );
}

interface Station {
  readonly lines: string[];
  head: TranscriptHead;
  previous: CeremonyStep | undefined;
}

/** The whole of a ceremony; its officers are those of the plan, in order. */
export async function paperCeremony(
  plan: CeremonyPlan,
  officers: readonly PaperOfficer[],
  outputs: PaperOutputs,
  falsehoods: Falsehoods = {},
): Promise<PaperFiles> {
  const files = new Map<string, Uint8Array>();
  const planBytes = utf8(stringify(plan));
  const planHash = sha256HexOf(planBytes);
  files.set("plan.yaml", planBytes);
  for (const [i, officer] of officers.entries()) {
    const planned = plan.officers.members[i];
    if (!planned || !(falsehoods.approving ?? officers.map((_, at) => at)).includes(i)) continue;
    files.set(approvalPath(planned), encodeEnvelope(await signApproval(plan, planHash, officer)));
  }
  const stations = new Map<string, Station>();
  const { release, digest } = plan.software;
  const steps = stepsOf(plan);
  for (const step of steps) {
    const known = stations.get(step.station);
    const station: Station = known ?? { lines: [], head: { lines: 0, head: planHash }, previous: undefined };
    stations.set(step.station, station);
    const append = (entry: TranscriptEntry): void => {
      const line = encodeLine(entry, station.head, NOW);
      station.lines.push(line);
      station.head = { lines: station.head.lines + 1, head: lineHash(utf8(line)) };
    };
    const { mode, fleet } = plan;
    if (!known) append({ kind: "start", mode, fleet, station: step.station, tool: { release, digest } });
    else if (station.previous) append({ kind: "done", step: station.previous.id });
    const lines: readonly TranscriptEntry[] = [{ kind: "step", step: step.id }, ...outputs.calls(step)];
    for (const line of falsehoods.lines?.(lines, step) ?? lines) append(line);

    const honest = outputs.of(step);
    const output = (falsehoods.output?.(honest, step) ?? honest) as ActionOutputs[ActionName];
    if (step.action === "manifest") {
      const made = falsehoods.manifest?.(outputs.manifest()) ?? outputs.manifest();
      const bytes = encodeManifest(made);
      files.set("manifest.json", bytes);
      (output as { sha256: string }).sha256 = sha256HexOf(bytes);
      const signature: ManifestSignature = {
        type: "strongroom/manifest-signature/v1",
        plan: planHash,
        mode,
        sha256: sha256HexOf(bytes),
        ...(plan.predecessor ? { predecessor: plan.predecessor.manifest } : {}),
      };
      const signed = await signManifest(
        falsehoods.manifestSignature?.(signature) ?? signature,
        outputs.keys.root,
      );
      files.set("manifest.sig.json", encodeEnvelope(signed));
    }
    const inputs = steps
      .filter(({ id }) => id === station.previous?.id || step.needs.includes(id))
      .map(({ id }) => ({
        step: id,
        sha256: sha256HexOf(files.get(`steps/${id}.json`) ?? new Uint8Array()),
      }));
    const statement: StepStatement = {
      type: "strongroom/step/v1",
      plan: planHash,
      mode,
      step: step.id,
      station: step.station,
      action: step.action,
      inputs,
      transcript: station.head,
      time: NOW,
      output,
    };
    const said = falsehoods.statement?.(statement, step) ?? statement;
    const isBefore = plan.kind === "create" && ["open", "initialise"].includes(step.action);
    const signer = outputs.keys.signing(step.station);
    const envelope = await signEnvelope(STEP_PAYLOAD, encodeStatement(said), isBefore ? [] : [signer]);
    files.set(`steps/${step.id}.json`, encodeEnvelope(falsehoods.envelope?.(envelope, step) ?? envelope));
    station.previous = step;
  }
  for (const [name, { lines }] of stations)
    files.set(`transcripts/${name}.jsonl`, utf8(lines.map((line) => `${line}\n`).join("")));
  if (plan.kind === "create") for (const [name, pem] of outputs.certificateFiles()) files.set(name, pem);
  falsehoods.files?.(files);
  await signList(files, plan, officers, falsehoods.closing);
  return files;
}

/** Has officers sign the list of files as they are now. */
export async function signList(
  files: Map<string, Uint8Array>,
  plan: CeremonyPlan,
  officers: readonly PaperOfficer[],
  closing: readonly number[] = officers.map((_, i) => i),
): Promise<void> {
  files.delete(EVIDENCE_FILE);
  const { payloadType, payload } = listEvidence(asEvidence(files), plan);
  const signers = officers.filter((_, i) => closing.includes(i));
  files.set(EVIDENCE_FILE, encodeEnvelope(await signEnvelope(payloadType, payload, signers)));
}

/** A plan whose officers are these. */
export function withOfficers(
  plan: CeremonyPlan,
  officers: readonly PaperOfficer[],
  quorum: number,
): CeremonyPlan {
  const members = officers.map(({ name, publicKey }) => ({ name, publicKey: toHex(publicKey) }));
  return { ...plan, officers: { quorum, members } };
}

/**
 * The signed list of a ceremony's files: an in-toto Statement v1 (github.com/in-toto/attestation, spec/v1) in a DSSE
 * envelope that officers sign one after the other. in-toto's verifiers can read it; what the files mean only ours knows.
 */
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import { encodeJson } from "../wire/json.ts";
import { decodeEnvelope, type Envelope } from "./dsse.ts";
import { EVIDENCE_FILE, type EvidenceFiles, isEvidencePath } from "./evidence-files.ts";
import { decodeJson } from "./json-bytes.ts";
import type { CeremonyKind, CeremonyMode, CeremonyPlan } from "./plan.ts";

const IN_TOTO_PAYLOAD = "application/vnd.in-toto+json";
const PREDICATE = "urn:strongroom:ceremony-evidence:v1";

/** in-toto Statement v1, of this predicate. */
export interface EvidenceStatement {
  readonly _type: "https://in-toto.io/Statement/v1";
  /** Sorted by name. */
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: typeof PREDICATE;
  readonly predicate: {
    readonly fleet: string;
    readonly kind: CeremonyKind;
    readonly mode: CeremonyMode;
    /** The plan's hash. */
    readonly plan: string;
  };
}

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const schema: z.ZodType<EvidenceStatement> = z.strictObject({
  _type: z.literal("https://in-toto.io/Statement/v1"),
  subject: z
    .array(
      z.strictObject({
        name: z.string().refine(isEvidencePath, "not a path of evidence"),
        digest: z.strictObject({ sha256: digest }),
      }),
    )
    .min(1)
    .max(10_000)
    .refine(
      (all) => all.every(({ name }, i) => i === 0 || (all[i - 1]?.name ?? "") < name),
      "not sorted, or a file twice",
    ),
  predicateType: z.literal(PREDICATE),
  predicate: z.strictObject({
    fleet: z.string().max(63),
    kind: z.enum(["create", "replace", "retire"]),
    mode: z.enum(["production", "rehearsal"]),
    plan: digest,
  }),
});

/** @throws evidence-invalid; signatures are not verified here */
export function openEvidence(bytes: Uint8Array): {
  readonly envelope: Envelope;
  readonly statement: EvidenceStatement;
} {
  const envelope = decodeEnvelope(bytes, IN_TOTO_PAYLOAD);
  return { envelope, statement: decodeJson(envelope.payload, schema, "a list of evidence") };
}

/** The list, with nobody's signature yet. @throws evidence-invalid where there is no plan */
export function listEvidence(files: EvidenceFiles, plan: CeremonyPlan): Envelope {
  const planFile = files.get("plan.yaml");
  if (!planFile) throw new StrongroomError("evidence-invalid", "there is no plan.yaml");
  const statement: EvidenceStatement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [...files]
      .filter(([path]) => path !== EVIDENCE_FILE)
      .map(([name, { sha256 }]) => ({ name, digest: { sha256 } })),
    predicateType: PREDICATE,
    predicate: { fleet: plan.fleet, kind: plan.kind, mode: plan.mode, plan: planFile.sha256 },
  };
  return { payloadType: IN_TOTO_PAYLOAD, payload: encodeJson(statement), signatures: [] };
}

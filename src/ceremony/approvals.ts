/**
 * What is signed in a ceremony beside the steps: the officers' approvals of the plan, and the root's signature of the
 * manifest. Each names the plan by its hash, the mode and the kind of thing that it is, so that none can be taken for
 * another, or for one of another ceremony.
 */
import { z } from "zod";
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { encodeJson } from "../wire/json.ts";
import {
  decodeEnvelope,
  type Envelope,
  type EnvelopeSigner,
  isSignedBy,
  keyIdOf,
  payloadTypeOf,
  signEnvelope,
} from "./dsse.ts";
import { decodeJson } from "./json-bytes.ts";
import type { CeremonyMode, CeremonyPlan, PlannedOfficer } from "./plan.ts";

const APPROVAL_PAYLOAD: string = payloadTypeOf("plan-approval");
const MANIFEST_PAYLOAD: string = payloadTypeOf("manifest-signature");

export interface PlanApproval {
  readonly type: "strongroom/plan-approval/v1";
  /** The plan's hash. */
  readonly plan: string;
  readonly mode: CeremonyMode;
  readonly fleet: string;
}

export interface ManifestSignature {
  readonly type: "strongroom/manifest-signature/v1";
  readonly plan: string;
  readonly mode: CeremonyMode;
  /** Of `manifest.json`. */
  readonly sha256: string;
  /** Of the manifest that it takes the place of. */
  readonly predecessor?: string | undefined;
}

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const mode = z.enum(["production", "rehearsal"]);
const approval: z.ZodType<PlanApproval> = z.strictObject({
  type: z.literal("strongroom/plan-approval/v1"),
  plan: digest,
  mode,
  fleet: z.string().max(63),
});
const manifestSignature: z.ZodType<ManifestSignature> = z.strictObject({
  type: z.literal("strongroom/manifest-signature/v1"),
  plan: digest,
  mode,
  sha256: digest,
  predecessor: digest.optional(),
});

/** Where an officer's approval lies: under the officer's name, or the key's where the name would make no file. */
export function approvalPath({ name, publicKey }: PlannedOfficer): string {
  return `approvals/${/^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$/.test(name) ? name : keyIdOf(fromHex(publicKey))}.json`;
}

/** What an officer's approval of the plan says. */
function approvalOf(plan: CeremonyPlan, planHash: string): PlanApproval {
  return { type: "strongroom/plan-approval/v1", plan: planHash, mode: plan.mode, fleet: plan.fleet };
}

/** @throws what the signer throws */
export function signApproval(
  plan: CeremonyPlan,
  planHash: string,
  officer: EnvelopeSigner,
): Promise<Envelope> {
  return signEnvelope(APPROVAL_PAYLOAD, encodeJson(approvalOf(plan, planHash)), [officer]);
}

/**
 * Checks the file of one officer's approval.
 * @returns the officer's name
 * @throws evidence-invalid unless the plan's officer whose path it is signed this plan, and nobody else the file
 */
export function checkApproval(bytes: Uint8Array, path: string, plan: CeremonyPlan, planHash: string): string {
  const member = plan.officers.members.find((one) => approvalPath(one) === path);
  if (!member) throw new StrongroomError("evidence-invalid", `${path} is of no officer of the plan`);
  const officer = member.name;
  const envelope = decodeEnvelope(bytes, APPROVAL_PAYLOAD);
  const said = decodeJson(envelope.payload, approval, "an approval");
  const wanted = approvalOf(plan, planHash);
  if (said.plan !== planHash)
    throw new StrongroomError("evidence-invalid", `${officer} approved another plan: ${said.plan}`);
  if (said.mode !== wanted.mode || said.fleet !== wanted.fleet)
    throw new StrongroomError("evidence-invalid", `${officer} approved a ${said.mode} of ${said.fleet}`);
  if (envelope.signatures.length !== 1 || !isSignedBy(envelope, fromHex(member.publicKey)))
    throw new StrongroomError(
      "evidence-invalid",
      `the approval of ${officer} is not signed by the officer's key`,
    );
  return officer;
}

/** @throws what the signer throws */
export function signManifest(signature: ManifestSignature, root: EnvelopeSigner): Promise<Envelope> {
  return signEnvelope(MANIFEST_PAYLOAD, encodeJson(signature), [root]);
}

/** @param root the root's public key, 65 bytes @throws evidence-invalid unless the root signed it, and nobody else */
export function openManifestSignature(bytes: Uint8Array, root: Uint8Array): ManifestSignature {
  const envelope = decodeEnvelope(bytes, MANIFEST_PAYLOAD);
  if (envelope.signatures.length !== 1 || !isSignedBy(envelope, root))
    throw new StrongroomError("evidence-invalid", "the manifest's signature is not the root's");
  return decodeJson(envelope.payload, manifestSignature, "a manifest's signature");
}

/**
 * What a fleet is before it is changed: the statements of the ceremony that made its tokens, and the manifest that is in
 * force. The keys of the tokens are known from there, so a token from elsewhere cannot take part.
 */

import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";
import { openManifestSignature } from "./approvals.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import { verifyTaken } from "./chain.ts";
import type { Earlier } from "./earlier.ts";
import { type CeremonyPlan, ROOT } from "./plan.ts";
import { decodePlan } from "./plan-file.ts";
import { stepsOf } from "./steps.ts";

export interface LoadedPredecessor {
  readonly manifest: Manifest;
  /** Of its file, hex. */
  readonly sha256: string;
  readonly earlier: Earlier;
}

/** A fleet is changed so often at most. */
const MAX_CHANGES = 32;

/**
 * Undefined for a ceremony that makes a fleet.
 * @throws ceremony-stopped where the evidence is not there, or is of another fleet or manifest; evidence-invalid
 */
export function loadPredecessor(folder: CeremonyFolder, plan: CeremonyPlan): LoadedPredecessor | undefined {
  return load(folder, plan, MAX_CHANGES);
}

function load(folder: CeremonyFolder, plan: CeremonyPlan, left: number): LoadedPredecessor | undefined {
  if (plan.kind === "create") return undefined;
  const stopped = (why: string): StrongroomError =>
    new StrongroomError("ceremony-stopped", `the evidence of the ceremony before: ${why}`, {
      hint: `the plan names it: ${plan.predecessor?.evidence ?? "nothing"}, relative to ${folder.dir}`,
    });
  if (!plan.predecessor || left === 0) throw stopped("there is none, or too many");
  const past = new CeremonyFolder(folder.path(plan.predecessor.evidence));
  const [planBytes, bytes, signature] = ["plan.yaml", "manifest.json", "manifest.sig.json"].map((name) =>
    past.read(name),
  );
  if (!planBytes || !bytes || !signature) throw stopped("it is not there, or not whole");
  const pastPlan = decodePlan(planBytes, past.path("plan.yaml"));
  const sha256 = sha256HexOf(bytes);
  if (pastPlan.fleet !== plan.fleet) throw stopped(`it is of the fleet ${pastPlan.fleet}`);
  if (pastPlan.mode !== plan.mode) throw stopped(`it is of a ${pastPlan.mode}`);
  if (sha256 !== plan.predecessor.manifest) throw stopped("its manifest is not the one that the plan names");
  const before = load(past, pastPlan, left - 1);
  const last = stepsOf(pastPlan).findLast(({ action }) => action === "manifest");
  if (!last) throw stopped("it made no manifest");
  const planHash = sha256HexOf(planBytes);
  const earlier = verifyTaken(last, {
    plan: pastPlan,
    planHash,
    files: (id) => past.read(`steps/${id}.json`),
    before: before?.earlier,
  });
  const root = earlier.keyOf(ROOT);
  if (!root) throw stopped("it has no root key");
  const signed = openManifestSignature(signature, root);
  if (signed.sha256 !== sha256 || signed.plan !== planHash) throw stopped("its manifest is not signed");
  return { manifest: decodeManifest(bytes), sha256, earlier };
}

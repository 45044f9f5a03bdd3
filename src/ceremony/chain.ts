/**
 * The statements on which a step rests, checked before anything of them is used: each is of this plan and of the step
 * that it names, is signed by its station's key, and rests in its turn on statements that are here with the
 * hashes that it tells. So whoever takes a step has checked all that led to it, without trusting the carrier.
 */
import { equal, fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { decodeEnvelope, isSignedBy } from "./dsse.ts";
import { Earlier, type EarlierStatement } from "./earlier.ts";
import type { CeremonyPlan } from "./plan.ts";
import { decodeStatement, isAction, STEP_PAYLOAD } from "./statement.ts";
import { type CeremonyStep, stepsOf } from "./steps.ts";
import { inputsOf, isUnsigned } from "./take-step.ts";

/** The file of a step's statement, undefined where it is not here. */
export type StatementFiles = (step: string) => Uint8Array | undefined;

export interface ChainOptions {
  readonly plan: CeremonyPlan;
  readonly planHash: string;
  readonly files: StatementFiles;
  /** Statements of the ceremony that made the tokens. */
  readonly before?: Earlier | undefined;
}

/** All steps that the given ones rest on, themselves included, in the order of the steps. */
function closureOf(roots: readonly string[], steps: readonly CeremonyStep[]): readonly CeremonyStep[] {
  const wanted = new Set(roots);
  for (const step of [...steps].reverse())
    if (wanted.has(step.id)) for (const id of inputsOf(step, steps)) wanted.add(id);
  return steps.filter(({ id }) => wanted.has(id));
}

/**
 * What a step rests on.
 * @throws ceremony-stopped with the missing files in its hint; evidence-invalid where one is not what it has to be
 */
export function verifyInputs(step: CeremonyStep, options: ChainOptions): Earlier {
  return verifyChain(inputsOf(step, stepsOf(options.plan)), options);
}

/** The same for a step that has been taken: its own statement too. */
export function verifyTaken(step: CeremonyStep, options: ChainOptions): Earlier {
  return verifyChain([step.id], options);
}

function verifyChain(roots: readonly string[], { plan, planHash, files, before }: ChainOptions): Earlier {
  const steps = stepsOf(plan);
  const needed = closureOf(roots, steps);
  const missing = needed.filter(({ id }) => files(id) === undefined);
  if (missing.length > 0) {
    const [first] = missing;
    const stations = [...new Set(missing.map(({ station }) => station))];
    throw new StrongroomError(
      "ceremony-stopped",
      `${missing.length} statements of ${stations.join(", ")} are not here`,
      {
        hint: `bring steps/${first?.id ?? ""}.json and the others of ${stations.join(", ")}, then resume`,
        details: { missing: missing.map(({ id }) => id).join(" ") },
      },
    );
  }
  const known: EarlierStatement[] = [];
  for (const step of needed) known.push(verifyOne(step));
  return checkSigned();

  function verifyOne(step: CeremonyStep): EarlierStatement {
    const refuse = (why: string): StrongroomError =>
      new StrongroomError("evidence-invalid", `steps/${step.id}.json: ${why}`, {
        hint: "do not go on with it; find out where the file was changed or exchanged",
        details: { step: step.id },
      });
    const bytes = files(step.id) ?? new Uint8Array();
    const statement = decodeStatement(decodeEnvelope(bytes, STEP_PAYLOAD).payload);
    if (statement.plan !== planHash) throw refuse("it is of another plan");
    if (statement.mode !== plan.mode) throw refuse(`it is of a ${statement.mode}`);
    const same =
      statement.step === step.id && statement.station === step.station && isAction(statement, step.action);
    if (!same) throw refuse("it is of another step");
    const wanted = inputsOf(step, steps);
    const inputs = statement.inputs.map((input) => input.step);
    if (inputs.join() !== wanted.join()) throw refuse("it rests on other steps than the plan has it");
    const so = new Earlier(known);
    for (const { step: input, sha256 } of statement.inputs)
      if (so.sha256(input) !== sha256) throw refuse(`it rests on another statement of ${input}`);
    return { statement, sha256: sha256HexOf(bytes) };
  }

  /** A station's key is in a later statement than its first ones, so signatures come after all else. */
  function checkSigned(): Earlier {
    const earlier = new Earlier(known, before);
    for (const step of needed) {
      if (isUnsigned(step, plan.kind)) continue;
      const key = earlier.keyOf(step.station);
      const envelope = decodeEnvelope(files(step.id) ?? new Uint8Array(), STEP_PAYLOAD);
      if (key && envelope.signatures.length === 1 && isSignedBy(envelope, key)) continue;
      throw new StrongroomError(
        "evidence-invalid",
        `steps/${step.id}.json is not signed by ${step.station}`,
        {
          hint: "do not go on with it; find out where the file was changed or exchanged",
          details: { step: step.id },
        },
      );
    }
    requireCertified(earlier);
    return earlier;
  }
}

/** What the root certified is what the stations sign with. @throws evidence-invalid */
function requireCertified(earlier: Earlier): void {
  const [certified] = earlier.all("certify");
  if (!certified) return;
  for (const { member, words } of certified.output.compared) {
    const key = earlier.keyOf(member);
    const der = certified.output.certificates[member];
    // The point stands in a certificate as it is, and no other 65 bytes of it are chosen by anybody but the root.
    if (key && der !== undefined && contains(fromHex(der), key)) continue;
    throw new StrongroomError(
      "evidence-invalid",
      `the certificate of ${member} (${words}) is for another key`,
    );
  }
}

function contains(haystack: Uint8Array, needle: Uint8Array): boolean {
  for (let at = 0; at + needle.length <= haystack.length; at++)
    if (equal(haystack.subarray(at, at + needle.length), needle)) return true;
  return false;
}

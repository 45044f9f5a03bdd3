/**
 * The statement of one step: what its station says of it, and on what it rests. It is the payload of a DSSE envelope in
 * `steps/<id>.json`; the hashes in `inputs` are of such files. A statement is bound to the plan by its hash, to what was
 * done by the head of the station's transcript, and to what went before by its inputs, so that no statement can be
 * moved to another ceremony, left out or exchanged.
 */
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import { encodeJson } from "../wire/json.ts";
import { payloadTypeOf } from "./dsse.ts";
import { decodeJson } from "./json-bytes.ts";
import { type ActionOutputs, OUTPUT_SCHEMAS } from "./outputs.ts";
import type { CeremonyMode } from "./plan.ts";
import type { ActionName } from "./steps.ts";

/** DSSE payload type. */
export const STEP_PAYLOAD: string = payloadTypeOf("step");

/** A statement that this one rests on. */
export interface StepInput {
  readonly step: string;
  /** Of the file, hex. */
  readonly sha256: string;
}

export interface StepStatement<A extends ActionName = ActionName> {
  readonly type: "strongroom/step/v1";
  /** The plan's hash. */
  readonly plan: string;
  readonly mode: CeremonyMode;
  readonly step: string;
  readonly station: string;
  readonly action: A;
  /** Those that the step needs, and the one before it at its own station; in the order of the steps. */
  readonly inputs: readonly StepInput[];
  /** The station's transcript when this was signed: how many lines, and the hash of the last. */
  readonly transcript: { readonly lines: number; readonly head: string };
  /** Milliseconds since the Unix epoch, by the station's clock. */
  readonly time: number;
  readonly output: ActionOutputs[A];
}

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const stepId = z.string().regex(/^[0-9]{3}\.[a-z0-9-]{1,63}\.[a-z-]{1,40}$/);

const schema = z.strictObject({
  type: z.literal("strongroom/step/v1"),
  plan: digest,
  mode: z.enum(["production", "rehearsal"]),
  step: stepId,
  station: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  action: z.enum(Object.keys(OUTPUT_SCHEMAS) as [ActionName, ...ActionName[]]),
  inputs: z.array(z.strictObject({ step: stepId, sha256: digest })).max(200),
  transcript: z.strictObject({ lines: z.number().int().min(1).safe(), head: digest }),
  time: z.number().int().nonnegative().safe(),
  output: z.unknown(),
});

export function encodeStatement(statement: StepStatement): Uint8Array {
  return encodeJson(statement);
}

/** @throws evidence-invalid */
export function decodeStatement(payload: Uint8Array): StepStatement {
  const { output, ...rest } = decodeJson(payload, schema, "the statement of a step");
  const inner = OUTPUT_SCHEMAS[rest.action].safeParse(output);
  if (inner.success) return { ...rest, output: inner.data };
  const [issue] = inner.error.issues;
  throw invalid(`output ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`, inner.error);
}

/** A statement of that action, for whoever reads its output. @throws evidence-invalid */
export function requireAction<A extends ActionName>(statement: StepStatement, action: A): StepStatement<A> {
  if (isAction(statement, action)) return statement;
  throw invalid(`${statement.step} is a statement of ${statement.action}, not of ${action}`);
}

export function isAction<A extends ActionName>(
  statement: StepStatement,
  action: A,
): statement is StepStatement<A> {
  return statement.action === action;
}

function invalid(problem: string, cause?: unknown): StrongroomError {
  return new StrongroomError("evidence-invalid", `a step's statement cannot be accepted: ${problem}`, {
    cause,
  });
}

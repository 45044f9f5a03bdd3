/**
 * One step at its station: the action, then the statement that the station's key signs. What is done here is all that
 * the token is asked in a step, in a run as in a dry run.
 */
import type { ActionContext } from "./actions/context.ts";
import { type Envelope, signEnvelope } from "./dsse.ts";
import { encodeStatement, STEP_PAYLOAD, type StepInput } from "./statement.ts";
import { readStationKey, signWith, stationKey } from "./station-keys.ts";
import type { CeremonyStep } from "./steps.ts";
import { takeAction } from "./take-action.ts";
import type { TranscriptHead } from "./transcript-lines.ts";

export interface StepContext extends ActionContext {
  /** All steps of the plan. */
  readonly steps: readonly CeremonyStep[];
  /** The station's transcript as it is when the action is done; nothing is written into it before it is signed. */
  readonly head: () => TranscriptHead;
}

/** Ids of the statements that a step rests on, in the order of the steps: its needs, and its station's last. */
export function inputsOf(step: CeremonyStep, steps: readonly CeremonyStep[]): readonly string[] {
  const own = steps.filter(({ station }) => station === step.station);
  const last = own[own.findIndex(({ id }) => id === step.id) - 1];
  return steps.map(({ id }) => id).filter((id) => step.needs.includes(id) || id === last?.id);
}

/** Steps before a station has a key. */
export function isUnsigned({ action }: CeremonyStep, kind: string): boolean {
  return kind === "create" && (action === "open" || action === "initialise");
}

/** @throws ceremony-stopped where a person or a file is needed; what the action throws; token errors */
export async function takeStep(context: StepContext): Promise<Envelope> {
  const { plan, planHash, step, steps, earlier, token, head, now } = context;
  const output = await takeAction(context);
  const inputs = inputsOf(step, steps).map((id): StepInput => ({ step: id, sha256: earlier.sha256(id) }));
  const { lines, head: last } = head();
  const payload = encodeStatement({
    type: "strongroom/step/v1",
    plan: planHash,
    mode: plan.mode,
    step: step.id,
    station: step.station,
    action: step.action,
    inputs,
    transcript: { lines, head: last },
    time: now(),
    output,
  });
  if (isUnsigned(step, plan.kind)) return signEnvelope(STEP_PAYLOAD, payload, []);
  const key = stationKey(plan.fleet, step.station);
  return token.with("user", (session) =>
    signEnvelope(STEP_PAYLOAD, payload, [
      { publicKey: readStationKey(session, key), sign: (pae) => signWith(session, key, pae) },
    ]),
  );
}

/**
 * One step at its station, for good: what the people say and what the token is asked goes into the transcript as it
 * happens, and the signed statement into its file. Whatever moment the power goes, what is there says how far it came:
 * a statement is there or not, and a step that has begun without one is looked at before it is taken again.
 */
import { readFileSync } from "node:fs";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { startModule } from "../token/connection.ts";
import { releaseModule } from "../token/module.ts";
import { loadProfile } from "../token/profile-file.ts";
import { parseTokenUri } from "../token/uri.ts";
import type { StationFolder } from "./actions/context.ts";
import { requireApproved } from "./approved.ts";
import type { CeremonyFolder } from "./ceremony-folder.ts";
import { type StatementFiles, verifyInputs, verifyTaken } from "./chain.ts";
import { encodeEnvelope } from "./dsse.ts";
import type { Hands, StationHands } from "./hands.ts";
import { type CeremonyPlan, membersOf, type PlannedToken, ROOT } from "./plan.ts";
import { decodePlan } from "./plan-file.ts";
import { loadPredecessor } from "./predecessor.ts";
import type { StepStatement } from "./statement.ts";
import { StationToken } from "./station-token.ts";
import { type CeremonyStep, stepsOf } from "./steps.ts";
import { takeStep } from "./take-step.ts";
import { openTranscript, type Transcript } from "./transcript.ts";

export interface StepOrder {
  readonly step: string;
  readonly tool: { readonly release: string; readonly digest: string };
}

/** taken: now. completed: it had been taken, but for the last lines of its transcript. */
export interface StepResult {
  readonly state: "taken" | "completed";
  /** Of its statement's file. */
  readonly sha256: string;
}

/** The plan in a ceremony's directory. @throws plan-invalid */
export function planIn(folder: CeremonyFolder): { readonly plan: CeremonyPlan; readonly planHash: string } {
  const bytes = folder.read("plan.yaml");
  if (!bytes)
    throw new StrongroomError("plan-invalid", `${folder.dir} has no plan.yaml`, {
      hint: "strongroom ceremony run PLAN --dir DIR puts it there",
    });
  return { plan: decodePlan(bytes, folder.path("plan.yaml")), planHash: sha256HexOf(bytes) };
}

/** The token of a station. @throws plan-invalid */
export function tokenOf(plan: CeremonyPlan, station: string): PlannedToken {
  if (station === ROOT) return plan.root.token;
  const member = membersOf(plan).find(({ name }) => name === station);
  if (member) return member.token;
  throw new StrongroomError("plan-invalid", `the plan has no station ${station}`);
}

/**
 * Takes the step, unless it has been taken.
 * @throws ceremony-stopped where a person or a file is needed; evidence-invalid for a statement that cannot be relied
 *   on; what the action throws
 */
export async function runStep(
  folder: CeremonyFolder,
  order: StepOrder,
  hands: StationHands,
): Promise<StepResult> {
  const { plan, planHash } = planIn(folder);
  const step = stepsOf(plan).find(({ id }) => id === order.step);
  if (!step) throw new StrongroomError("plan-invalid", `the plan has no step ${order.step}`);
  requireApproved(folder, plan, planHash);
  const transcript = openTranscript(folder.path(`transcripts/${step.station}.jsonl`), planHash);
  try {
    return await record(folder, transcript, { plan, planHash, step, order, hands });
  } finally {
    transcript.close();
  }
}

interface Recorded {
  readonly plan: CeremonyPlan;
  readonly planHash: string;
  readonly step: CeremonyStep;
  readonly order: StepOrder;
  readonly hands: StationHands;
}

async function record(folder: CeremonyFolder, transcript: Transcript, what: Recorded): Promise<StepResult> {
  const { plan, planHash, step, order } = what;
  const { fleet, mode } = plan;
  const before = loadPredecessor(folder, plan);
  const chain = { plan, planHash, files: statementsIn(folder), before: before?.earlier };
  const begun = transcript.before.findIndex((line) => line.kind === "step" && line.step === step.id);
  const isDone = transcript.before.some((line) => line.kind === "done" && line.step === step.id);
  const taken = chain.files(step.id);
  if (taken) {
    requireOwn(transcript, verifyTaken(step, chain).one(step.action, step.station));
    const sha256 = sha256HexOf(taken);
    if (!isDone && step.action !== "close") {
      transcript.append({ kind: "resumed", step: step.id, torn: transcript.torn });
      transcript.append({ kind: "file-out", step: step.id, sha256 });
      transcript.append({ kind: "done", step: step.id });
    }
    return { state: "completed", sha256 };
  }
  if (isDone)
    throw new StrongroomError("ceremony-stopped", `${step.id} was taken, but its statement has gone`, {
      hint: `put steps/${step.id}.json back; it cannot be made again`,
    });
  if (transcript.before.length === 0)
    transcript.append({ kind: "start", mode, fleet, station: step.station, tool: order.tool });
  const earlier = verifyInputs(step, chain);
  if (begun >= 0 || transcript.torn > 0)
    transcript.append({ kind: "resumed", step: step.id, torn: transcript.torn });
  await requireReady(transcript, step, what.hands);
  transcript.append({ kind: "step", step: step.id });
  for (const id of step.needs) transcript.append({ kind: "file-in", step: id, sha256: earlier.sha256(id) });
  transcript.sync();

  const planned = tokenOf(plan, step.station);
  const profile = loadProfile(planned.profile);
  const { modules } = profile;
  const module = startModule(parseTokenUri(planned.uri), modules.value === "unknown" ? [] : modules.value);
  const hands = recorded(what.hands, transcript);
  try {
    module.observe((call) => transcript.append({ kind: "call", ...call }));
    const forgotten: string[] = [];
    const stationFolder: StationFolder = {
      publish: (path, bytes) => folder.publish(path, bytes),
      keep: (name, bytes) => folder.keep(name, bytes),
      kept: (name) => folder.kept(name),
      forget: (name) => void forgotten.push(name),
      attestation: () => folder.attestation(step.station),
      moduleHash: () => sha256HexOf(readFileSync(module.path)),
    };
    const envelope = await takeStep({
      plan,
      planHash,
      step,
      steps: stepsOf(plan),
      member: membersOf(plan).find(({ name }) => name === step.station),
      planned,
      token: new StationToken({ station: step.station, token: planned, profile, module, hands }),
      earlier,
      predecessor: before,
      hands,
      folder: stationFolder,
      tool: order.tool,
      isResumed: begun >= 0,
      wasCalled: (fn) =>
        begun >= 0 && transcript.before.slice(begun).some((line) => line.kind === "call" && line.fn === fn),
      now: Date.now,
      head: () => {
        if (step.action === "close") {
          // The last line: what signs it cannot be in it.
          transcript.append({ kind: "stop" });
          module.observe(undefined);
        }
        transcript.sync();
        return transcript.head;
      },
    });
    const bytes = encodeEnvelope(envelope);
    const sha256 = sha256HexOf(bytes);
    if (step.action !== "close") transcript.sync();
    folder.publish(`steps/${step.id}.json`, bytes);
    for (const name of forgotten) folder.forget(name);
    if (step.action !== "close") {
      transcript.append({ kind: "file-out", step: step.id, sha256 });
      transcript.append({ kind: "done", step: step.id });
    }
    return { state: "taken", sha256 };
  } catch (error) {
    if (isStrongroomError(error, "ceremony-stopped")) transcript.append({ kind: "stop" });
    throw error;
  } finally {
    module.observe(undefined);
    releaseModule(module);
  }
}

/**
 * A statement of this station that came from elsewhere is none: the first ones are signed by nobody, so whoever brings
 * files could have a station skip the erasure of its token. Only its own transcript says what it has stated.
 * @throws evidence-invalid
 */
function requireOwn(
  { before, head }: Transcript,
  { step, transcript: { lines, head: stated } }: StepStatement,
): void {
  const own = lines === head.lines ? head.head : before[lines]?.prev;
  if (own === stated) return;
  throw new StrongroomError("evidence-invalid", `steps/${step}.json is not what this station wrote down`, {
    hint: "do not go on with it; find out who put the file there, or bring the station's transcript back",
    details: { step },
  });
}

/** Each file is read once, so that what was verified is what is used. */
export function statementsIn(folder: CeremonyFolder): StatementFiles {
  const known = new Map<string, Uint8Array | undefined>();
  return (id) => {
    if (!known.has(id)) known.set(id, folder.read(`steps/${id}.json`));
    return known.get(id);
  };
}

/** @throws ceremony-stopped where the people want to stop; nothing of the step has been done then */
async function requireReady(
  transcript: Transcript,
  { id, station }: CeremonyStep,
  hands: StationHands,
): Promise<void> {
  const { goOn, sheets } = await hands.ready({ station, step: id });
  for (const { expected, happened, decided, by } of sheets)
    transcript.append({ kind: "exception", expected, happened, decided, by });
  if (goOn) return;
  transcript.append({ kind: "stop" });
  throw new StrongroomError("ceremony-stopped", "the session was ended before the step", {
    hint: "`strongroom ceremony resume` goes on with it",
  });
}

const MAX_ANSWER = 500;

/** The same people, with what they say written down; PINs are not. */
function recorded(hands: Hands, transcript: Transcript): Hands {
  const prompt = (who: string, asked: string, answer: string, right: boolean): void => {
    transcript.append({ kind: "prompt", who, asked, answer: answer.slice(0, MAX_ANSWER), right });
    transcript.sync();
  };
  return {
    async compare(question) {
      const { typed, by } = await hands.compare(question);
      const answer = typed.trim().toLowerCase().split(/\s+/u).join(" ");
      prompt(by, `${question.of} of ${question.member}`, answer, answer === question.words);
      return { typed, by };
    },
    async confirm(question) {
      const { typed, by } = await hands.confirm(question);
      prompt(by, question.asked, typed, typed === question.word);
      return { typed, by };
    },
    pin: (question) => hands.pin(question),
    async witness(station) {
      const words = await hands.witness(station);
      if (words !== "") prompt("witness", "words for the challenge", words, true);
      return words;
    },
    async exception(question) {
      const sheet = await hands.exception(question);
      const { expected, happened, decided, by } = sheet;
      transcript.append({ kind: "exception", expected, happened, decided, by });
      transcript.sync();
      return sheet;
    },
  };
}

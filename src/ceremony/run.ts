/**
 * A ceremony from its first step to its last, or as far as people and files allow: each step that has not been taken is
 * taken at its station. The same call goes on after an interruption, for what has been done is in the directory.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { writeDurablySync } from "../base/node/durable-file.ts";
import { requireApproved } from "./approved.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import type { StationHands } from "./hands.ts";
import { checkPlan } from "./plan-check.ts";
import { runningSoftware } from "./software.ts";
import { StationProcess } from "./station-process.ts";
import { planIn, tokenOf } from "./station-run.ts";
import { type CeremonyStep, stepsAt, stepsOf } from "./steps.ts";
import { readTranscript, type TranscriptLine, wholeLines } from "./transcript-lines.ts";

export interface RunOptions {
  /** The ceremony's directory, with the plan in it. */
  readonly dir: string;
  readonly hands: StationHands;
  /** Steps of this station only; the others are taken elsewhere. */
  readonly station?: string | undefined;
  /** Directory by which statements travel: what is there comes in, what is made here goes out. */
  readonly exchange?: string | undefined;
  /** Stations take the same step at once; people cannot. */
  readonly concurrent?: boolean | undefined;
  readonly progress?: ((event: StepProgress) => void) | undefined;
}

export interface StepProgress {
  readonly step: CeremonyStep;
  /** From 1. */
  readonly number: number;
  readonly of: number;
  readonly state: "begins" | "taken" | "was taken";
}

/** The whole lines of a station's transcript; none where it has not begun. @throws evidence-invalid */
export function linesOf(
  folder: CeremonyFolder,
  station: string,
  planHash: string,
): readonly TranscriptLine[] {
  const bytes = folder.read(`transcripts/${station}.jsonl`) ?? new Uint8Array();
  return readTranscript(bytes.subarray(0, wholeLines(bytes)), planHash).lines;
}

/** A step is done when its statement is there and its station's transcript says so. */
export function isTaken(
  folder: CeremonyFolder,
  { id, action }: CeremonyStep,
  lines: readonly TranscriptLine[],
): boolean {
  if (!folder.has(`steps/${id}.json`)) return false;
  return action === "close" || lines.some((line) => line.kind === "done" && line.step === id);
}

/**
 * New statements from one directory to another; those that are there stay, so none may arrive in part.
 * @throws file-failed
 */
function carry(from: string, to: string): void {
  try {
    mkdirSync(to, { recursive: true });
    for (const name of existsSync(from) ? readdirSync(from) : [])
      if (/^[0-9]{3}\.[a-z0-9.-]+\.json$/.test(name) && !existsSync(join(to, name)))
        writeDurablySync(join(to, name), Uint8Array.from(readFileSync(join(from, name))));
  } catch (cause) {
    throw new StrongroomError("file-failed", `cannot bring statements from ${from} to ${to}`, { cause });
  }
}

/**
 * @throws plan-invalid; usage for a station that takes no step; ceremony-stopped where officers, people or files are missing; evidence-invalid for a file that
 *   cannot be relied on; what a step throws, with the station's name before it
 */
export async function runCeremony(options: RunOptions): Promise<void> {
  const { dir, hands, station, exchange, concurrent = false, progress = () => undefined } = options;
  const folder = new CeremonyFolder(dir);
  const { plan, planHash } = planIn(folder);
  checkPlan(plan);
  requireApproved(folder, plan, planHash);
  const steps = stepsOf(plan);
  const wanted = stepsAt(steps, station);
  mkdirSync(folder.path("transcripts"), { recursive: true });
  const tool = runningSoftware();
  const processes = new Map<string, StationProcess>();
  const processOf = (name: string): StationProcess => {
    const known = processes.get(name) ?? new StationProcess(dir, hands, tokenOf(plan, name).env);
    processes.set(name, known);
    return known;
  };
  const lines = new Map(wanted.map((step) => [step.station, linesOf(folder, step.station, planHash)]));
  const taken = new Set(
    wanted.filter((step) => isTaken(folder, step, lines.get(step.station) ?? [])).map(({ id }) => id),
  );
  const take = async (step: CeremonyStep): Promise<void> => {
    const number = steps.indexOf(step) + 1;
    const tell = (state: StepProgress["state"]): void => progress({ step, number, of: steps.length, state });
    if (taken.has(step.id)) return tell("was taken");
    tell("begins");
    try {
      await processOf(step.station).take({ step: step.id, tool });
    } catch (error) {
      throw named(step, error);
    }
    if (exchange !== undefined) carry(folder.path("steps"), exchange);
    tell("taken");
  };
  if (exchange !== undefined) carry(exchange, folder.path("steps"));
  try {
    for (const batch of batches(wanted, concurrent)) {
      const settled = await Promise.allSettled(batch.map(take));
      for (const one of settled) if (one.status === "rejected") throw one.reason;
    }
  } finally {
    await Promise.all([...processes.values()].map((one) => one.close()));
  }
}

/** Steps of one action at several stations do not depend on each other. */
function batches(steps: readonly CeremonyStep[], concurrent: boolean): readonly (readonly CeremonyStep[])[] {
  const made: CeremonyStep[][] = [];
  for (const step of steps) {
    const last = made.at(-1);
    if (concurrent && last?.[0]?.action === step.action) last.push(step);
    else made.push([step]);
  }
  return made;
}

function named({ station, id }: CeremonyStep, error: unknown): unknown {
  if (!isStrongroomError(error)) return error;
  const { code, message, hint, details, cause } = error;
  return new StrongroomError(code, `${station}: ${message}`, {
    details: { ...details, step: id },
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

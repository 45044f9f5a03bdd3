/** `strongroom ceremony status` and `verify`: how far a ceremony has come, and whether what is there holds so far. */
import { resolve } from "node:path";
import { Command } from "commander";
import { ACTIONS_TEXT } from "../ceremony/actions-text.ts";
import { duration, timesOf } from "../ceremony/plan-times.ts";
import { ceremonyStatus, checkSoFar, type StepState } from "../ceremony/status.ts";
import { stepsAt } from "../ceremony/steps.ts";
import { bold, dim, green, printJson, say, table, yellow } from "./terminal.ts";

interface StatusOptions {
  readonly json?: boolean;
  readonly station?: string;
}

const COLOURS: Readonly<Record<StepState, (text: string) => string>> = {
  taken: green,
  begun: yellow,
  ready: bold,
  waits: dim,
};

function status(dir: string, { json, station }: StatusOptions): void {
  const { plan, planHash, approved, steps, exceptions } = ceremonyStatus(resolve(dir));
  const wanted = stepsAt(
    steps.map(({ step }) => step),
    station,
  );
  const shown = steps.filter(({ step }) => wanted.includes(step));
  if (json) {
    printJson({
      plan: planHash,
      mode: plan.mode,
      approved,
      quorum: plan.officers.quorum,
      steps: shown.map(({ step, state }) => ({
        id: step.id,
        station: step.station,
        action: step.action,
        state,
      })),
      exceptions: exceptions.map(({ expected, happened, decided, by }) => ({
        expected,
        happened,
        decided,
        by,
      })),
    });
    return;
  }
  if (plan.mode === "rehearsal") process.stdout.write(`${yellow(bold("*** REHEARSAL ***"))}\n`);
  process.stdout.write(`${bold(plan.title)}\n`);
  process.stdout.write(`approved by ${approved.join(", ") || "nobody"}; ${plan.officers.quorum} needed\n\n`);
  process.stdout.write(
    `${table(
      ["step", "", "state"],
      shown.map(({ step, state }) => [step.id, ACTIONS_TEXT[step.action].title, COLOURS[state](state)]),
    )}\n`,
  );
  const left = shown.filter(({ state }) => state !== "taken").map(({ step }) => step);
  say(
    `${shown.length - left.length} of ${shown.length} taken; about ${duration(timesOf(left).oneTeam)} left`,
  );
  if (exceptions.length > 0) say(`${exceptions.length} exception sheets`);
}

function verify(dir: string): void {
  const checked = checkSoFar(resolve(dir));
  say(`${checked} statements, the transcripts and the approvals that are here hold so far`);
  say("hint: `strongroom evidence verify` checks every claim when the ceremony has ended");
}

/** For ceremony.ts. */
export function ceremonyStatusCommand(): Command {
  return new Command("status")
    .description("show which steps have been taken, and what is next")
    .argument("<dir>", "the ceremony's directory")
    .option("--station <name>", "of one station only")
    .option("--json", "for machines, on stdout")
    .action(status);
}

/** For ceremony.ts. */
export function ceremonyVerifyCommand(): Command {
  return new Command("verify")
    .description("check the statements, transcripts and approvals that are there so far")
    .argument("<dir>", "the ceremony's directory")
    .action(verify);
}

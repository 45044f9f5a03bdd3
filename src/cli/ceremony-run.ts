/** `strongroom ceremony run` and `resume`: guides the people through the steps, and goes on where it was interrupted. */
import { resolve } from "node:path";
import { Command } from "commander";
import { fromHex } from "../base/bytes.ts";
import { transportBytes } from "../ceremony/actions/transport.ts";
import { requireApproved } from "../ceremony/approved.ts";
import { CeremonyFolder } from "../ceremony/ceremony-folder.ts";
import { decodeEnvelope } from "../ceremony/dsse.ts";
import { placePlan } from "../ceremony/place-plan.ts";
import { runCeremony } from "../ceremony/run.ts";
import { decodeStatement, isAction, STEP_PAYLOAD } from "../ceremony/statement.ts";
import { ceremonyStatus } from "../ceremony/status.ts";
import { stepsOf } from "../ceremony/steps.ts";
import { fingerprintWords, wordLines, wordsOf } from "../ceremony/words.ts";
import { guidedHands, requirePeople } from "./ceremony-hands.ts";
import { bold, say, yellow } from "./terminal.ts";

interface RunOptions {
  readonly dir: string;
  readonly station?: string;
  readonly exchange?: string;
}

/** What somebody will have to type elsewhere. */
function toBeCompared(folder: CeremonyFolder, id: string): string | undefined {
  const bytes = folder.read(`steps/${id}.json`);
  if (!bytes) return undefined;
  const statement = decodeStatement(decodeEnvelope(bytes, STEP_PAYLOAD).payload);
  const words = (of: string, publicKey: Uint8Array): string =>
    [
      `Write down, and read out where it is asked for: the ${of} of ${statement.station} is`,
      ...wordLines(fingerprintWords(publicKey)),
    ].join("\n");
  if (isAction(statement, "make-root")) return words("root key", fromHex(statement.output.publicKey));
  if (isAction(statement, "make-site-keys")) return words("identity key", fromHex(statement.output.identity));
  if (isAction(statement, "make-transport"))
    return words("transport key", transportBytes(statement.output.transport));
  return undefined;
}

async function take(dir: string, { station, exchange }: Omit<RunOptions, "dir">): Promise<void> {
  const folder = new CeremonyFolder(dir);
  const { plan, planHash, steps } = ceremonyStatus(dir);
  requireApproved(folder, plan, planHash);
  if (plan.mode === "rehearsal") say(yellow(bold("*** REHEARSAL ***")));
  say(bold(plan.title));
  say(`plan ${planHash}`);
  for (const line of wordLines(wordsOf(fromHex(planHash)))) say(line);
  const taken = steps.filter(({ state }) => state === "taken").length;
  const begun = steps.filter(({ state }) => state === "begun");
  if (taken > 0 || begun.length > 0) say(`${taken} of ${steps.length} steps have been taken`);
  for (const { step } of begun)
    say(`${step.id} was interrupted: its token is looked at before anything is done`);
  const hands = await guidedHands(stepsOf(plan));
  try {
    await runCeremony({
      dir,
      hands,
      station,
      ...(exchange === undefined ? {} : { exchange: resolve(exchange) }),
      progress({ step, state }) {
        if (state !== "taken") return;
        hands.show(`${step.id}: done`);
        const words = toBeCompared(folder, step.id);
        if (words !== undefined) hands.show(words);
      },
    });
  } finally {
    hands.forget();
  }
  if (station === undefined) say("every step has been taken");
  else say(`every step of ${station} has been taken`);
  say(
    "hint: `strongroom evidence build` puts the evidence together; officers sign it by `strongroom ceremony sign`",
  );
}

async function run(plan: string, { dir, ...options }: RunOptions): Promise<void> {
  requirePeople();
  placePlan(plan, dir);
  await take(resolve(dir), options);
}

async function resume(dir: string, options: Omit<RunOptions, "dir">): Promise<void> {
  requirePeople();
  await take(resolve(dir), options);
}

function withStation(command: Command): Command {
  return command
    .option("--station <name>", "steps of one station only: root, a site or a spare")
    .option("--exchange <dir>", "directory by which statements come from other stations, and go to them");
}

/** For ceremony.ts. */
export function ceremonyRunCommand(): Command {
  return withStation(
    new Command("run")
      .description("run a ceremony with the people at this terminal")
      .argument("<plan>", "the plan, YAML")
      .requiredOption("--dir <dir>", "the ceremony's directory: transcripts, statements, evidence"),
  ).action(run);
}

/** For ceremony.ts. */
export function ceremonyResumeCommand(): Command {
  return withStation(
    new Command("resume")
      .description("go on with a ceremony that was interrupted; nothing that was done is done again")
      .argument("<dir>", "the ceremony's directory"),
  ).action(resume);
}

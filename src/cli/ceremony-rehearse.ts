/** `strongroom ceremony rehearse`: the whole ceremony on SoftHSM tokens that are made for it, without a prompt. */
import { dirname, resolve } from "node:path";
import { Command } from "commander";
import { CeremonyFolder } from "../ceremony/ceremony-folder.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import { rehearse } from "../ceremony/rehearse.ts";
import { bold, printJson, say, yellow } from "./terminal.ts";

interface RehearseOptions {
  readonly dir: string;
  readonly json?: boolean;
}

async function run(path: string, { dir, json }: RehearseOptions): Promise<void> {
  const { plan } = readPlan(path);
  say(yellow(bold("*** REHEARSAL ***")));
  const { planHash, officers } = await rehearse({
    plan,
    planDir: dirname(resolve(path)),
    dir,
    progress({ step, number, of, state }) {
      if (state !== "begins")
        say(`${number} of ${of}  ${step.id}${state === "was taken" ? " (was taken)" : ""}`);
    },
  });
  const folder = new CeremonyFolder(resolve(dir));
  if (json)
    printJson({
      mode: "rehearsal",
      dir: folder.dir,
      plan: planHash,
      officers: officers.map(({ name }) => name),
      manifest: folder.path("manifest.json"),
      evidence: folder.path("evidence.dsse.json"),
    });
  say(`every step was taken, and the officers of the rehearsal signed the end: ${folder.dir}`);
  say("hint: `strongroom evidence verify` checks it; tokens and PINs are in tokens/, and are worth nothing");
}

/** For ceremony.ts. */
export function ceremonyRehearseCommand(): Command {
  return new Command("rehearse")
    .description(
      "take every step of a plan on new SoftHSM tokens, with nobody asked; says REHEARSAL everywhere",
    )
    .argument("<plan>", "the plan, YAML")
    .requiredOption("--dir <dir>", "an empty directory, or that of a rehearsal that was interrupted")
    .option("--json", "the result for machines on stdout")
    .action(run);
}

/** `strongroom ceremony print`: the script that people follow with a pen. */
import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { errnoOf } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";
import { checkPlan } from "../ceremony/plan-check.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import { printScript } from "../ceremony/script.ts";
import { say } from "./terminal.ts";

interface PrintOptions {
  readonly out: string;
  readonly station?: string;
  readonly force?: boolean;
}

function print(file: string, { out, station, force }: PrintOptions): void {
  const plan = readPlan(file);
  checkPlan(plan.plan);
  const script = printScript(plan, station);
  try {
    writeFileSync(out, script, { flag: force ? "w" : "wx" });
  } catch (cause) {
    throw new StrongroomError("file-failed", `${out} cannot be written`, {
      cause,
      ...(errnoOf(cause) === "EEXIST"
        ? { hint: "a script that exists, and may have been annotated, is replaced only with --force" }
        : {}),
    });
  }
  say(`${out}: open it in a browser and print it on A4`);
}

/** For ceremony.ts. */
export function ceremonyPrintCommand(): Command {
  return new Command("print")
    .description("write the script of a ceremony as one HTML file for printing")
    .argument("<file>", "the plan, YAML")
    .requiredOption("--out <file>", "the HTML file")
    .option("--station <name>", "only what this station needs")
    .option("--force", "replace the file if it exists")
    .action(print);
}

/** `strongroom ceremony …`: plan, rehearse and run key ceremonies. */
import { Command } from "commander";
import { ceremonyDryRunCommand } from "./ceremony-dry-run.ts";
import { ceremonyPlanCommand } from "./ceremony-plan.ts";
import { ceremonyPrintCommand } from "./ceremony-print.ts";
import { ceremonyRehearseCommand } from "./ceremony-rehearse.ts";
import { ceremonyResumeCommand, ceremonyRunCommand } from "./ceremony-run.ts";
import { ceremonySignCommand } from "./ceremony-sign.ts";
import { ceremonyStatusCommand, ceremonyVerifyCommand } from "./ceremony-status.ts";

/** The command, for main.ts. */
export function ceremonyCommand(): Command {
  return new Command("ceremony")
    .description("plan, print, rehearse and run a key ceremony")
    .addCommand(ceremonyPlanCommand())
    .addCommand(ceremonyPrintCommand())
    .addCommand(ceremonyDryRunCommand())
    .addCommand(ceremonyRehearseCommand())
    .addCommand(ceremonySignCommand())
    .addCommand(ceremonyRunCommand())
    .addCommand(ceremonyResumeCommand())
    .addCommand(ceremonyStatusCommand())
    .addCommand(ceremonyVerifyCommand());
}

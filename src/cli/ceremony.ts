/** `strongroom ceremony …`: plan, rehearse and run key ceremonies. */
import { Command } from "commander";
import { ceremonyPlanCommand } from "./ceremony-plan.ts";
import { ceremonyPrintCommand } from "./ceremony-print.ts";

/** The command, for main.ts. */
export function ceremonyCommand(): Command {
  return new Command("ceremony")
    .description("plan, print, rehearse and run a key ceremony")
    .addCommand(ceremonyPlanCommand())
    .addCommand(ceremonyPrintCommand());
}

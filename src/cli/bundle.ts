/** `strongroom bundle …`: how an operator announces fleets, and how anybody checks what was announced. */
import { Command } from "commander";
import { countersignCommand } from "./bundle-countersign.ts";
import { fetchCommand } from "./bundle-fetch.ts";
import { keyCommand } from "./bundle-key.ts";
import { proposeCommand } from "./bundle-propose.ts";
import { pinsCommand, showCommand, verifyCommand } from "./bundle-verify.ts";

/** The command, for main.ts. */
export function bundleCommand(): Command {
  return new Command("bundle")
    .description("announce fleets to clients: propose, countersign; verify and fetch what was announced")
    .addCommand(keyCommand())
    .addCommand(proposeCommand())
    .addCommand(countersignCommand())
    .addCommand(verifyCommand())
    .addCommand(showCommand())
    .addCommand(pinsCommand())
    .addCommand(fetchCommand());
}

/** `strongroom auditor …`: the independent service that looks at fleets before clients trust them. */
import { Command } from "commander";
import { exportCommand } from "./auditor-export.ts";
import { initCommand, rotateCommand } from "./auditor-init.ts";
import { logCommand } from "./auditor-log.ts";
import { serveCommand } from "./auditor-serve.ts";
import { signCommand } from "./auditor-sign.ts";

/** The command, for main.ts. */
export function auditorCommand(): Command {
  return new Command("auditor")
    .description("check announced fleets, sign what holds, and publish it in a log")
    .addCommand(initCommand())
    .addCommand(rotateCommand())
    .addCommand(serveCommand())
    .addCommand(signCommand())
    .addCommand(logCommand())
    .addCommand(exportCommand());
}

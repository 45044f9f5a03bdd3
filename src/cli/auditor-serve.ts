/** `strongroom auditor serve`: the auditor's service on its data directory. */
import { Command } from "commander";
import { loadAuditorConfig } from "../auditor/config.ts";
import { runAuditor } from "../service/auditor-start.ts";

export const dataOption = ["--data <dir>", "the auditor's data directory"] as const;

/** The command, for auditor.ts. */
export function serveCommand(): Command {
  return new Command("serve")
    .description("serve the log, take announcements, sign what holds")
    .requiredOption(...dataOption)
    .action(({ data }: { data: string }) => runAuditor(loadAuditorConfig(data)));
}

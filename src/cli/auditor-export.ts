/** `strongroom auditor export`: a mirror of what the auditor publishes, as plain files for any web server. */
import { Command } from "commander";
import { loadAuditorConfig } from "../auditor/config.ts";
import { exportMirror } from "../auditor/export.ts";
import { WEB_DIR } from "../service/auditor-files.ts";
import { dataOption } from "./auditor-serve.ts";
import { printJson, say, table } from "./terminal.ts";

interface ExportOptions {
  readonly data: string;
  readonly to: string;
  readonly json?: boolean;
}

async function run({ data, to, json }: ExportOptions): Promise<void> {
  const exported = await exportMirror(loadAuditorConfig(data), to, WEB_DIR);
  if (json) printJson(exported);
  else
    process.stdout.write(
      `${table(
        ["namespace", "epochs", "new files"],
        exported.map(({ namespace, epochs, copied }) => [namespace, `${epochs}`, `${copied}`]),
      )}\n`,
    );
  say(`${to} is a whole mirror; \`strongroom audit verify --from ${to} --pins FILE\` says whether it holds`);
}

/** The command, for auditor.ts. */
export function exportCommand(): Command {
  return new Command("export")
    .description("copy all that is published into a folder that any web server can serve")
    .requiredOption(...dataOption)
    .requiredOption("--to <dir>", "the mirror: a new folder, or one exported before")
    .option("--json", "for machines, on stdout")
    .action(run);
}

/**
 * `strongroom auditor log`: takes the operator's countersignature as a file, logs the epoch and publishes its bundle, for
 * auditors whose machine has no network.
 */
import { Command } from "commander";
import { type CountersignRequest, countersignRequestSchema } from "../auditor/namespace.ts";
import { type JsonFormat, parseJson } from "../wire/json.ts";
import { withNamespace } from "./auditor-namespace.ts";
import { dataOption } from "./auditor-serve.ts";
import { readBytes } from "./bundle-files.ts";
import { printJson, say } from "./terminal.ts";

interface LogOptions {
  readonly data: string;
  readonly namespace?: string;
  readonly countersignature: string;
}

const COUNTERSIGNATURE: JsonFormat<CountersignRequest> = {
  what: "countersignature",
  schema: countersignRequestSchema,
  code: "decode-failed",
  hint: "`strongroom bundle countersign --out FILE` writes one",
};

async function log({ data, namespace: name, countersignature }: LogOptions): Promise<void> {
  const request = parseJson(readBytes(countersignature, "the countersignature"), COUNTERSIGNATURE);
  await withNamespace(data, name, async (namespace) => {
    const bundle = await namespace.countersign(request);
    say(`epoch ${request.epoch} is in the log; its bundle goes to the operator and to every mirror`);
    printJson(bundle);
  });
}

/** The command, for auditor.ts. */
export function logCommand(): Command {
  return new Command("log")
    .description("log a countersigned epoch, without a network; its bundle goes to stdout")
    .requiredOption(...dataOption)
    .requiredOption("--countersignature <file>", "what `strongroom bundle countersign` wrote")
    .option("--namespace <name>", "default: the only one")
    .action(log);
}

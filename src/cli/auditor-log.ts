/**
 * `strongroom auditor log`: takes the operator's countersignature as a file, logs the epoch and publishes its bundle, for
 * auditors whose machine has no network.
 */
import { Command } from "commander";
import { type CountersignRequest, countersignRequestSchema } from "../auditor/namespace.ts";
import { fromUtf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { readFileBytes, withNamespace } from "./auditor-files.ts";
import { dataOption } from "./auditor-serve.ts";
import { printJson, say } from "./terminal.ts";

interface LogOptions {
  readonly data: string;
  readonly namespace?: string;
  readonly countersignature: string;
}

/** @throws decode-failed */
function decodeRequest(bytes: Uint8Array, path: string): CountersignRequest {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw new StrongroomError("decode-failed", `${path} is not JSON`, { cause });
  }
  const result = countersignRequestSchema.safeParse(value);
  if (result.success) return result.data;
  throw new StrongroomError("decode-failed", `${path} is no countersignature`, {
    cause: result.error,
    hint: "`strongroom bundle countersign --out FILE` writes one",
  });
}

async function log({ data, namespace: name, countersignature }: LogOptions): Promise<void> {
  const request = decodeRequest(readFileBytes(countersignature), countersignature);
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

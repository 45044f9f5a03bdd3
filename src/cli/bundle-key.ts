/** `strongroom bundle key`: the operator's countersign key, in its token. */

import { Command } from "commander";
import { toHex } from "../base/bytes.ts";
import { countersignKey, makeCountersignKey } from "../keys/countersign.ts";
import { namespaceName, wholeNumber } from "./option-values.ts";
import { printJson, say } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

/** Keys of one namespace in one token: rotations are rare. */
export const MAX_COUNTERSIGN_KEYS = 8;

interface KeyOptions extends TokenOptions {
  readonly namespace: string;
  readonly index: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function key(options: KeyOptions): Promise<void> {
  const { namespace, index, json } = options;
  const spec = countersignKey(namespace, index);
  const chosen = chooseToken(options);
  if (options.dryRun) {
    say(`dry run: ${spec.label} would be made, or found, in ${chosen.uri}`);
    return;
  }
  const { session, profile } = await openChosen(chosen);
  try {
    const { state, publicKey } = makeCountersignKey(session, profile, spec);
    const operator = toHex(publicKey);
    say(state === "created" ? `${spec.label} was made` : `${spec.label} was there; nothing was changed`);
    if (json) printJson({ namespace, label: spec.label, state, operator });
    else process.stdout.write(`${operator}\n`);
    if (index > 0)
      say("hint: announce an epoch with old and new keys first; the new one may countersign the epoch after");
  } finally {
    session.close();
  }
}

/** The command, for bundle.ts. */
export function keyCommand(): Command {
  return new Command("key")
    .description("make the operator's countersign key, or show it: its public key goes to stdout")
    .requiredOption("--namespace <name>", "the operator's name in the log", namespaceName)
    .addOption(uriOption())
    .addOption(profileOption())
    .option("--index <n>", "a further key, for a rotation", wholeNumber(0, MAX_COUNTERSIGN_KEYS - 1), 0)
    .option("--dry-run", "say what would be made")
    .option("--json", "print the result as JSON on standard output")
    .action(key);
}

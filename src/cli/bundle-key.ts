/** `strongroom bundle key`: the operator's countersign key, in its token. */
import { Command } from "commander";
import { toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { countersignKey, makeCountersignKey } from "../keys/countersign.ts";
import { NAMESPACE_PATTERN } from "../wire/announcement.ts";
import { printJson, say } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

/** Keys of one namespace in one token: rotations are rare. */
export const MAX_COUNTERSIGN_KEYS = 8;

interface KeyOptions extends TokenOptions {
  readonly namespace: string;
  readonly index: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function key(options: KeyOptions): Promise<void> {
  const { namespace, json } = options;
  const index = Number(options.index);
  if (!NAMESPACE_PATTERN.test(namespace))
    throw new StrongroomError("usage", `${namespace} is no namespace`, {
      hint: "lower-case letters, digits and . _ -, e.g. vault.example",
    });
  if (!Number.isInteger(index) || index < 0 || index >= MAX_COUNTERSIGN_KEYS)
    throw new StrongroomError("usage", `--index takes 0 to ${MAX_COUNTERSIGN_KEYS - 1}`);
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
    .requiredOption("--namespace <name>", "the operator's name in the log")
    .addOption(uriOption())
    .addOption(profileOption())
    .option("--index <n>", "a further key, for a rotation", "0")
    .option("--dry-run", "say what would be made")
    .option("--json", "print the result as JSON on standard output")
    .action(key);
}

/** `strongroom witness init | serve`: cosigns the checkpoints of logs that only grow. */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { makeKey } from "../auditor/init.ts";
import { witnessKey } from "../auditor/signer.ts";
import {
  addLogs,
  existingWitness,
  isLogKey,
  loadWitnessConfig,
  type WitnessConfig,
  writeWitnessConfig,
} from "../auditor/witness-config.ts";
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { makeFolder } from "../base/node/durable-file.ts";
import { isKeyName, verifierKey } from "../merkle/vkey.ts";
import { runWitness } from "../service/witness-start.ts";
import { parseTokenUri } from "../token/uri.ts";
import { listenOption } from "./option-values.ts";
import { printJson, say } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, uriOption } from "./token-options.ts";

interface InitOptions {
  readonly data: string;
  readonly name: string;
  readonly uri?: string;
  readonly profile?: string;
  readonly log: readonly string[];
  readonly listen: WitnessConfig["listen"];
  readonly dryRun?: boolean;
}

const dataOption = ["--data <dir>", "the witness's directory"] as const;

async function create({ data, name, uri, profile, log, listen }: InitOptions): Promise<WitnessConfig> {
  if (uri === undefined)
    throw new StrongroomError("usage", "nothing says which token", { hint: "add --uri pkcs11:token=…" });
  const token = chooseToken({ uri, ...(profile === undefined ? {} : { profile }) });
  if (parseTokenUri(token.uri).pinSource === undefined)
    throw new StrongroomError("usage", "the URI names no pin-source", {
      hint: "the service reads its PIN from a file: add pin-source=file:/path to --uri",
    });
  const opened = await openChosen(token);
  try {
    const key = makeKey(opened.session, opened.profile, witnessKey(name));
    await makeFolder(resolve(data));
    const { uri: tokenUri, profileName } = token;
    return await writeWitnessConfig(data, {
      listen,
      token: { uri: tokenUri, profile: profileName },
      name,
      key,
      logs: log,
    });
  } finally {
    opened.session.close();
  }
}

async function init(options: InitOptions): Promise<void> {
  const { data, name, log } = options;
  const before = existingWitness(data);
  if (before && before.name !== name)
    throw new StrongroomError("usage", `the witness in ${data} is ${before.name}`, {
      hint: "a witness keeps its name; make another directory for another one",
    });
  const fresh = log.filter((vkey) => !before?.logs.includes(vkey));
  if (options.dryRun) {
    say(`dry run: ${before ? "the witness is there" : "a key would be made"}; logs to add: ${fresh.length}`);
    return;
  }
  const config = before ? await addLogs(data, fresh) : await create(options);
  say(`${name} watches: ${config.logs.length === 0 ? "no log yet" : config.logs.join(" ")}`);
  say("hint: give the log's auditor this vkey and the URL, and whoever pins the witness the vkey:");
  printJson({
    vkey: verifierKey("cosignature", name, fromHex(config.key.publicKey)).vkey,
    logs: config.logs,
  });
}

function logKey(text: string, all: readonly string[]): readonly string[] {
  if (isLogKey(text)) return [...all, text];
  throw new InvalidArgumentError("the vkey of a log: name+id+base64");
}

function keyName(text: string): string {
  if (isKeyName(text)) return text;
  throw new InvalidArgumentError("a name without white space and +");
}

/** The command, for main.ts. */
export function witnessCommand(): Command {
  const command = new Command("witness").description(
    "cosign checkpoints of logs that only grow (C2SP tlog-witness)",
  );
  command
    .command("init")
    .description("make a witness's key and configuration, or add logs to it; print its vkey")
    .requiredOption(...dataOption)
    .requiredOption("--name <name>", "the witness's name for ever, e.g. witness.example/w1", keyName)
    .addOption(uriOption())
    .addOption(profileOption())
    .addOption(
      new Option("--log <vkey>", "a log to watch; may be repeated").argParser(logKey).default([], "none"),
    )
    .addOption(listenOption(8470))
    .option("--dry-run", "say what would be made")
    .action(init);
  command
    .command("serve")
    .description("answer add-checkpoint")
    .requiredOption(...dataOption)
    .action(({ data }: { data: string }) => runWitness(loadWitnessConfig(data)));
  return command;
}

/** `strongroom token init`: a label, a security officer's PIN and a user PIN for a blank token. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { StrongroomError } from "../base/errors.ts";
import { createPrivate } from "../base/node/durable-file.ts";
import { modulePath } from "../token/connection.ts";
import { initialiseToken } from "../token/initialise.ts";
import { type PinPrompt, readPinFile } from "../token/pin.ts";
import { requireUsable } from "../token/profile.ts";
import { formatTokenUri } from "../token/uri.ts";
import { wholeNumber } from "./option-values.ts";
import { printJson, say } from "./terminal.ts";
import { chooseToken, pinPrompt, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

interface InitOptions extends TokenOptions {
  readonly label: string;
  readonly soPinSource?: string;
  readonly pinSource?: string;
  readonly generatePins?: boolean;
  readonly pinLength: number;
  readonly forceErase?: string;
  readonly ifMissing?: boolean;
  readonly json?: boolean;
}

/** `file:PATH` or PATH, made absolute: people type relative paths, configurations must not hold them. */
function pinFile(source: string): string {
  return resolve(source.replace(/^file:(?:\/\/(?=\/))?/, ""));
}

/** URL-safe characters: every token takes them, 6 bits each. */
async function writeNewPin(path: string, length: number): Promise<void> {
  const pin = Buffer.from(randomBytes(length).toString("base64url").slice(0, length));
  try {
    await createPrivate(path, pin);
  } finally {
    pin.fill(0);
  }
}

/** It is typed once and read once, and used more often: a pipe that ran dry would leave the token without a user PIN. */
function pinSourceOf(what: string, source: string | undefined, options: InitOptions): PinPrompt {
  if (source === undefined && options.generatePins)
    throw new StrongroomError("usage", `--generate-pins needs a file for the ${what}`, {
      hint: "give --so-pin-source file:PATH and --pin-source file:PATH",
    });
  const ask = source === undefined ? pinPrompt(what) : fromFile(what, pinFile(source), options);
  let given: Uint8Array | undefined;
  return async () => {
    given ??= await ask();
    return Uint8Array.from(given);
  };
}

function fromFile(what: string, path: string, options: InitOptions): PinPrompt {
  return async () => {
    // A file that is there already holds the PIN of an earlier, interrupted attempt.
    if (options.generatePins && !existsSync(path)) {
      await writeNewPin(path, options.pinLength);
      say(`wrote a new ${what} to ${path}`);
    }
    return readPinFile(path);
  };
}

async function init(options: InitOptions): Promise<void> {
  const token = chooseToken(options);
  requireUsable(token.profile);
  const modules = token.profile.modules.value === "unknown" ? [] : token.profile.modules.value;
  const pinSource = options.pinSource ?? token.parsed.pinSource;
  const { state, info } = await initialiseToken({
    uri: token.parsed,
    modules,
    label: options.label,
    soPin: pinSourceOf("security officer's PIN", options.soPinSource, options),
    userPin: pinSourceOf("user PIN", pinSource, options),
    eraseLabel: options.forceErase,
    ifMissing: options.ifMissing,
  });
  const said = {
    created: `initialised a blank token as ${info.label}`,
    erased: `erased ${options.forceErase} with all its keys and initialised it as ${info.label}`,
    completed: `${info.label} had no user PIN yet; it has one now`,
    present: `already initialised with this label: ${info.label}; nothing was changed`,
  }[state];
  say(`${said} (serial ${info.serial})`);
  const uri = formatTokenUri({
    token: info.label,
    serial: info.serial,
    modulePath: modulePath(token.parsed, modules),
    ...(token.parsed.libraryParameters === undefined
      ? {}
      : { libraryParameters: token.parsed.libraryParameters }),
    ...(pinSource === undefined ? {} : { pinSource: `file:${pinFile(pinSource)}` }),
  });
  if (options.json) printJson({ state, label: info.label, serial: info.serial, uri });
  else process.stdout.write(`${uri}\n`);
}

export function initCommand(): Command {
  return new Command("init")
    .description("initialise a blank token; prints its URI")
    .addOption(uriOption())
    .addOption(profileOption())
    .requiredOption("--label <label>", "the token's new label")
    .option("--so-pin-source <file>", "file:PATH of the security officer's PIN (default: ask)")
    .option("--pin-source <file>", "file:PATH of the user PIN (default: that of --uri, or ask)")
    .option("--generate-pins", "create the PIN files, mode 0600, where they do not exist")
    .option(
      "--pin-length <n>",
      "characters of a generated PIN; some tokens take 8 at most",
      wholeNumber(4, 64),
      16,
    )
    .option("--if-missing", "succeed if a token with this label exists, and leave it alone")
    .option("--force-erase <label>", "destroy every key of the token with this label, and initialise it")
    .option("--json", "the result for machines on stdout")
    .action(init);
}

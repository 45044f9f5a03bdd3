#!/usr/bin/env node
/** `strongroom`: one file per command, put together here. */
import { readFileSync } from "node:fs";
import { Command, CommanderError, Help, type Option } from "commander";
import { exitCode, printError, printJson, watchOutput } from "./terminal.ts";

/** Loaded when they are asked for: a client has no use for express, and should not wait for it. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  token: async () => (await import("./token.ts")).tokenCommand(),
  serve: async () => (await import("./serve.ts")).serveCommand(),
  client: async () => (await import("./client.ts")).clientCommand(),
  store: async () => (await import("./store.ts")).storeCommand(),
  fleet: async () => (await import("./fleet.ts")).fleetCommand(),
  ceremony: async () => (await import("./ceremony.ts")).ceremonyCommand(),
  provision: async () => (await import("./provision.ts")).provisionCommand(),
  evidence: async () => (await import("./evidence.ts")).evidenceCommand(),
  auditor: async () => (await import("./auditor.ts")).auditorCommand(),
  witness: async () => (await import("./witness.ts")).witnessCommand(),
  audit: async () => (await import("./audit.ts")).auditCommand(),
  bundle: async () => (await import("./bundle.ts")).bundleCommand(),
};

const PACKAGE = new URL("../../package.json", import.meta.url);
/** Of what a command leaves behind, such as a connection to a host that fell silent, nothing keeps its terminal. */
const LINGER_MS = 1_000;

/** Commander's help does not tell what a command cannot do without. */
function optionDescription(option: Option): string {
  const said = new Help().optionDescription(option);
  return option.mandatory ? `${said} (required)` : said;
}

/**
 * Commander would end the process by itself, and with 1 where it was called wrongly. Wrong usage is said as every other
 * error is, with the command whose help has the answer.
 */
function sayUsage(command: Command, name: string): void {
  command.exitOverride().showHelpAfterError(`hint: ${name} --help`);
  command.configureHelp({ optionDescription });
  command.configureOutput({
    outputError: (text, write) =>
      write(text.replace(/^error: /, "strongroom: ").replace(/' is invalid\. /, "' is invalid; it takes ")),
  });
  for (const child of command.commands) sayUsage(child, `${name} ${child.name()}`);
}

const { version } = JSON.parse(readFileSync(PACKAGE, "utf8")) as { readonly version: string };
const program = new Command("strongroom").description("HSM-backed Backup Key Vault").version(version);

watchOutput();
try {
  const words = process.argv.slice(2);
  // Commander's own `help` knows one word.
  const args = words[0] === "help" ? [...words.slice(1), "--help"] : words;
  const [word = ""] = args;
  const asked = COMMANDS[word];
  const needed = ["-V", "--version"].includes(word) ? [] : asked ? [asked] : Object.values(COMMANDS);
  for (const load of needed) program.addCommand(await load());
  sayUsage(program, "strongroom");
  await program.parseAsync(args, { from: "user" });
} catch (error) {
  process.exitCode = exitCode(error);
  // What commander throws it has printed already, for people.
  if (!(error instanceof CommanderError)) printError(error);
  else if (process.exitCode !== 0 && process.argv[2] === "client" && process.argv.includes("--json"))
    printJson({ error: { code: "usage", message: error.message.replace(/^error: /, "") } });
}
setTimeout(() => process.exit(), LINGER_MS).unref();

#!/usr/bin/env node
/** `strongroom`: one file per command, put together here. */
import { Command, CommanderError } from "commander";
import { exitCode, printError } from "./terminal.ts";

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

/** Commander would end the process by itself, and with 1 where it was called wrongly. */
function throwExits(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) throwExits(each);
}

const program = new Command("strongroom")
  .description("HSM-backed Backup Key Vault")
  .showHelpAfterError("hint: strongroom help");

try {
  const asked = COMMANDS[process.argv[2] ?? ""];
  for (const load of asked ? [asked] : Object.values(COMMANDS)) program.addCommand(await load());
  throwExits(program);
  await program.parseAsync();
} catch (error) {
  // What commander throws it has printed already.
  if (!(error instanceof CommanderError)) printError(error);
  process.exitCode = exitCode(error);
}

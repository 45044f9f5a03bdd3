#!/usr/bin/env node
/** `strongroom`: one file per command, put together here. */
import { Command } from "commander";
import { clientCommand } from "./client.ts";
import { fleetCommand } from "./fleet.ts";
import { serveCommand } from "./serve.ts";
import { storeCommand } from "./store.ts";
import { exitCode, printError } from "./terminal.ts";
import { tokenCommand } from "./token.ts";

const program = new Command("strongroom")
  .description("HSM-backed Backup Key Vault")
  .showHelpAfterError("hint: strongroom help")
  .addCommand(tokenCommand())
  .addCommand(serveCommand())
  .addCommand(clientCommand())
  .addCommand(storeCommand())
  .addCommand(fleetCommand());

try {
  await program.parseAsync();
} catch (error) {
  printError(error);
  process.exitCode = exitCode(error);
}

/** `strongroom token …`: everything that an operator does with a token. */
import { Command } from "commander";
import { doctorCommand } from "./token-doctor.ts";
import { initCommand } from "./token-init.ts";
import { inventoryCommand } from "./token-inventory.ts";
import { listCommand } from "./token-list.ts";
import { provisionCommand } from "./token-provision.ts";

/** The command, for main.ts. */
export function tokenCommand(): Command {
  return new Command("token")
    .description("set up, fill and examine a PKCS#11 token")
    .addCommand(initCommand())
    .addCommand(listCommand())
    .addCommand(provisionCommand())
    .addCommand(inventoryCommand())
    .addCommand(doctorCommand());
}

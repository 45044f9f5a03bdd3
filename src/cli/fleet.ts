/** `strongroom fleet …`: what concerns all sites of a fleet. */
import { Command } from "commander";
import { initCommand } from "./fleet-init.ts";
import { sizeCommand } from "./fleet-size.ts";
import { fleetStatusCommand } from "./fleet-status.ts";

/** The command, for main.ts. */
export function fleetCommand(): Command {
  return new Command("fleet")
    .description("plan and set up a fleet of sites")
    .addCommand(fleetStatusCommand())
    .addCommand(sizeCommand())
    .addCommand(initCommand());
}

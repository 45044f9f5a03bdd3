/**
 * `strongroom provision`: a fleet from a ceremony's plan without people, for test fleets and CI. The tokens are the
 * plan's own, their PINs come from files, and the plan has to call itself a rehearsal: nobody has watched.
 */
import { resolve } from "node:path";
import { Command } from "commander";
import { StrongroomError } from "../base/errors.ts";
import { placePlan } from "../ceremony/place-plan.ts";
import { tokensOf } from "../ceremony/plan-check.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import { runCeremony } from "../ceremony/run.ts";
import { unattended } from "../ceremony/unattended.ts";
import { SOFTWARE } from "../keys/software-tokens.ts";
import { loadProfile } from "../token/profile-file.ts";
import { printJson, say } from "./terminal.ts";

interface ProvisionOptions {
  readonly dir: string;
  readonly station?: string;
  readonly exchange?: string;
  readonly json?: boolean;
}

async function provision(path: string, { dir, station, exchange, json }: ProvisionOptions): Promise<void> {
  const { plan, sha256 } = readPlan(path);
  if (plan.mode === "production")
    throw new StrongroomError("usage", "a plan for production is not run without people", {
      hint: "`strongroom ceremony run` guides them; for a test fleet write mode: rehearsal",
    });
  for (const [station, token] of tokensOf(plan))
    if (!SOFTWARE.includes(loadProfile(token.profile).name))
      throw new StrongroomError(
        "token-unsuitable",
        `the token of ${station} is hardware (${token.profile})`,
        {
          hint: "`strongroom ceremony run` takes hardware through the same steps, with people",
        },
      );
  placePlan(path, dir);
  await runCeremony({
    dir: resolve(dir),
    hands: unattended("provision"),
    concurrent: true,
    station,
    ...(exchange === undefined ? {} : { exchange: resolve(exchange) }),
    progress({ step, number, of, state }) {
      if (state !== "begins")
        say(`${number} of ${of}  ${step.id}${state === "was taken" ? " (was taken)" : ""}`);
    },
  });
  if (station !== undefined) {
    say(`every step of ${station} has been taken`);
    return;
  }
  if (json) printJson({ fleet: plan.fleet, plan: sha256, manifest: resolve(dir, "manifest.json") });
  say(`the fleet ${plan.fleet} has its keys; its manifest is ${resolve(dir, "manifest.json")}`);
}

/** For main.ts. */
export function provisionCommand(): Command {
  return new Command("provision")
    .description("make a test fleet on the software tokens of a ceremony's plan, without people")
    .argument("<plan>", "the plan, YAML, with mode: rehearsal")
    .requiredOption("--dir <dir>", "the ceremony's directory")
    .option("--station <name>", "steps of one station only: root, a site or a spare")
    .option("--exchange <dir>", "directory by which statements come from other stations, and go to them")
    .option("--json", "the result for machines on stdout")
    .action(provision);
}

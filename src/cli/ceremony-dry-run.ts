/** `strongroom ceremony dry-run`: every PKCS#11 call of a ceremony, before there is a token. */
import { Command } from "commander";
import { describeCall } from "../ceremony/calls.ts";
import { type DryRunStep, dryRun } from "../ceremony/dry-run.ts";
import { checkPlan } from "../ceremony/plan-check.ts";
import { readPlan, readPlansBefore } from "../ceremony/read-plan.ts";
import { stepsAt, stepsOf } from "../ceremony/steps.ts";
import { bold, printJson, say } from "./terminal.ts";

interface DryRunOptions {
  readonly json?: boolean;
  readonly station?: string;
}

function print({ step, calls }: DryRunStep): void {
  const refused = (ckr: string): string => (ckr === "CKR_OK" ? "" : `  -> ${ckr}`);
  process.stdout.write(`\n${bold(step.id)}\n`);
  for (const call of calls) process.stdout.write(`  ${describeCall(call)}${refused(call.ckr)}\n`);
}

async function run(file: string, { json, station }: DryRunOptions): Promise<void> {
  const plan = readPlan(file);
  checkPlan(plan.plan);
  const shown = stepsAt(stepsOf(plan.plan), station).map(({ id }) => id);
  const all = await dryRun(plan, readPlansBefore(file, plan.plan));
  const steps = all.filter(({ step }) => shown.includes(step.id));
  if (json) {
    printJson({
      plan: plan.sha256,
      steps: steps.map(({ step, calls }) => ({ ...step, calls })),
    });
    return;
  }
  for (const step of steps) print(step);
  const calls = steps.reduce((sum, step) => sum + step.calls.length, 0);
  say(`${steps.length} steps, ${calls} calls; no PKCS#11 library was loaded, and nothing was written`);
}

/** For ceremony.ts. */
export function ceremonyDryRunCommand(): Command {
  return new Command("dry-run")
    .description("list every PKCS#11 call of a ceremony, with its template, without any token")
    .argument("<file>", "the plan, YAML")
    .option("--station <name>", "of one station only: root, a site or a spare")
    .option("--json", "for machines")
    .action(run);
}

/** `strongroom ceremony plan`: whether a plan can work, and what those who approve it should see. */
import { Command } from "commander";
import { fromHex } from "../base/bytes.ts";
import { ACTIONS_TEXT } from "../ceremony/actions-text.ts";
import type { CeremonyPlan } from "../ceremony/plan.ts";
import { checkPlan, tokensOf } from "../ceremony/plan-check.ts";
import { holdersOf } from "../ceremony/plan-holders.ts";
import { duration, timesOf } from "../ceremony/plan-times.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import { runningSoftware } from "../ceremony/software.ts";
import { stepsOf } from "../ceremony/steps.ts";
import { wordLines, wordsOf } from "../ceremony/words.ts";
import { bold, printJson, red, say, table, yellow } from "./terminal.ts";

interface PlanOptions {
  readonly json?: boolean;
}

function memberRows(plan: CeremonyPlan): readonly (readonly string[])[] {
  const tokens = new Map(tokensOf(plan));
  const row = (name: string, what: string, where: string | undefined): readonly string[] => {
    const token = tokens.get(name);
    return [name, what, token?.serial ?? "any", token?.profile ?? "", where ?? ""];
  };
  return [
    row("root", "root key", plan.root.location),
    ...plan.sites.map(({ name, url, location }) => row(name, url, location)),
    ...plan.spares.map((spare) => row(spare.name, `spare for ${spare.for}`, spare.location)),
  ];
}

function softwareLine({ software }: CeremonyPlan): string {
  const running = runningSoftware();
  const same = running.release === software.release && running.digest === software.digest;
  return same
    ? `software ${software.release}, ${software.digest}: the one that runs`
    : red(
        `the plan is for ${software.release}, ${software.digest}\nthis software is ${running.release}, ${running.digest}`,
      );
}

function print(file: string, { json }: PlanOptions): void {
  const { plan, sha256 } = readPlan(file);
  const { warnings } = checkPlan(plan);
  const steps = stepsOf(plan);
  const times = timesOf(steps);
  const holders = holdersOf(plan);
  const words = wordsOf(fromHex(sha256));
  if (json) {
    printJson({ sha256, words, plan, holders, steps, minutes: times, warnings, software: runningSoftware() });
    return;
  }
  const out = (text = ""): void => void process.stdout.write(`${text}\n`);
  out(`${bold(plan.title)}${plan.mode === "rehearsal" ? " — REHEARSAL" : ""}`);
  out(
    `${plan.kind} fleet ${plan.fleet}, ${plan.date}; ${plan.threshold} of ${plan.sites.length} sites take part`,
  );
  out();
  out(`SHA-256  ${sha256.replace(/(.{8})(?=.)/g, "$1 ")}`);
  out(`words    ${wordLines(words).join("\n         ")}`);
  out(softwareLine(plan));
  out();
  out(table(["station", "", "serial", "profile", "where"], memberRows(plan)));
  out();
  out(
    table(
      ["keys", "made at", "held by", "never at"],
      holders.map(({ what, origin, holders: all, without }) => [
        what,
        origin,
        all.join(" "),
        without.join(" ") || "–",
      ]),
    ),
  );
  out();
  out(
    table(
      ["step", "station", "", "minutes"],
      steps.map(({ id, station, action }) => {
        const { title, destructive, minutes } = ACTIONS_TEXT[action];
        return [
          id.slice(0, 3),
          station,
          destructive ? `${title} (cannot be undone)` : title,
          String(minutes),
        ];
      }),
    ),
  );
  out();
  out(
    table(
      ["station", "steps", "time"],
      times.stations.map((one) => [one.station, String(one.steps.length), duration(one.minutes)]),
    ),
  );
  out(`one team: ${duration(times.oneTeam)}; people at all stations at once: ${duration(times.atOnce)}`);
  for (const warning of warnings) say(yellow(`warning: ${warning}`));
}

/** For ceremony.ts. */
export function ceremonyPlanCommand(): Command {
  return new Command("plan")
    .description("check a ceremony's plan, and show its hash, holders, steps and what to think of")
    .argument("<file>", "the plan, YAML")
    .option("--json", "for machines")
    .action(print);
}

/**
 * Walks a list of steps over the model of a ceremony's tokens. The rules share nothing with steps.ts, which makes the
 * list, so that a mistake there is found here and not in front of the tokens.
 */
import { StrongroomError } from "../base/errors.ts";
import type { CeremonyPlan } from "./plan.ts";
import { demand, type Station, Walk } from "./plan-model.ts";
import { RULES } from "./plan-rules.ts";
import type { CeremonyStep } from "./steps.ts";

/** What the end must look like, at one station. */
function unfinished(walk: Walk, station: Station): string | undefined {
  const { kind } = walk.plan;
  if (!station.closed) return "its transcript is not closed";
  if (station.originals.size > 0 || station.transport || station.trusted.size > 0)
    return "keys of the distribution are there";
  if (kind === "retire" && station.member) return station.keys.size > 0 ? "its keys are there" : undefined;
  if (!walk.isComplete(station)) return "keys are missing";
  if (kind !== "retire" && station.member && !station.verified) return "nobody has verified its keys";
  return station.officerPin ? "the security officer's PIN has not been given up" : undefined;
}

/**
 * @param steps what `stepsOf` says, or what somebody claims to be it
 * @throws plan-invalid for the first step that cannot be taken, or for what the last one leaves undone
 */
export function walkSteps(plan: CeremonyPlan, steps: readonly CeremonyStep[]): void {
  const walk = new Walk(plan);
  for (const [index, step] of steps.entries()) {
    const number = String(index + 1).padStart(3, "0");
    demand(step.id === `${number}.${step.station}.${step.action}`, step, "its id is not that of its place");
    const station = walk.stations.find(({ name }) => name === step.station);
    demand(station !== undefined, step, "the ceremony has no such station");
    demand(!station.closed, step, "the station's transcript is closed");
    if (step.action === "open") demand(!station.opened, step, "the token is open already");
    else demand(station.opened, step, "the token has not been opened");
    if (step.action !== "open" && step.action !== "initialise")
      demand(station.initialised, step, "the token has not been erased in this ceremony");
    for (const id of step.needs)
      demand(
        walk.done.some((one) => one.id === id),
        step,
        `${id} comes later or never`,
      );
    RULES[step.action](walk, station, step);
    walk.done.push(step);
  }
  for (const station of walk.stations) {
    const why = unfinished(walk, station);
    if (why === undefined) continue;
    throw new StrongroomError("plan-invalid", `the ceremony ends too early for ${station.name}: ${why}`, {
      hint: "the list of its steps is wrong; nothing was done",
    });
  }
}

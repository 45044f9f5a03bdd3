/** The steps of the printed script: a chapter for each action that is taken in a row, a box for each station. */
import { ACTIONS_TEXT } from "./actions-text.ts";
import type { CeremonyPlan } from "./plan.ts";
import { dutiesOf } from "./script-duties.ts";
import { blank, type Html, html, tick } from "./script-html.ts";
import type { CeremonyStep } from "./steps.ts";

/** Steps of one action that follow each other. */
function chaptersOf(steps: readonly CeremonyStep[]): readonly (readonly CeremonyStep[])[] {
  const chapters: CeremonyStep[][] = [];
  for (const step of steps) {
    const last = chapters.at(-1);
    if (last?.[0]?.action === step.action) last.push(step);
    else chapters.push([step]);
  }
  return chapters;
}

/** `003, 016–021`. */
export function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  const digits = (number: number): string => String(number).padStart(3, "0");
  return runs.map(([from, to]) => (from === to ? digits(from) : `${digits(from)}–${digits(to)}`)).join(", ");
}

/** The files that must be carried to a step: those of other stations. */
function carried(step: CeremonyStep, steps: readonly CeremonyStep[]): readonly number[] {
  return steps.flatMap(({ id, station }, i) =>
    step.needs.includes(id) && station !== step.station ? [i + 1] : [],
  );
}

function box(plan: CeremonyPlan, step: CeremonyStep, steps: readonly CeremonyStep[]): Html {
  const { minutes } = ACTIONS_TEXT[step.action];
  const files = carried(step, steps);
  const places = new Map([...plan.sites, ...plan.spares].map(({ name, location }) => [name, location]));
  const where = step.station === "root" ? plan.root.location : places.get(step.station);
  return html`<article class="step" id="s${step.id.slice(0, 3)}">
<header><h3>${step.id.slice(0, 3)} · ${step.station}</h3>
<span class="meta">${where === undefined ? "" : `${where} · `}${minutes} min</span></header>
${files.length > 0 ? tick(html`The files of ${files.length > 1 ? "steps" : "step"} ${ranges(files)} have been brought into the folder <code>steps</code>`) : ""}
${dutiesOf(plan, step, steps)}
<div class="fill">${blank("time (UTC)")}${blank("initials")}</div>
</article>\n`;
}

function chapter(plan: CeremonyPlan, own: readonly CeremonyStep[], steps: readonly CeremonyStep[]): Html {
  const [first, ...others] = own;
  if (!first) return html``;
  const { title, explanation, who, destructive } = ACTIONS_TEXT[first.action];
  return html`<section><div class="lead"><h2>${title}</h2>
<p>${explanation}</p>
<p class="meta">Present: ${who}.</p>
${destructive ? html`<p class="destructive">This cannot be undone. It is never done twice.</p>` : ""}
${box(plan, first, steps)}</div>
${others.map((step) => box(plan, step, steps))}</section>\n`;
}

/** @param own those of the steps that the script is for */
export function stepChapters(
  plan: CeremonyPlan,
  steps: readonly CeremonyStep[],
  own: readonly CeremonyStep[],
): readonly Html[] {
  return chaptersOf(own).map((one) => chapter(plan, one, steps));
}

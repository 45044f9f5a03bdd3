/** The model of a ceremony refuses every list of steps but those that keep the order which matters. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import { ACTIONS_TEXT } from "../../src/ceremony/actions-text.ts";
import { type CeremonyPlan, ROOT } from "../../src/ceremony/plan.ts";
import { Walk } from "../../src/ceremony/plan-model.ts";
import { walkSteps } from "../../src/ceremony/plan-walk.ts";
import { type ActionName, type CeremonyStep, stepsOf } from "../../src/ceremony/steps.ts";
import { planOf, replacement, retirement } from "../support/ceremony-plan.ts";

const PLANS: Readonly<Record<string, CeremonyPlan>> = {
  "one site alone": planOf({ sites: 1, spares: 0 }),
  "one site with a spare": planOf({ sites: 1, spares: 1 }),
  "three sites": planOf({ sites: 3, spares: 0 }),
  "three sites with spares": planOf({ sites: 3, spares: 3 }),
  "three sites with t = 1": planOf({ sites: 3, threshold: 1, spares: 1 }),
  "five sites with spares": planOf({ sites: 5, spares: 3 }),
  "seven sites": planOf({ sites: 7, spares: 0 }),
  replacement: replacement({ sites: 3 }),
  retirement: retirement({ sites: 3 }),
  "retirement of the lead site": retirement({ sites: 3 }, { change: { site: "site-a" } }),
};

const ACTIONS = Object.keys(ACTIONS_TEXT) as readonly ActionName[];

/** At one station these may come in either order: none of them needs what the other leaves. */
const EITHER: readonly (readonly [ActionName, ActionName])[] = [
  ["make-transport", "make-originals"],
  ["trust", "make-originals"],
  ["destroy-originals", "remove-transport"],
  ["destroy-originals", "remove-trusted"],
  ["remove-transport", "remove-trusted"],
];

/** The steps in another order or number, with the ids of their new places; a need that is gone goes. */
function renumbered(steps: readonly CeremonyStep[]): readonly CeremonyStep[] {
  const ids = new Map<string, string>();
  const placed = steps.map((step, i) => {
    const id = `${String(i + 1).padStart(3, "0")}.${step.station}.${step.action}`;
    if (!ids.has(step.id)) ids.set(step.id, id);
    return { ...step, id };
  });
  return placed.map((step) => ({ ...step, needs: step.needs.flatMap((need) => ids.get(need) ?? []) }));
}

/** Whether each step comes after all that it reads and after all of its own station that came before. */
function keepsOrder(original: readonly CeremonyStep[], changed: readonly CeremonyStep[]): boolean {
  const place = new Map(changed.map(({ id }, i) => [id, i]));
  const before = (a: CeremonyStep, b: CeremonyStep): boolean =>
    (place.get(a.id) ?? 0) < (place.get(b.id) ?? 0);
  const free = (a: ActionName, b: ActionName): boolean =>
    EITHER.some(([one, other]) => (a === one && b === other) || (a === other && b === one));
  return original.every((step, i) =>
    original.slice(0, i).every((earlier) => {
      const bound =
        step.needs.includes(earlier.id) ||
        (step.station === earlier.station && !free(step.action, earlier.action));
      return !bound || before(earlier, step);
    }),
  );
}

function verdict(plan: CeremonyPlan, steps: readonly CeremonyStep[]): string {
  try {
    walkSteps(plan, steps);
    return "accepted";
  } catch (error) {
    return isStrongroomError(error) ? error.code : String(error);
  }
}

describe.each(Object.entries(PLANS))("%s", (_, plan) => {
  const steps = stepsOf(plan);

  test("the list that follows from the plan is accepted", () => {
    expect(verdict(plan, steps)).toBe("accepted");
  });

  test("a list without any one of its steps is refused", () => {
    for (const left of steps) {
      const rest = renumbered(steps.filter((step) => step !== left));
      expect(verdict(plan, rest), `without ${left.id}`).toBe("plan-invalid");
    }
  });

  test("a list with any step twice is refused", () => {
    fc.assert(
      fc.property(fc.nat(steps.length - 1), fc.nat(steps.length), (from, to) => {
        const step = steps[from];
        const twice = renumbered([...steps.slice(0, to), ...(step ? [step] : []), ...steps.slice(to)]);
        return verdict(plan, twice) === "plan-invalid";
      }),
      { numRuns: 40 },
    );
  });

  test("a step that the list does not have is refused, wherever it comes and whatever it reads", () => {
    const stations = [...new Set(steps.map(({ station }) => station))];
    const strange = ACTIONS.flatMap((action) => stations.map((station) => ({ action, station }))).filter(
      (one) => !steps.some(({ action, station }) => action === one.action && station === one.station),
    );
    fc.assert(
      fc.property(fc.constantFrom(...strange), fc.nat(steps.length), (one, at) => {
        const needs = steps.slice(0, at).map(({ id }) => id);
        const more = renumbered(steps.toSpliced(at, 0, { ...one, id: "new", needs }));
        return verdict(plan, more) === "plan-invalid";
      }),
      { numRuns: 200 },
    );
  });

  test("steps that move or change places are accepted exactly if nothing that matters changes", () => {
    const last = steps.length - 1;
    // All pairs of the short lists are tried, and some of the long ones.
    const pairs =
      last < 30
        ? steps.flatMap((_, i) => steps.map((_, j) => [i, j] as const))
        : fc.sample(fc.tuple(fc.nat(last), fc.nat(last)), { numRuns: 200, seed: 4 });
    const outcomes = new Set<string>();
    for (const [i, j] of pairs) {
      const [one, other] = [steps[i] as CeremonyStep, steps[j] as CeremonyStep];
      for (const changed of [steps.with(i, other).with(j, one), steps.toSpliced(i, 1).toSpliced(j, 0, one)]) {
        const expected = keepsOrder(steps, changed) ? "accepted" : "plan-invalid";
        expect(verdict(plan, renumbered(changed)), `${one.id} and ${other.id}`).toBe(expected);
        outcomes.add(expected);
      }
    }
    expect(outcomes).toContain("plan-invalid");
  });

  test("a step that does not read what it needs is refused, for each thing that it needs", () => {
    const walk = new Walk(plan);
    const gives = (from: string, to: string): boolean =>
      walk.parts.some(
        (part) => part.name === from && walk.destinationsOf(part).some(({ name }) => name === to),
      );
    for (const [i, step] of steps.entries())
      for (const need of step.needs) {
        const read = steps.find(({ id }) => id === need);
        // What the list lets people read beyond their needs: all transport keys, all packages, the root's opening.
        if (read?.action === "make-transport" && !gives(step.station, read.station)) continue;
        if (read?.action === "export" && !gives(read.station, step.station)) continue;
        if (read?.action === "open" && read.station === ROOT) continue;
        const changed = steps.with(i, { ...step, needs: step.needs.filter((one) => one !== need) });
        expect(verdict(plan, changed), `${step.id} without ${need}`).toBe("plan-invalid");
      }
  });

  test("a step at another station, of another name or out of number is refused", () => {
    for (const [i, step] of steps.entries()) {
      const elsewhere = {
        ...step,
        station: "nowhere",
        id: step.id.replace(`.${step.station}.`, ".nowhere."),
      };
      expect(verdict(plan, steps.with(i, elsewhere))).toBe("plan-invalid");
      expect(verdict(plan, steps.with(i, { ...step, id: `9${step.id}` }))).toBe("plan-invalid");
    }
  });
});

/** How long a ceremony takes, from the estimates of its actions: for each station, and in all. */
import { ACTIONS_TEXT } from "./actions-text.ts";
import type { CeremonyStep } from "./steps.ts";

export interface StationTime {
  readonly station: string;
  readonly steps: readonly CeremonyStep[];
  readonly minutes: number;
}

export interface PlanTimes {
  readonly stations: readonly StationTime[];
  /** With one team that goes from station to station, without the way. */
  readonly oneTeam: number;
  /** With people at every station at the same time, and files that take no time. */
  readonly atOnce: number;
}

const minutesOf = ({ action }: CeremonyStep): number => ACTIONS_TEXT[action].minutes;

export function timesOf(steps: readonly CeremonyStep[]): PlanTimes {
  const stations = [...new Set(steps.map(({ station }) => station))].map((station) => {
    const own = steps.filter((step) => step.station === station);
    return { station, steps: own, minutes: own.reduce((sum, step) => sum + minutesOf(step), 0) };
  });
  const ends = new Map<string, number>();
  const free = new Map<string, number>();
  for (const step of steps) {
    const start = Math.max(free.get(step.station) ?? 0, ...step.needs.map((id) => ends.get(id) ?? 0));
    const end = start + minutesOf(step);
    ends.set(step.id, end);
    free.set(step.station, end);
  }
  return {
    stations,
    oneTeam: stations.reduce((sum, { minutes }) => sum + minutes, 0),
    atOnce: Math.max(0, ...ends.values()),
  };
}

/** `2 h 05 min`. */
export function duration(minutes: number): string {
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  return hours === 0 ? `${rest} min` : `${hours} h ${String(rest).padStart(2, "0")} min`;
}

/** Claims as people read them: what one claim came to, and what the whole evidence came to. */
import type { CeremonyMode } from "../plan.ts";
import type { Claim, ClaimId, ClaimSource } from "./claim.ts";

/** All answers to one claim. */
export interface ClaimSummary {
  readonly id: ClaimId;
  readonly title: string;
  /** The weakest on which an answer rests is not hidden: all are named. */
  readonly sources: readonly ClaimSource[];
  readonly ok: boolean;
  readonly findings: readonly Claim[];
}

/** In the order of the claims. */
export function summarise(claims: readonly Claim[]): readonly ClaimSummary[] {
  const ids = [...new Set(claims.map(({ id }) => id))];
  return ids.map((id) => {
    const findings = claims.filter((claim) => claim.id === id);
    return {
      id,
      title: findings[0]?.title ?? "",
      sources: [...new Set(findings.map(({ source }) => source))],
      ok: findings.every(({ ok }) => ok),
      findings,
    };
  });
}

export interface SameFindings {
  /** `site-a, site-b: ake, record`, or nothing: each of these stations, with each of these keys. */
  readonly about: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Findings that say the same, as one. Failures come first. */
export function sameFindings(findings: readonly Claim[]): readonly SameFindings[] {
  // First the keys of a station, then the stations that have the same keys: nothing is said of anybody else.
  const ofStations = grouped(findings, ({ ok, detail, station }) => `${ok} ${station ?? ""} ${detail}`).map(
    (group) => ({ keys: names(group.map(({ key }) => key)), group }),
  );
  return grouped(ofStations, ({ keys, group: [first] }) => `${first?.ok} ${keys} ${first?.detail}`)
    .map((groups) => {
      const all = groups.flatMap(({ group }) => group);
      const about = [names(all.map(({ station }) => station)), groups[0]?.keys ?? ""];
      return {
        about: about.filter((part) => part !== "").join(": "),
        ok: all.every(({ ok }) => ok),
        detail: all[0]?.detail ?? "",
      };
    })
    .sort((a, b) => Number(a.ok) - Number(b.ok));
}

function names(all: readonly (string | undefined)[]): string {
  return [...new Set(all.filter((name) => name !== undefined))].join(", ");
}

/** In the order of the first of each group. */
function grouped<T>(all: readonly T[], by: (one: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(by(one), [...(groups.get(by(one)) ?? []), one]);
  return [...groups.values()];
}

/** One line that nobody can take for another. */
export function verdict(claims: readonly Claim[], mode: CeremonyMode | undefined): string {
  const all = summarise(claims);
  const failed = all.filter(({ ok }) => !ok).length;
  const what = mode === "rehearsal" ? "REHEARSAL: " : "";
  if (failed > 0) return `${what}${failed} of ${all.length} claims do not hold.`;
  return `${what}all ${all.length} claims hold.`;
}

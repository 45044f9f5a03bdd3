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

/** Findings that say the same, as one: who they are about, and what is said. Failures come first. */
export function sameFindings(
  findings: readonly Claim[],
): readonly { readonly about: string; readonly ok: boolean; readonly detail: string }[] {
  const groups = new Map<string, Claim[]>();
  for (const finding of findings) {
    const said = `${finding.ok} ${finding.detail}`;
    groups.set(said, [...(groups.get(said) ?? []), finding]);
  }
  return [...groups.values()]
    .map((group) => ({
      about: aboutOf(group),
      ok: group.every(({ ok }) => ok),
      detail: group[0]?.detail ?? "",
    }))
    .sort((a, b) => Number(a.ok) - Number(b.ok));
}

/** `site-a, site-b: ake, record`, or nothing. */
function aboutOf(findings: readonly Claim[]): string {
  const distinct = (names: readonly (string | undefined)[]): string =>
    [...new Set(names.filter((name) => name !== undefined))].join(", ");
  return [distinct(findings.map(({ station }) => station)), distinct(findings.map(({ key }) => key))]
    .filter((part) => part !== "")
    .join(": ");
}

/** One line that nobody can take for another. */
export function verdict(claims: readonly Claim[], mode: CeremonyMode | undefined): string {
  const all = summarise(claims);
  const failed = all.filter(({ ok }) => !ok).length;
  const what = mode === "rehearsal" ? "REHEARSAL: " : "";
  if (failed > 0) return `${what}${failed} of ${all.length} claims do not hold.`;
  return `${what}all ${all.length} claims hold.`;
}

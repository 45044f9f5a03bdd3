/**
 * What a ceremony's evidence is asked, and what an answer looks like. A claim holds only as strongly as its source:
 * whoever reads "proved" must be able to do the sum himself, and what a library or a person merely said is never
 * called so.
 */
import type { EvidenceReading } from "../evidence-reading.ts";

/**
 * proved: follows from signatures and arithmetic that anybody can repeat. vendor-attested: a device's maker signed it.
 * library-reported: the tokens' libraries said so to the tool, and the stations' keys signed what the tool wrote down.
 * officer-stated: people said so.
 */
export type ClaimSource = "proved" | "vendor-attested" | "library-reported" | "officer-stated";

/** Every claim, in the order in which they are checked. */
export const CLAIM_IDS = [
  "files-intact",
  "plan-possible",
  "plan-fixed",
  "mode",
  "plan-approved",
  "statements-signed",
  "statements-linked",
  "transcript-intact",
  "transcript-follows-plan",
  "sites",
  "devices",
  "software",
  "certificates",
  "predecessor",
  "possession",
  "attributes",
  "refusals",
  "holders",
  "inventory",
  "sealed",
  "credentials",
  "manifest",
  "change",
  "exceptions",
  "closed",
  "attachments",
  "closing-approved",
] as const;
export type ClaimId = (typeof CLAIM_IDS)[number];

/** One answer; a claim may give one for each station or key. */
export interface Finding {
  readonly ok: boolean;
  /** For people: one plain sentence, or several. */
  readonly detail: string;
  readonly station?: string | undefined;
  readonly key?: string | undefined;
  /** Where it is another than the claim's. */
  readonly source?: ClaimSource | undefined;
}

export interface Claim extends Finding {
  readonly id: ClaimId;
  readonly title: string;
  readonly source: ClaimSource;
}

export interface ClaimRule {
  readonly id: ClaimId;
  /** What holds if it passes. */
  readonly title: string;
  readonly source: ClaimSource;
  /** Claims without which this one would mean nothing. */
  readonly needs: readonly ClaimId[];
  /** Some ceremonies have no such thing: their plans say so. */
  readonly appliesTo?: (evidence: EvidenceReading) => boolean;
  /** @throws any StrongroomError, which fails the claim */
  readonly check: (evidence: EvidenceReading) => readonly Finding[];
}

/** The problems, each as a failure, or one answer that all is well. */
export function judged(
  problems: readonly string[],
  well: string,
  about: Pick<Finding, "station" | "key" | "source"> = {},
): readonly Finding[] {
  return problems.length === 0
    ? [{ ok: true, detail: well, ...about }]
    : problems.map((detail) => ({ ok: false, detail, ...about }));
}

/** The same names, each once. */
export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set(a).size === a.length && a.every((one) => b.includes(one));
}

/**
 * What an auditor asks of a fleet before it signs that it was announced: one file, written by the auditor's people and
 * published beside what they sign. hsm-config/auditor/policy.yaml explains every key.
 */
import { z } from "zod";
import { CLAIM_IDS, type ClaimId, type ClaimSource } from "../ceremony/claims/claim.ts";
import { loadYamlConfig, schemaKeys } from "../token/yaml-config.ts";

export interface AuditPolicy {
  /** Evidence of rehearsals is refused. */
  readonly production: boolean;
  /** Fleets that bring no evidence are refused. */
  readonly evidenceRequired: boolean;
  /** From its making, an announcement is valid for no longer. */
  readonly maxValidityDays: number;
  /** Which fleets may be added to a namespace; `*` stands for any characters. */
  readonly mayAdd: {
    /** By name. */
    readonly fleets: readonly string[];
    /** Each of its sites by the host of its URL. */
    readonly hosts: readonly string[];
    /** Keys of other auditors (hex) and logs (vkeys) that clients may be told to believe as well; none by default. */
    readonly keys?: readonly string[] | undefined;
  };
  /** Claims that must hold where they apply, and on what they must rest at least. */
  readonly claims: Readonly<Partial<Record<ClaimId, ClaimSource>>>;
}

/** The strongest first: what rests on less than was asked does not count. */
const SOURCES = ["proved", "vendor-attested", "library-reported", "officer-stated"] as const;

/** Does what rests on `source` satisfy whoever asks for `least`? */
export function restsOn(source: ClaimSource, least: ClaimSource): boolean {
  return SOURCES.indexOf(source) <= SOURCES.indexOf(least);
}

const HINT = "hsm-config/auditor/policy.yaml explains every key";
const patterns = z
  .array(z.string().regex(/^[a-z0-9.*-]{1,253}$/, "lower-case letters, digits, dots, hyphens and *"))
  .min(1)
  .max(256);

const schema: z.ZodType<AuditPolicy> = z.strictObject({
  production: z.boolean().describe("write true, or false for rehearsals and trials"),
  evidenceRequired: z.boolean().describe("write true, or false where fleets were made without a ceremony"),
  maxValidityDays: z
    .number()
    .int()
    .min(1)
    .max(3_660)
    .describe("write how many days an announcement may be valid, e.g. 400"),
  mayAdd: z
    .strictObject({
      fleets: patterns.describe('write names of fleets, e.g. ["vault-*"]'),
      hosts: patterns.describe('write hosts of sites, e.g. ["*.vault.example"]'),
      keys: z
        .array(z.string().min(1).max(256))
        .max(64)
        .optional()
        .describe("write public keys of other auditors and vkeys of other logs, or leave it out"),
    })
    .describe("say which fleets and sites may be added"),
  claims: z
    .partialRecord(z.enum(CLAIM_IDS), z.enum(SOURCES))
    .describe(`write claim: source; sources are ${SOURCES.join(", ")}`),
});

/** @throws config-invalid with one line for each thing that is wrong */
export function loadPolicy(file: string): AuditPolicy {
  return loadYamlConfig(file, schema, HINT, "name a readable policy; hsm-config/auditor/policy.yaml is one");
}

/** Every key that can be written. For the test that all are documented. */
export function policyKeys(): readonly string[] {
  return schemaKeys(schema);
}

/** Does a name match one of the patterns? */
export function matches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => {
    const [first = "", ...rest] = pattern.split("*");
    if (rest.length === 0) return pattern === name;
    const last = rest.pop() ?? "";
    if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
      return false;
    // What stands between stars occurs in its order, each piece as early as it can.
    let at = first.length;
    return rest.every((piece) => {
      const found = name.indexOf(piece, at);
      at = found + piece.length;
      return found >= 0 && at <= name.length - last.length;
    });
  });
}

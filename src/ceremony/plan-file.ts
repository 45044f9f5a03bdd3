/**
 * Reads a ceremony's plan: YAML with a strict schema. Its bytes are kept as they are, for it is these that are hashed,
 * approved and carried to every station. Whether the plan can work at all is for plan-check.ts to say.
 */
import { z } from "zod";
import { fromUtf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { parseTokenUri } from "../token/uri.ts";
import { checkYaml } from "../token/yaml-config.ts";
import type { CeremonyPlan, CredentialPolicy, PlannedOfficer, PlannedToken } from "./plan.ts";

export interface PlanFile {
  readonly plan: CeremonyPlan;
  readonly bytes: Uint8Array;
  /** "The plan's hash": SHA-256 of the bytes, hex. */
  readonly sha256: string;
}

/** For whoever has a plan that cannot be used. */
export const PLAN_HINT = "hsm-config/ceremonies has plans in which every key is explained";
/** A plan of seven sites with spares has about 15,000. */
const MAX_PLAN_BYTES = 262_144;

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "not a name")
  .describe("write lower-case letters, digits and hyphens");
/** On one line: it is printed into forms and transcripts. */
const line = (max: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, "has characters that do not print");
const person = line(100).describe("write the person's name as it shall be printed");
/** An approval is a file that is called after its officer, on whatever file system the evidence is kept. */
const officer = z
  .string()
  .max(60)
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9 .-]*[A-Za-z0-9])?$/, "not a name that a file can have")
  .describe("write the officer's name in letters A to Z, digits, spaces, dots and hyphens");
const location = line(200).describe("write where it stands, for people").optional();
const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "not a SHA-256 in lower-case hex")
  .describe("write 64 hexadecimal digits, in quotes");
const publicKey = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "not an Ed25519 public key in lower-case hex")
  .describe("write the 32 bytes of the Ed25519 public key as 64 hexadecimal digits, in quotes");
const secretFile = z
  .string()
  .regex(/^(?:file:)?\/[^/]/, "not a file with an absolute path")
  .describe("write file:/absolute/path of a file of mode 0600, or leave it out: then a person types the PIN");

/** With the module; without a `pin-source` a person types the PIN. */
const uri = z
  .string()
  .superRefine((text, context) => {
    try {
      if (!parseTokenUri(text).modulePath)
        context.addIssue({ code: "custom", message: "the URI names no module-path" });
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      context.addIssue({ code: "custom", message: error.message, params: { fix: error.hint } });
    }
  })
  .describe("write the token's URI with token and module-path, and pin-source where no person types the PIN");

const token: z.ZodType<PlannedToken> = z
  .strictObject({
    uri,
    profile: line(500).describe("write the name of a file in hsm-config/profiles, e.g. luna7, or a path"),
    serial: line(16)
      .optional()
      .describe(
        "write the serial number that is on the device, in quotes (`strongroom token list` shows it)",
      ),
    soPinSource: secretFile.optional(),
    env: z
      .record(z.string().regex(/^[A-Z_][A-Z0-9_]*$/, "not the name of a variable"), line(1000))
      .optional()
      .describe("write what the PKCS#11 module needs, e.g. {SOFTHSM2_CONF: /path/softhsm2.conf}"),
  })
  .describe("say which token it is: uri, profile and serial");

const officers: z.ZodType<readonly PlannedOfficer[]> = z
  .array(z.strictObject({ name: officer, publicKey }).describe("write the officer's name and publicKey"))
  .min(1)
  .max(32)
  .describe("list the officers, each with name and publicKey");

const credentials: z.ZodType<CredentialPolicy> = z
  .discriminatedUnion("soPin", [
    z.strictObject({ soPin: z.literal("destroy") }),
    z.strictObject({
      soPin: z.literal("split"),
      quorum: z.number().int().min(1).max(255),
      custodians: z.array(person).min(1).max(255),
    }),
  ])
  .describe("write {soPin: destroy}, or {soPin: split, quorum: 2, custodians: [names]}");

const site = z
  .strictObject({
    name,
    url: z
      .url({ protocol: /^https?$/ })
      .describe("write where clients reach it, e.g. https://site-a.example"),
    location,
    token,
  })
  .describe("write the site's name, url and token");

const spare = z
  .strictObject({
    name,
    for: name.describe("write the name of the site that it can replace"),
    location,
    token,
  })
  .describe("write the spare's name, the site that it is for, and its token");

const type = z
  .literal("strongroom/ceremony-plan/v1")
  .describe("a ceremony's plan has type: strongroom/ceremony-plan/v1");

const schema: z.ZodType<CeremonyPlan> = z.strictObject({
  type,
  kind: z.enum(["create", "replace", "retire"]).describe("write create, replace or retire"),
  mode: z.enum(["production", "rehearsal"]).describe("write production or rehearsal"),
  title: line(200).describe("write what the printed script shall be called"),
  date: z.iso.date().describe("write the day of the ceremony as YYYY-MM-DD"),
  fleet: name.describe("write the fleet's name: lower-case letters, digits and hyphens"),
  threshold: z.number().int().min(1).max(7).describe("write how many sites take part in an evaluation"),
  maxAttempts: z.number().int().min(1).max(100).describe("write a whole number from 1 to 100"),
  officers: z
    .strictObject({
      quorum: z.number().int().min(1).max(32).describe("write how many officers must sign"),
      members: officers,
    })
    .describe("write the quorum and the members"),
  credentials,
  software: z
    .strictObject({
      release: line(100).describe("write the version of Strongroom, e.g. 0.1.0"),
      digest: hash,
    })
    .describe("write release and digest as `strongroom ceremony plan` prints them"),
  auditor: z
    .strictObject({ name: line(200).describe("write the auditor's name"), publicKey: publicKey.optional() })
    .optional()
    .describe("write the auditor's name and, if known, publicKey"),
  root: z.strictObject({ token, location }).describe("say which token has the root key"),
  sites: z.array(site).min(1).max(7).describe("list 1, 3, 5 or 7 sites, each once"),
  spares: z.array(spare).max(21).describe("list the spare tokens; write [] if there are none"),
  softwareTokensAccepted: line(500).optional().describe("write in words why software tokens will do"),
  predecessor: z
    .strictObject({
      manifest: hash.describe(
        "write the SHA-256 of the manifest that is in force, 64 hexadecimal digits, in quotes",
      ),
      evidence: line(500)
        .regex(/^[^/]/, "not a relative path")
        .describe("write the folder of the last ceremony's evidence, relative to the plan"),
    })
    .optional()
    .describe("write manifest and evidence of what the fleet is before"),
  change: z
    .strictObject({ site: name, spare: name.optional() })
    .optional()
    .describe("write the site, and the spare that takes its place"),
});

/**
 * A plan from its bytes.
 * @param file what errors call it
 * @throws plan-invalid with one line for each thing that is wrong, each with line, column and what to write
 */
export function decodePlan(bytes: Uint8Array, file: string): CeremonyPlan {
  if (bytes.length > MAX_PLAN_BYTES)
    throw new StrongroomError("plan-invalid", `${file} is too large for a plan`, { hint: PLAN_HINT });
  let text: string;
  try {
    text = fromUtf8(bytes);
  } catch (cause) {
    throw new StrongroomError("plan-invalid", `${file} is not UTF-8`, { cause, hint: PLAN_HINT });
  }
  const source = { text, file, code: "plan-invalid", hint: PLAN_HINT } as const;
  // Of a file of another kind, nothing else is worth saying.
  checkYaml(source, z.looseObject({ type }));
  return checkYaml(source, schema);
}

/** For the test that every key is explained. */
export const planSchema: z.ZodType = schema;

/**
 * An auditor's configuration: `auditor.yaml` in its data directory. `strongroom auditor init` writes it; people may
 * edit it. hsm-config/auditor/auditor.yaml explains every key.
 */
import { join, resolve } from "node:path";
import { z } from "zod";
import { isStrongroomError } from "../base/errors.ts";
import { parseVkey } from "../merkle/vkey.ts";
import { configuredUri } from "../token/uri-schema.ts";
import { loadYamlConfig, schemaKeys } from "../token/yaml-config.ts";
import { NAMESPACE_PATTERN, sha256Hex } from "../wire/announcement.ts";
import type { Ciphersuite } from "../wire/audit.ts";

export interface AuditorKey {
  /** CKA_LABEL. */
  readonly label: string;
  /** Ed25519, hex. */
  readonly publicKey: string;
}

export interface WitnessConfig {
  /** C2SP vkey (cosignature/v1). */
  readonly vkey: string;
  /** Its submission prefix: `<url>/add-checkpoint`. */
  readonly url: string;
}

export interface NamespaceConfig {
  readonly name: string;
  /** Reads are answered, writes are not. */
  readonly disabled: boolean;
  /** First line of its checkpoints. */
  readonly origin: string;
  readonly ciphersuite: Ciphersuite;
  /** SHA-256 (hex) of the operator's bearer token. */
  readonly operatorToken: string;
  /** Digest (hex) that epoch 1 must have, where one was agreed. */
  readonly root?: string | undefined;
  readonly keys: {
    /** Oldest first; a key signs once an epoch has announced it. `notBefore`: milliseconds since the Unix epoch. */
    readonly audit: readonly (AuditorKey & { readonly notBefore: number })[];
    readonly checkpoint: AuditorKey;
  };
  readonly witnesses: readonly WitnessConfig[];
  /** So many of them must cosign a checkpoint before it is published. */
  readonly witnessQuorum: number;
  readonly witnessTimeoutMs: number;
}

export interface AuditorConfig {
  /** The data directory; absolute. */
  readonly dir: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly operations?: { readonly host: string; readonly port: number } | undefined;
  readonly token: { readonly uri: string; readonly profile: string; readonly deadlineMs: number };
  /** Path of the policy; absolute. */
  readonly policy: string;
  readonly namespaces: readonly NamespaceConfig[];
  readonly requestsPerSecondPerAddress: number;
  readonly trustProxy: false | number;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error" };
  readonly drain: { readonly noticeMs: number; readonly deadlineMs: number };
}

const HINT = "hsm-config/auditor/auditor.yaml explains every key";
export const CONFIG_FILE = "auditor.yaml";
/** Origins go into lines of notes and names of keys: no white space, no plus sign. */
export const ORIGIN_PATTERN: RegExp = /^[^\s+]{1,160}$/;

const whole = (min: number, max: number, unit: string): z.ZodNumber =>
  z.number().int().min(min).max(max).describe(`write a whole number of ${unit} from ${min} to ${max}`);
const listen = z.strictObject({
  host: z.string().min(1).max(253).default("127.0.0.1").describe("write an address of this machine"),
  port: z.number().int().min(0).max(65_535).describe("write a TCP port, e.g. 8460; 0 takes any free one"),
});
const label = z.string().min(1).max(200).describe("write the key's CKA_LABEL");
const publicKey = sha256Hex.describe("write the Ed25519 public key: 64 hexadecimal digits, in quotes");
const distinct = (all: readonly string[]): boolean => new Set(all).size === all.length;

function isCosigner(vkey: string): boolean {
  try {
    return parseVkey(vkey).kind === "cosignature";
  } catch (error) {
    if (isStrongroomError(error)) return false;
    throw error;
  }
}

const namespace = z
  .strictObject({
    name: z.string().regex(NAMESPACE_PATTERN).describe("write the operator's name in the log"),
    disabled: z.boolean().default(false).describe("write true to refuse new epochs"),
    origin: z
      .string()
      .regex(ORIGIN_PATTERN)
      .describe("write the log's name, e.g. auditor.example/logs/vault"),
    ciphersuite: z
      .union([z.literal(1), z.literal(2)])
      .default(1)
      .describe("write 1 (protobuf), or 2 (bincode) for old verifiers"),
    operatorToken: sha256Hex.describe("write the SHA-256 of the operator's token, in quotes"),
    root: z
      .string()
      .regex(/^1\/[0-9a-f]{64}$/)
      .transform((text) => text.slice(2))
      .optional()
      .describe("write 1/ and the SHA-256 of the first announcement"),
    keys: z.strictObject({
      audit: z
        .array(
          z.strictObject({
            label,
            publicKey,
            notBefore: z.number().int().nonnegative().safe().describe("write milliseconds since 1970"),
          }),
        )
        .min(1)
        .max(8)
        .describe("list the audit keys, oldest first"),
      checkpoint: z.strictObject({ label, publicKey }),
    }),
    witnesses: z
      .array(
        z.strictObject({
          vkey: z
            .string()
            .max(256)
            .refine(isCosigner, "not the vkey of a cosigner")
            .describe("write the witness's vkey: name+id+key, as `strongroom witness init` prints it"),
          url: z.url({ protocol: /^https?$/ }).describe("write the witness's URL"),
        }),
      )
      .max(16)
      .default([]),
    witnessQuorum: whole(0, 16, "witnesses").default(0),
    witnessTimeoutMs: whole(100, 60_000, "milliseconds").default(5_000),
  })
  .refine(({ keys: { audit, checkpoint } }) => audit.every((one) => one.publicKey !== checkpoint.publicKey), {
    path: ["keys"],
    message: "audits and checkpoints have the same key",
  })
  .refine(({ witnesses, witnessQuorum }) => witnessQuorum <= witnesses.length, {
    path: ["witnessQuorum"],
    message: "more than there are witnesses",
  });

const schema = z.strictObject({
  listen,
  operations: listen.optional(),
  token: z.strictObject({
    uri: configuredUri.describe("write pkcs11:token=…?module-path=…&pin-source=file:…"),
    profile: z.string().min(1).describe("write the name of a file in hsm-config/profiles, or a path"),
    deadlineMs: whole(100, 60_000, "milliseconds").default(10_000),
  }),
  policy: z.string().min(1).default("policy.yaml").describe("write the path of the policy"),
  namespaces: z
    .array(namespace)
    .min(1)
    .max(64)
    .refine((all) => distinct(all.map(({ name }) => name)), "a namespace occurs twice")
    .refine((all) => distinct(all.map(({ origin }) => origin)), "two logs have the same origin")
    .refine(
      (all) => distinct(all.flatMap(({ keys }) => keys.audit.map(({ publicKey: key }) => key.slice(-2)))),
      "two audit keys end in the same byte, by which Plexi's clients tell them apart",
    ),
  requestsPerSecondPerAddress: whole(1, 1_000_000, "requests").default(100),
  trustProxy: z
    .union([z.literal(false), z.number().int().min(1).max(10)])
    .default(false)
    .describe("write false, or the number of proxies in front"),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error"]).default("info") }).prefault({}),
  drain: z
    .strictObject({
      noticeMs: whole(0, 120_000, "milliseconds").default(500),
      deadlineMs: whole(0, 600_000, "milliseconds").default(10_000),
    })
    .prefault({}),
});

/** What the file says, checked. */
type AuditorFile = Omit<AuditorConfig, "dir">;
const fileSchema: z.ZodType<AuditorFile> = schema;

/** @param dir the data directory @throws config-invalid with one line for each thing that is wrong */
export function loadAuditorConfig(dir: string): AuditorConfig {
  const config = loadYamlConfig(join(dir, CONFIG_FILE), fileSchema, HINT);
  const { profile } = config.token;
  return {
    ...config,
    dir: resolve(dir),
    policy: resolve(dir, config.policy),
    token: { ...config.token, profile: profile.includes("/") ? resolve(dir, profile) : profile },
  };
}

/** Every key that can be written. For the test that all are documented. */
export function auditorConfigKeys(): readonly string[] {
  return schemaKeys(fileSchema);
}

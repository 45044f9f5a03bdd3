/**
 * An auditor's configuration: `auditor.yaml` in its data directory. `strongroom auditor init` writes it; people may
 * edit it. hsm-config/auditor/auditor.yaml explains every key.
 */
import { join, resolve } from "node:path";
import { z } from "zod";
import { loadYamlConfig, schemaKeys } from "../token/yaml-config.ts";
import { NAMESPACE_PATTERN, sha256Hex } from "../wire/announcement.ts";
import type { Ciphersuite } from "../wire/audit.ts";
import type { EvidenceLimits } from "./evidence-process.ts";
import {
  type AuditorKey,
  commonFields,
  isVkey,
  keyFields,
  listenOn,
  type SigningServiceConfig,
  tokenIn,
  tokenSchema,
  whole,
} from "./signing-service-config.ts";

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

export interface AuditorConfig extends SigningServiceConfig {
  readonly operations?: SigningServiceConfig["listen"] | undefined;
  /** Path of the policy; absolute. */
  readonly policy: string;
  /** For the check of the evidence of one announcement. */
  readonly evidenceCheck: EvidenceLimits;
  readonly namespaces: readonly NamespaceConfig[];
}

const HINT = "hsm-config/auditor/auditor.yaml explains every key";
const UNREAD = "name with --data the directory that `strongroom auditor init` made";
export const CONFIG_FILE = "auditor.yaml";
/** Origins go into lines of notes and names of keys: no white space, no plus sign. */
export const ORIGIN_PATTERN: RegExp = /^[^\s+]{1,160}$/;

const listen = listenOn(8_460);
const distinct = (all: readonly string[]): boolean => new Set(all).size === all.length;

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
            ...keyFields,
            notBefore: z.number().int().nonnegative().safe().describe("write milliseconds since 1970"),
          }),
        )
        .min(1)
        .max(8)
        .describe("list the audit keys, oldest first"),
      checkpoint: z.strictObject(keyFields),
    }),
    witnesses: z
      .array(
        z.strictObject({
          vkey: z
            .string()
            .max(256)
            .refine((vkey) => isVkey(vkey, "cosignature"), "not the vkey of a cosigner")
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
  token: tokenSchema,
  policy: z.string().min(1).default("policy.yaml").describe("write the path of the policy"),
  evidenceCheck: z
    .strictObject({
      deadlineMs: whole(1_000, 3_600_000, "milliseconds").default(120_000),
      memoryMb: whole(256, 65_536, "MiB").default(1_024),
    })
    .prefault({}),
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
  ...commonFields,
});

/** What the file says, checked. */
type AuditorFile = Omit<AuditorConfig, "dir">;
const fileSchema: z.ZodType<AuditorFile> = schema;

/** @param dir the data directory @throws config-invalid with one line for each thing that is wrong */
export function loadAuditorConfig(dir: string): AuditorConfig {
  const config = loadYamlConfig(join(dir, CONFIG_FILE), fileSchema, HINT, UNREAD);
  return {
    ...config,
    dir: resolve(dir),
    policy: resolve(dir, config.policy),
    token: tokenIn(dir, config.token),
  };
}

/** Every key that can be written. For the test that all are documented. */
export function auditorConfigKeys(): readonly string[] {
  return schemaKeys(fileSchema);
}

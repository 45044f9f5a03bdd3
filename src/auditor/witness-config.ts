/** A witness's configuration: `witness.yaml` in its directory; hsm-config/auditor/witness.yaml explains every key. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseDocument, stringify } from "yaml";
import { z } from "zod";
import { utf8 } from "../base/bytes.ts";
import { isKeyName, parseVkey, type VerifierKey } from "../merkle/vkey.ts";
import { configuredUri } from "../token/uri-schema.ts";
import { loadYamlConfig, schemaKeys } from "../token/yaml-config.ts";
import { sha256Hex } from "../wire/announcement.ts";
import type { AuditorConfig, AuditorKey } from "./config.ts";
import { writeDurably } from "./durable-file.ts";

export interface WitnessConfig
  extends Pick<
    AuditorConfig,
    "dir" | "listen" | "token" | "requestsPerSecondPerAddress" | "trustProxy" | "log" | "drain"
  > {
  readonly name: string;
  readonly key: AuditorKey;
  /** vkeys of the logs' checkpoint keys. */
  readonly logs: readonly string[];
}

/** What a new file says; the rest has defaults. */
export type NewWitness = Pick<WitnessConfig, "listen" | "name" | "key" | "logs"> & {
  readonly token: { readonly uri: string; readonly profile: string };
};

const HINT = "hsm-config/auditor/witness.yaml explains every key";
const CONFIG_FILE = "witness.yaml";

const whole = (min: number, max: number, unit: string): z.ZodNumber =>
  z.number().int().min(min).max(max).describe(`write a whole number of ${unit} from ${min} to ${max}`);

/** A vkey of a log (type 01). */
export function isLogKey(vkey: string): boolean {
  try {
    return parseVkey(vkey).kind === "note";
  } catch {
    return false;
  }
}

const schema: z.ZodType<Omit<WitnessConfig, "dir">> = z.strictObject({
  listen: z.strictObject({
    host: z.string().min(1).max(253).default("127.0.0.1").describe("write an address of this machine"),
    port: z.number().int().min(0).max(65_535).describe("write a TCP port, e.g. 8470; 0 takes any free one"),
  }),
  token: z.strictObject({
    uri: configuredUri.describe("write pkcs11:token=…?module-path=…&pin-source=file:…"),
    profile: z.string().min(1).describe("write the name of a file in hsm-config/profiles, or a path"),
    deadlineMs: whole(100, 60_000, "milliseconds").default(10_000),
  }),
  name: z.string().refine(isKeyName).describe("write the witness's name, e.g. witness.example/w1"),
  key: z.strictObject({
    label: z.string().min(1).max(200).describe("write the key's CKA_LABEL"),
    publicKey: sha256Hex.describe("write the Ed25519 public key: 64 hexadecimal digits, in quotes"),
  }),
  logs: z
    .array(z.string().max(256).refine(isLogKey).describe("write a log's vkey, name+id+base64"))
    .max(256)
    .default([]),
  requestsPerSecondPerAddress: whole(1, 1_000_000, "requests").default(20),
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

/** @param dir the witness's directory @throws config-invalid with one line for each thing that is wrong */
export function loadWitnessConfig(dir: string): WitnessConfig {
  const config = loadYamlConfig(join(dir, CONFIG_FILE), schema, HINT);
  const { profile } = config.token;
  return {
    ...config,
    dir: resolve(dir),
    token: { ...config.token, profile: profile.includes("/") ? resolve(dir, profile) : profile },
  };
}

export function witnessLogs({ logs }: WitnessConfig): readonly VerifierKey[] {
  return logs.map(parseVkey);
}

/** Undefined where the directory has no configuration yet. @throws config-invalid */
export function existingWitness(dir: string): WitnessConfig | undefined {
  return existsSync(join(dir, CONFIG_FILE)) ? loadWitnessConfig(dir) : undefined;
}

/** Writes the configuration of a new witness. @throws config-invalid; file-failed */
export async function writeWitnessConfig(dir: string, config: NewWitness): Promise<WitnessConfig> {
  await writeDurably(join(dir, CONFIG_FILE), utf8(`# ${HINT}.\n${stringify(config)}`));
  return loadWitnessConfig(dir);
}

/** Adds logs to the file that is there; what people wrote around them stays. @throws config-invalid; file-failed */
export async function addLogs(dir: string, logs: readonly string[]): Promise<WitnessConfig> {
  const path = join(dir, CONFIG_FILE);
  const document = parseDocument(readFileSync(path, "utf8"));
  for (const vkey of logs) document.addIn(["logs"], vkey);
  await writeDurably(path, utf8(String(document)));
  return loadWitnessConfig(dir);
}

/** Every key that can be written. For the test that all are documented. */
export function witnessConfigKeys(): readonly string[] {
  return schemaKeys(schema);
}

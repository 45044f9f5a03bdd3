/** A witness's configuration: `witness.yaml` in its directory; hsm-config/auditor/witness.yaml explains every key. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseDocument, stringify } from "yaml";
import { z } from "zod";
import { utf8 } from "../base/bytes.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { isKeyName, parseVkey, type VerifierKey } from "../merkle/vkey.ts";
import { loadYamlConfig, schemaKeys } from "../token/yaml-config.ts";
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

export interface WitnessConfig extends SigningServiceConfig {
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
const UNREAD = "name with --data the directory that `strongroom witness init` made";
const CONFIG_FILE = "witness.yaml";

/** A vkey of a log (type 01). */
export function isLogKey(vkey: string): boolean {
  return isVkey(vkey, "note");
}

const schema: z.ZodType<Omit<WitnessConfig, "dir">> = z.strictObject({
  listen: listenOn(8_470),
  token: tokenSchema,
  name: z.string().refine(isKeyName).describe("write the witness's name, e.g. witness.example/w1"),
  key: z.strictObject(keyFields),
  logs: z
    .array(z.string().max(256).refine(isLogKey).describe("write a log's vkey, name+id+base64"))
    .max(256)
    .default([]),
  requestsPerSecondPerAddress: whole(1, 1_000_000, "requests").default(20),
  ...commonFields,
});

/** @param dir the witness's directory @throws config-invalid with one line for each thing that is wrong */
export function loadWitnessConfig(dir: string): WitnessConfig {
  const config = loadYamlConfig(join(dir, CONFIG_FILE), schema, HINT, UNREAD);
  return { ...config, dir: resolve(dir), token: tokenIn(dir, config.token) };
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

/** Changes to `auditor.yaml` that commands make: what people wrote around it, their comments too, stays. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument, stringify } from "yaml";
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { type AuditorConfig, CONFIG_FILE, loadAuditorConfig } from "./config.ts";
import type { AuditorKey } from "./signing-service-config.ts";

/** A namespace as the file has it; what is left out has a default. */
export interface NewNamespace {
  readonly name: string;
  readonly origin: string;
  readonly ciphersuite: 1 | 2;
  readonly operatorToken: string;
  readonly root?: string | undefined;
  readonly keys: {
    readonly audit: readonly (AuditorKey & { readonly notBefore: number })[];
    readonly checkpoint: AuditorKey;
  };
  readonly witnesses: readonly { readonly vkey: string; readonly url: string }[];
  readonly witnessQuorum: number;
}

export interface NewAuditor {
  readonly listen: { readonly host: string; readonly port: number };
  readonly token: { readonly uri: string; readonly profile: string };
}

/** Undefined where the directory has no configuration yet. @throws config-invalid */
export function existingConfig(dir: string): AuditorConfig | undefined {
  return existsSync(join(dir, CONFIG_FILE)) ? loadAuditorConfig(dir) : undefined;
}

/** Writes a new configuration, or adds a namespace to the one that is there. @throws config-invalid; file-failed */
export async function addNamespace(
  dir: string,
  auditor: NewAuditor,
  namespace: NewNamespace,
): Promise<AuditorConfig> {
  const path = join(dir, CONFIG_FILE);
  const { root, ...rest } = namespace;
  const entry = { ...rest, ...(root === undefined ? {} : { root: `1/${root}` }) };
  if (existsSync(path)) return change(dir, ["namespaces"], entry);
  const text = stringify({ ...auditor, policy: "policy.yaml", namespaces: [entry] });
  await writeDurably(path, utf8(`# hsm-config/auditor/auditor.yaml explains every key.\n${text}`));
  return loadAuditorConfig(dir);
}

/** Adds an audit key, which signs once an epoch has announced it. @throws config-invalid, usage; file-failed */
export function addAuditKey(
  dir: string,
  namespace: string,
  key: AuditorKey & { readonly notBefore: number },
): Promise<AuditorConfig> {
  const index = loadAuditorConfig(dir).namespaces.findIndex(({ name }) => name === namespace);
  if (index < 0) throw new StrongroomError("usage", `there is no namespace ${namespace}`);
  return change(dir, ["namespaces", index, "keys", "audit"], key);
}

/** @throws config-invalid, and the file stays as it was, where the result would not be one */
async function change(dir: string, at: readonly (string | number)[], added: object): Promise<AuditorConfig> {
  const path = join(dir, CONFIG_FILE);
  const old = readFileSync(path, "utf8");
  const document = parseDocument(old);
  document.addIn(at, document.createNode(added));
  await writeDurably(path, utf8(String(document)));
  try {
    return loadAuditorConfig(dir);
  } catch (error) {
    await writeDurably(path, utf8(old));
    throw error;
  }
}

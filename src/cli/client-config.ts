/** The client's configuration file, and where account tokens come from. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { FleetClient } from "../client/fleet-client.ts";
import { createVaultClient, type VaultClientOptions } from "../client/vault-client.ts";
import { MAX_ACCOUNT_TOKEN_BYTES } from "../wire/limits.ts";
import { decodeManifest, type Manifest, servingSites } from "../wire/manifest.ts";
import { type ClientFile, invalid, parseClientFile, readConfigured } from "./client-file.ts";
import { pinnedClient } from "./client-pinned.ts";
import { dim, say } from "./terminal.ts";

/** Of one fleet or of whatever is announced: results say which fleet it was. */
export type CliClient = Omit<FleetClient, "fleets">;

/** A client as configured, and how to speak of it. */
export interface ConfiguredClient {
  readonly client: CliClient;
  /** The only one, where there is only one. */
  readonly fleet: string | undefined;
  readonly tenant: string;
  readonly subject: string;
  /** `tenant/subject`, for people. */
  readonly account: string;
}

const TOKEN_VARIABLE = "STRONGROOM_ACCOUNT_TOKEN";
/** @throws config-invalid, manifest-invalid */
export function loadClient(configFile: string): ConfiguredClient {
  const file = parseClientFile(configFile);
  const base = dirname(resolve(configFile));
  const { tenant, subject } = file;
  let waiting = false;
  const common: CommonClientOptions = {
    retrying: ({ message }) => {
      if (!waiting) say(dim(`${message}; trying again for ${file.retrySeconds} seconds`));
      waiting = true;
    },
    account: { tenant, subject },
    keyStretching: file.keyStretching,
    retryForMs: 1_000 * file.retrySeconds,
  };
  const accountToken = tokenSource(file, base);
  const { manifest, pins, state } = file;
  const { client, fleet } =
    pins !== undefined && state !== undefined
      ? {
          client: pinnedClient({ ...file, pins, state }, base, { ...common, accountToken }),
          fleet: undefined,
        }
      : singleFleet({ ...file, manifest: manifest ?? "" }, base, common, accountToken);
  return { client, fleet, tenant, subject, account: `${tenant}/${subject}` };
}

type CommonClientOptions = Pick<VaultClientOptions, "retrying" | "account" | "keyStretching" | "retryForMs">;

/** The fleet of a manifest that the user trusts. */
function singleFleet(
  file: ClientFile & { readonly manifest: string },
  base: string,
  common: CommonClientOptions,
  accountToken: (fleet: string) => Promise<string>,
): { readonly client: CliClient; readonly fleet: string } {
  const bytes = readConfigured(resolve(base, file.manifest), "the manifest");
  const manifest = decodeManifest(bytes);
  const { fleet } = manifest;
  const client = createVaultClient({
    ...common,
    manifest: bytes,
    manifestSha256: file.manifestSha256,
    accountToken: () => accountToken(fleet),
    siteUrls: siteUrls(manifest, file.url),
  });
  return {
    fleet,
    client: {
      register: async (code, key) => ({ ...(await client.register(code, key)), fleet }),
      recover: async (code) => ({ ...(await client.recover(code)), fleet }),
      status: async () => ({ ...(await client.status()), fleet }),
      delete: () => client.delete(),
    },
  };
}

function siteUrls(manifest: Manifest, url: string | undefined): Readonly<Record<string, string>> {
  const [site, ...others] = servingSites(manifest);
  if (url === undefined || !site) return {};
  if (others.length > 0)
    throw invalid(
      "url can replace the address of a single site only",
      "this fleet has several; leave url out",
    );
  return { [site.name]: url };
}

/** Never from the command line, where every process of the machine could read it. */
function tokenSource(file: ClientFile, base: string): (fleet: string) => Promise<string> {
  const { tokenFile, tokenCommand } = file;
  if (tokenCommand !== undefined)
    return async (fleet) => checked(await runTokenCommand(file, base, fleet), "tokenCommand");
  if (tokenFile !== undefined) {
    return async (fleet) => {
      const path = resolve(base, tokenFile.replaceAll("{fleet}", fleet));
      const content = await readFile(path, "utf8").catch((cause: unknown) => {
        throw invalid(`cannot read the account token in ${path}`, undefined, cause);
      });
      return checked(content, path);
    };
  }
  return async () => {
    const value = process.env[TOKEN_VARIABLE];
    if (!value) {
      const hint = `write tokenFile or tokenCommand into the configuration, or set ${TOKEN_VARIABLE}`;
      throw invalid("there is no account token", hint);
    }
    return checked(value, TOKEN_VARIABLE);
  };
}

/** So that a wrong file is told as such, and its content not sent anywhere. */
function checked(value: string, source: string): string {
  const token = value.trim();
  if (token.length <= MAX_ACCOUNT_TOKEN_BYTES && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return token;
  throw invalid(
    `${source} holds no account token`,
    "an account token is a JWT: three parts with dots between",
  );
}

/** Its standard output is the token; it may ask questions on the terminal. */
function runTokenCommand(file: ClientFile, base: string, fleet: string): Promise<string> {
  const { tokenCommand = "", tenant, subject } = file;
  const [command = "", ...args] =
    typeof tokenCommand === "string" ? ["/bin/sh", "-c", tokenCommand] : tokenCommand;
  return new Promise((done, failed) => {
    const child = spawn(command, args, {
      cwd: base,
      stdio: ["inherit", "pipe", "inherit"],
      env: {
        ...process.env,
        STRONGROOM_FLEET: fleet,
        STRONGROOM_TENANT: tenant,
        STRONGROOM_SUBJECT: subject,
      },
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (output.length <= MAX_ACCOUNT_TOKEN_BYTES) output += chunk;
    });
    child.once("error", (cause) => failed(invalid("tokenCommand cannot be run", undefined, cause)));
    child.once("close", (code, signal) => {
      if (code === 0) done(output);
      else failed(invalid(`tokenCommand failed with ${signal ?? `exit code ${code}`}`));
    });
  });
}

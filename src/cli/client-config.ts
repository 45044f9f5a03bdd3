/** The client's configuration file, and where account tokens come from. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import { createVaultClient, type VaultClient } from "../client/vault-client.ts";
import { MAX_ACCOUNT_TOKEN_BYTES } from "../wire/limits.ts";
import { decodeManifest, type Manifest, servingSites } from "../wire/manifest.ts";
import { dim, say } from "./terminal.ts";

interface ClientFile {
  readonly manifest: string;
  readonly manifestSha256?: string | undefined;
  readonly url?: string | undefined;
  readonly tenant: string;
  readonly subject: string;
  readonly tokenFile?: string | undefined;
  readonly tokenCommand?: string | readonly string[] | undefined;
  readonly keyStretching?: "memory-constrained" | "rfc-recommended" | undefined;
  readonly retrySeconds: number;
}

const text = z.string("must be text").min(1, "is empty");
const schema: z.ZodType<ClientFile> = z
  .strictObject({
    manifest: text,
    manifestSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hex: sha256sum MANIFEST prints it")
      .optional(),
    url: z.url("must be the address of the site, e.g. https://site-a.example").optional(),
    tenant: text,
    subject: text,
    tokenFile: text.optional(),
    tokenCommand: z
      .union([text, z.array(text).min(1)], "must be a command line or a list of words")
      .optional(),
    keyStretching: z.enum(["memory-constrained", "rfc-recommended"]).optional(),
    retrySeconds: z.number("must be a number of seconds").min(0).max(3_600).default(30),
  })
  .refine((file) => file.tokenFile === undefined || file.tokenCommand === undefined, {
    path: ["tokenCommand"],
    message: "write either tokenFile or tokenCommand",
  });

/** A client as configured, and how to speak of it. */
export interface ConfiguredClient {
  readonly client: VaultClient;
  readonly fleet: string;
  readonly tenant: string;
  readonly subject: string;
  /** `tenant/subject`, for people. */
  readonly account: string;
}

const TOKEN_VARIABLE = "STRONGROOM_ACCOUNT_TOKEN";
const EXAMPLE =
  "it names manifest, tenant, subject and tokenFile or tokenCommand; see strongroom client --help";

function invalid(message: string, hint?: string, cause?: unknown): StrongroomError {
  return new StrongroomError("config-invalid", message, { cause, ...(hint === undefined ? {} : { hint }) });
}

function readText(path: string, what: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (cause) {
    throw invalid(`cannot read ${what} ${path}`, what === "the configuration" ? EXAMPLE : undefined, cause);
  }
}

/** YAML, of which JSON is a part. @throws config-invalid */
function parse(path: string): ClientFile {
  const document = parseDocument(new TextDecoder().decode(readText(path, "the configuration")));
  const [problem] = document.errors;
  if (problem) throw invalid(`${path}: ${problem.message.split("\n")[0]}`, undefined, problem);
  const result = schema.safeParse(document.toJS(), { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const missing = issue?.code === "invalid_type" && issue.input === undefined;
  const where = issue?.path.length ? `${issue.path.join(".")}: ` : "";
  throw invalid(`${path}: ${where}${missing ? "is missing" : issue?.message}`, EXAMPLE);
}

/** @throws config-invalid, manifest-invalid */
export function loadClient(configFile: string): ConfiguredClient {
  const file = parse(configFile);
  const base = dirname(resolve(configFile));
  const bytes = readText(resolve(base, file.manifest), "the manifest");
  const manifest = decodeManifest(bytes);
  const { tenant, subject } = file;
  let waiting = false;
  const client = createVaultClient({
    retrying: ({ message }) => {
      if (!waiting) say(dim(`${message}; trying again for ${file.retrySeconds} seconds`));
      waiting = true;
    },
    manifest: bytes,
    manifestSha256: file.manifestSha256,
    account: { tenant, subject },
    accountToken: tokenSource(file, base, manifest.fleet),
    siteUrls: siteUrls(manifest, file.url),
    keyStretching: file.keyStretching,
    retryForMs: 1_000 * file.retrySeconds,
  });
  return { client, fleet: manifest.fleet, tenant, subject, account: `${tenant}/${subject}` };
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
function tokenSource(file: ClientFile, base: string, fleet: string): () => Promise<string> {
  const { tokenFile, tokenCommand } = file;
  if (tokenCommand !== undefined)
    return async () => checked(await runTokenCommand(file, base, fleet), "tokenCommand");
  if (tokenFile !== undefined) {
    const path = resolve(base, tokenFile);
    return async () => {
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

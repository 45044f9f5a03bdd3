/** The client's configuration file: what may be written in it. */
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";

/** One fleet by its manifest, or all fleets of a pinned namespace. */
export interface ClientFile {
  readonly manifest?: string | undefined;
  readonly manifestSha256?: string | undefined;
  readonly url?: string | undefined;
  readonly pins?: string | undefined;
  readonly state?: string | undefined;
  readonly bundle?: string | undefined;
  readonly bundleUrls?: readonly string[] | undefined;
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
    manifest: text.optional(),
    manifestSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hex: sha256sum MANIFEST prints it")
      .optional(),
    url: z.url("must be the address of the site, e.g. https://site-a.example").optional(),
    pins: text.optional(),
    state: text.optional(),
    bundle: text.optional(),
    bundleUrls: z.array(z.url("must be an address, e.g. https://auditor.example")).max(16).optional(),
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
  })
  .refine((file) => (file.manifest === undefined) !== (file.pins === undefined), {
    path: ["manifest"],
    message: "write either manifest (one fleet) or pins and state (whatever fleet is announced)",
  })
  .refine((file) => (file.pins === undefined) === (file.state === undefined), {
    path: ["state"],
    message: "pins and state go together",
  })
  .refine(({ pins, bundle, bundleUrls }) => pins !== undefined || (bundle ?? bundleUrls) === undefined, {
    path: ["pins"],
    message: "bundle and bundleUrls go with pins",
  })
  .refine(({ pins, url, manifestSha256 }) => pins === undefined || (url ?? manifestSha256) === undefined, {
    path: ["manifest"],
    message: "url and manifestSha256 go with manifest",
  });

const EXAMPLE =
  "it names manifest (or pins and state), tenant, subject and tokenFile or tokenCommand; see strongroom client --help";

export function invalid(message: string, hint?: string, cause?: unknown): StrongroomError {
  return new StrongroomError("config-invalid", message, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** @throws config-invalid */
export function readConfigured(path: string, what: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (cause) {
    throw invalid(`cannot read ${what} ${path}`, what === "the configuration" ? EXAMPLE : undefined, cause);
  }
}

/** YAML, of which JSON is a part. @throws config-invalid */
export function parseClientFile(path: string): ClientFile {
  const document = parseDocument(new TextDecoder().decode(readConfigured(path, "the configuration")));
  const [problem] = document.errors;
  if (problem) throw invalid(`${path}: ${problem.message.split("\n")[0]}`, undefined, problem);
  const result = schema.safeParse(document.toJS(), { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const missing = issue?.code === "invalid_type" && issue.input === undefined;
  const where = issue?.path.length ? `${issue.path.join(".")}: ` : "";
  throw invalid(`${path}: ${where}${missing ? "is missing" : issue?.message}`, EXAMPLE);
}

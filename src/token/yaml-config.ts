/**
 * Configuration files: YAML with a strict schema. What is wrong is said with file, line and column, the key, and
 * what to write instead, which is the `describe` of the schema at that place: the reader is an operator at a machine
 * that does not start.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { type ErrorCode, StrongroomError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import { contentOf, locate, parseYaml, type YamlSource } from "./yaml-source.ts";

const NAME_IT = "name the configuration file with --config";

function readSource(file: string, unread: string = NAME_IT): YamlSource {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${file} cannot be read`, {
      cause,
      hint: unread,
    });
  }
  return parseYaml(text, file, "config-invalid");
}

/** `file:line:column` of a key (with dots) that turned out wrong only when what it names was opened. */
export function locateKey(file: string, key: string): string {
  return locate(readSource(file), key.split("."));
}

/** The keys that the schema has at a path, and the fix that the nearest description offers. */
function at(
  schema: z.ZodType,
  path: readonly PropertyKey[],
): { keys: readonly string[]; fix: string | undefined } {
  let node: unknown = schema;
  let fix: string | undefined;
  const unwrap = (): void => {
    for (;;) {
      if (node instanceof z.ZodType && node.description !== undefined) fix = node.description;
      if (node instanceof z.ZodPipe) node = node.in;
      else if (node instanceof z.ZodDefault || node instanceof z.ZodPrefault || node instanceof z.ZodOptional)
        node = node.unwrap();
      else return;
    }
  };
  unwrap();
  for (const part of path) {
    if (node instanceof z.ZodObject) node = node.shape[String(part)];
    else if (node instanceof z.ZodArray) node = node.element;
    else break;
    unwrap();
  }
  return { keys: node instanceof z.ZodObject ? Object.keys(node.shape) : [], fix };
}

/** One line for each thing that the issue is about. */
function sentences(source: YamlSource, schema: z.ZodType, issue: z.core.$ZodIssue): string[] {
  const place = issue.path.length > 0 ? `${issue.path.map(String).join(".")}: ` : "";
  const { keys, fix } = at(schema, issue.path);
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => {
      const near = nearest(key, keys);
      const help = near ? `did you mean ${JSON.stringify(near)}?` : `known keys: ${keys.join(", ")}`;
      return `${locate(source, issue.path, key)}: ${place}unknown key ${JSON.stringify(key)} — ${help}`;
    });
  const missing = issue.code === "invalid_type" && issue.input === undefined;
  const own: unknown = issue.code === "custom" ? issue.params?.fix : undefined;
  const problem = missing ? "is missing" : issue.message.replace(/^Invalid input: /, "");
  const help = typeof own === "string" ? own : fix;
  return [`${locate(source, issue.path)}: ${place}${problem}${help ? ` — ${help}` : ""}`];
}

function check<T>(source: YamlSource, schema: z.ZodType<T>, code: ErrorCode, hint: string): T {
  const content = contentOf(source, code);
  if (content === null) throw new StrongroomError(code, `${source.file} is empty`, { hint });
  const result = schema.safeParse(content, { reportInput: true });
  if (result.success) return result.data;
  const lines = result.error.issues.flatMap((issue) => sentences(source, schema, issue));
  throw new StrongroomError(code, lines.join("\n"), { hint });
}

/**
 * Reads and checks a configuration file. Nothing that it names is opened.
 * @param hint where every key is explained
 * @param unread what to do where the file cannot be read
 * @throws config-invalid with one line for each thing that is wrong
 */
export function loadYamlConfig<T>(file: string, schema: z.ZodType<T>, hint: string, unread?: string): T {
  return check(readSource(file, unread), schema, "config-invalid", hint);
}

/** A text that is at hand, which its reader needs byte for byte as well. */
export interface YamlText {
  readonly text: string;
  /** What errors call it. */
  readonly file: string;
  readonly code: ErrorCode;
  /** Where every key is explained. */
  readonly hint: string;
}

/** As `loadYamlConfig`. @throws the code that `text` names */
export function checkYaml<T>({ text, file, code, hint }: YamlText, schema: z.ZodType<T>): T {
  return check(parseYaml(text, file, code), schema, code, hint);
}

/** Every key that can be written, with dots; list items as `[]`. For the test that all are documented. */
export function schemaKeys(schema: z.ZodType): readonly string[] {
  const walk = (prefix: readonly (string | number)[]): string[] =>
    at(schema, prefix).keys.flatMap((key) => {
      const here = [...prefix, key];
      const name = here.map((part) => (typeof part === "number" ? "[]" : part)).join(".");
      return [name, ...walk(here), ...walk([...here, 0])];
    });
  return [...new Set(walk([]))];
}

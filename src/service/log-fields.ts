/**
 * What may stand in a log line. Not a list of secrets to hide but a list of what is let through: an error of ours
 * gives its code, its message and named details; an error of anybody else gives its name, its code and where it
 * was thrown, because its message may quote what it choked on (JSON.parse does).
 */
import { isStrongroomError } from "../base/errors.ts";

export type LogFields = Readonly<Record<string, string | number | boolean>>;

export interface LoggedError {
  readonly code: string;
  readonly message?: string;
  readonly details?: LogFields;
  /** Function names and positions only. */
  readonly frames?: readonly string[];
  readonly because?: LoggedError;
}

/** Fields that errors and events of the parts below may carry. */
const NAMED: ReadonlySet<string> = new Set([
  "address",
  "attempt",
  "ckr",
  "code",
  "count",
  "delayMs",
  "epoch",
  "exitCode",
  "free",
  "function",
  "how",
  "key",
  "message",
  "ms",
  "op",
  "operationsUrl",
  "outcome",
  "pid",
  "port",
  "reason",
  "retryAfter",
  "signal",
  "state",
  "status",
  "step",
  "unanswered",
  "url",
  "worker",
  "workers",
]);
const MAX_CAUSES = 4;
const MAX_FRAMES = 6;
const MAX_TEXT = 400;

/**
 * Belt and braces: what could be an encoded key, code or token is cut out even from texts that should have none, and
 * so are numbers that could be a PIN. Words and constants such as CKR_… lack digits or small letters and stay; paths
 * stay where they lack capitals.
 */
const ENCODED = [
  /(?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])(?=[\w+/=-]*[A-Z])[\w+/=-]{24,}/g,
  /(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])[\w+=-]{24,}/g,
  /\b\d{6,}\b/g,
];

export function scrub(text: string): string {
  return ENCODED.reduce((rest, pattern) => rest.replace(pattern, "[cut]"), text.slice(0, MAX_TEXT));
}

export function logFields(fields: Readonly<Record<string, unknown>>): LogFields {
  const out: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (!NAMED.has(name)) continue;
    if (typeof value === "string") out[name] = scrub(value);
    else if (typeof value === "number" || typeof value === "boolean") out[name] = value;
  }
  return out;
}

/** The lines of the stack below the message, which is left out. */
function frames(error: Error): readonly string[] {
  const stack = error.stack ?? "";
  const start = stack.indexOf(error.message);
  return stack
    .slice(start < 0 ? stack.length : start + error.message.length)
    .split("\n")
    .filter((line) => /^ {4}at [^\n]+:\d+:\d+\)?$/.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => scrub(line.trim()));
}

/** An operating system's error code such as ENOSPC, or a library's such as ERR_JWKS_TIMEOUT. */
function foreignCode(error: Error): string {
  const code: unknown = "code" in error ? error.code : undefined;
  const name = /^[A-Za-z]{1,40}$/.test(error.constructor.name) ? error.constructor.name : "Error";
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? `${name} ${code}` : name;
}

export function loggedError(error: unknown, depth: number = MAX_CAUSES): LoggedError {
  if (!(error instanceof Error)) return { code: "not an error" };
  const because =
    error.cause === undefined || depth === 0 ? {} : { because: loggedError(error.cause, depth - 1) };
  if (!isStrongroomError(error)) return { code: foreignCode(error), frames: frames(error), ...because };
  const details = logFields(error.details);
  return {
    code: error.code,
    message: scrub(error.message),
    ...(Object.keys(details).length > 0 ? { details } : {}),
    ...(error.code === "internal" ? { frames: frames(error) } : {}),
    ...because,
  };
}

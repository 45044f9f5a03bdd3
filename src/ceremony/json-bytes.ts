/**
 * The one byte form of every JSON file of a ceremony: UTF-8, two spaces, a line end. What was written otherwise is
 * refused even where it says the same, so that two files that mean one thing have one hash.
 */
import type { z } from "zod";
import { equal, fromUtf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { encodeJson } from "../wire/json.ts";

/** Far above the largest file of a ceremony (the packages of a fleet of seven). */
export const MAX_JSON_BYTES: number = 8 * 2 ** 20;

/**
 * @param what for the error: what the bytes should be
 * @throws evidence-invalid
 */
export function decodeJson<T>(bytes: Uint8Array, schema: z.ZodType<T>, what: string): T {
  const fail = (problem: string, cause?: unknown): StrongroomError =>
    new StrongroomError("evidence-invalid", `not ${what}: ${problem}`, cause === undefined ? {} : { cause });
  if (bytes.length > MAX_JSON_BYTES) throw fail(`${bytes.length} bytes are too many`);
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
    // Found here: a name given twice, other white space, another spelling of a number or a letter.
    if (!equal(encodeJson(value), bytes)) throw new SyntaxError("not in the one form that is written");
  } catch (cause) {
    throw fail(cause instanceof SyntaxError ? cause.message : "not JSON", cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw fail(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unknown fields"}`);
}

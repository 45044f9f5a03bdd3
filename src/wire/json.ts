/** JSON that is published, pinned or handed on as a file: one way to write it, and one to read what strangers wrote. */
import type { z } from "zod";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { type ErrorCode, StrongroomError } from "../base/errors.ts";

export interface JsonFormat<T> {
  /** For errors: what the bytes should be, e.g. `bundle`. */
  readonly what: string;
  readonly schema: z.ZodType<T>;
  /** What bytes that are something else are refused with. */
  readonly code: ErrorCode;
  readonly maxBytes?: number;
  readonly hint?: string;
}

/** UTF-8, two spaces, a line end. */
export function encodeJson(value: unknown): Uint8Array {
  return utf8(`${JSON.stringify(value, null, 2)}\n`);
}

/** @throws StrongroomError with `code` */
export function parseJson<T>(bytes: Uint8Array, { what, schema, code, maxBytes, hint }: JsonFormat<T>): T {
  const invalid = (message: string, cause?: unknown): StrongroomError =>
    new StrongroomError(code, message, {
      ...(cause === undefined ? {} : { cause }),
      ...(hint === undefined ? {} : { hint }),
    });
  if (maxBytes !== undefined && bytes.length > maxBytes) throw invalid(`${what}: too large`);
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw invalid(`${what}: not JSON`, cause);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(`${what}: ${issue?.path.join(".")}: ${issue?.message}`);
}

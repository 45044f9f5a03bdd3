/** Messages as clients and sites send them: padded deterministic CBOR that is hostile until its schema has passed. */
import type { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { pad, unpad } from "./padding.ts";

/** @param what for the error, e.g. `request` @throws decode-failed */
export function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue ? `${issue.path.join(".") || "message"}: ${issue.message}` : "";
  throw new StrongroomError("decode-failed", `malformed ${what}: ${where}`);
}

export function encodeMessage(message: object): Uint8Array {
  return pad(encodeCbor(message));
}

/** @throws decode-failed */
export function decodeMessage<T>(schema: z.ZodType<T>, padded: Uint8Array, what: string): T {
  return checked(schema, decodeCbor(unpad(padded)), what);
}

/** An answer, or the error that came in its place. @throws decode-failed */
export function decodeAnswerOr<T, E>(
  schemas: { readonly answer: z.ZodType<T>; readonly error: z.ZodType<E> },
  padded: Uint8Array,
): T | E {
  const value = decodeCbor(unpad(padded));
  return typeof value === "object" && value !== null && "error" in value
    ? checked(schemas.error, value, "error")
    : checked(schemas.answer, value, "answer");
}

/** Errors are told apart by their code, never by the message. */
import { expect } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";

/** Matches an error of that code, with those details at least. */
export const code = (expected: string, details: object = {}): unknown =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });

const codeIn = (error: unknown): string => (isStrongroomError(error) ? error.code : String(error));

/** How it ends. */
export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return codeIn(error);
  }
  return "no error";
}

/** How it ends, once it does. */
export async function codeOfAsync(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    return codeIn(error);
  }
  return "no error";
}

/** A token's URI as configuration files hold it: with the module and the PIN's source, each fault with its fix. */
import { z } from "zod";
import { isStrongroomError } from "../base/errors.ts";
import { parseTokenUri } from "./uri.ts";

export const configuredUri: z.ZodType<string> = z.string().superRefine((text, context) => {
  try {
    const { modulePath, pinSource } = parseTokenUri(text);
    if (!modulePath) context.addIssue({ code: "custom", message: "the URI names no module-path" });
    if (!pinSource) context.addIssue({ code: "custom", message: "the URI names no pin-source" });
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    context.addIssue({ code: "custom", message: error.message, params: { fix: error.hint } });
  }
});

/** Tokens that are software: known by their profiles, and by what their libraries say of them. */
import type { TokenIdentity } from "../token/uri.ts";

/** The profiles of tokens that are software. */
export const SOFTWARE: readonly string[] = ["softhsm2", "nss-softokn", "kryoptic", "opencryptoki"];

/**
 * CK_TOKEN_INFO of the same. opencryptoki also speaks for hardware, and tells it apart by the model.
 */
const WORDS: readonly { readonly manufacturer: RegExp; readonly model: RegExp }[] = [
  { manufacturer: /softhsm/i, model: /(?:)/ },
  { manufacturer: /(?:)/, model: /^softhsm/i },
  { manufacturer: /mozilla|network security services/i, model: /(?:)/ },
  { manufacturer: /(?:)/, model: /^nss\b/i },
  { manufacturer: /kryoptic/i, model: /(?:)/ },
  { manufacturer: /^ibm/i, model: /^soft/i },
];

/** Whatever profile a plan gives it: a profile is a file, and says of a token what somebody wrote into it. */
export function isSoftware(profile: string, token: Pick<TokenIdentity, "manufacturer" | "model">): boolean {
  return (
    SOFTWARE.includes(profile) ||
    WORDS.some(({ manufacturer, model }) => manufacturer.test(token.manufacturer) && model.test(token.model))
  );
}

/** What the `token` commands share: which token, by which profile, and where its PIN comes from. */
import { isCancel } from "@clack/prompts";
import { Option } from "commander";
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { modulePath } from "../token/connection.ts";
import { type OpenedSession, openSession } from "../token/open.ts";
import type { PinPrompt } from "../token/pin.ts";
import type { Profile } from "../token/profile.ts";
import { loadProfile, profileForModule } from "../token/profile-file.ts";
import { parseTokenUri, type TokenUri } from "../token/uri.ts";
import { password } from "./prompt.ts";

export interface TokenOptions {
  readonly uri?: string;
  readonly profile?: string;
}

export const uriOption = (): Option =>
  new Option(
    "--uri <uri>",
    "the token as a PKCS#11 URI: pkcs11:token=LABEL?module-path=/lib.so&pin-source=file:/path",
  );
export const profileOption = (): Option =>
  new Option("--profile <name>", "token profile, by name or path (default: by the module's file name)");

export interface ChosenToken {
  readonly uri: string;
  readonly parsed: TokenUri;
  readonly profile: Profile;
  /** What `loadProfile` takes. */
  readonly profileName: string;
}

/** @throws usage, uri-invalid, profile-invalid */
export function chooseToken(options: TokenOptions): ChosenToken {
  const { uri = "pkcs11:" } = options;
  const parsed = parseTokenUri(uri);
  if (options.profile !== undefined)
    return { uri, parsed, profile: loadProfile(options.profile), profileName: options.profile };
  if (parsed.modulePath === undefined)
    throw new StrongroomError("usage", "nothing says which PKCS#11 module to load", {
      hint: "add module-path=/absolute/path to --uri, or name a --profile such as softhsm2",
    });
  const profile = profileForModule(modulePath(parsed, []));
  return { uri, parsed, profile, profileName: profile.name };
}

/** A session of the user, whose PIN comes from pin-source or from the person at the terminal. */
export function openChosen(token: ChosenToken): Promise<OpenedSession> {
  return openSession({ uri: token.uri, profile: token.profileName }, { prompt: pinPrompt("user PIN") });
}

/** Asks on a terminal without echo; elsewhere it says where to put the PIN. @throws pin-unavailable */
export function pinPrompt(what: string): PinPrompt {
  return async () => {
    if (!process.stdin.isTTY || !process.stderr.isTTY)
      throw new StrongroomError("pin-unavailable", `nobody is here to type the ${what}`, {
        hint: "add pin-source=file:/absolute/path to --uri; the file must have mode 0600",
      });
    const typed = await password({ message: `Type the ${what}` });
    if (isCancel(typed) || typed === undefined || typed === "")
      throw new StrongroomError("pin-unavailable", "no PIN was typed");
    return utf8(typed);
  };
}

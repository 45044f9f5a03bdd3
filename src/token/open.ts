/**
 * Sessions and token lists for commands (provision, inventory, doctor): by URI and profile name, in this
 * process. The vault itself goes through the pool.
 */
import { StrongroomError } from "../base/errors.ts";
import { startModule } from "./connection.ts";
import { CKF_TOKEN } from "./cryptoki.ts";
import { type ModuleInfo, type Pkcs11Module, releaseModule, type TokenInfo } from "./module.ts";
import type { PinPrompt } from "./pin.ts";
import { type DriverTraits, driverTraits, type Profile } from "./profile.ts";
import { loadProfile } from "./profile-file.ts";
import { type TokenKey, TokenSession } from "./session.ts";
import { parseTokenUri, type TokenUri } from "./uri.ts";

export interface SessionConfig {
  /** pkcs11: URI of the token. */
  readonly uri: string;
  /** Name or path of its profile. */
  readonly profile: string;
  readonly keys?: readonly TokenKey[] | undefined;
}

export interface OpenOptions {
  readonly readOnly?: boolean | undefined;
  readonly login?: "user" | "so" | "none" | undefined;
  /** Asked where neither pin-source nor the device's own keypad gives the PIN; always for the security officer. */
  readonly prompt?: PinPrompt | undefined;
  /** The file that `prompt` reads, where it reads one: for errors. */
  readonly pinFile?: string | undefined;
  /** Instead of the module that the URI names; whoever gives it ends it. */
  readonly module?: Pkcs11Module | undefined;
}

export interface OpenedSession {
  readonly session: TokenSession;
  readonly profile: Profile;
}

/**
 * Opens a session and logs in; call `session.close()` in `finally`.
 * @throws uri-invalid, profile-invalid, module-failed, token-absent, pin-incorrect, pin-locked, pin-unavailable
 */
export async function openSession(config: SessionConfig, options: OpenOptions = {}): Promise<OpenedSession> {
  const uri = parseTokenUri(config.uri);
  const profile = loadProfile(config.profile);
  const traits = driverTraits(profile);
  const { readOnly, login = "user", prompt, pinFile, module } = options;
  const ask = login === "so" || (login === "user" && uri.pinSource === undefined && !hasKeypad(traits));
  const pin = ask && prompt ? await prompt() : undefined;
  // The URI's pin-source is the user's PIN; trying it as the security officer's would cost an attempt.
  if (login === "so" && !pin)
    throw new StrongroomError("pin-unavailable", "the security officer's PIN is asked for at a terminal");
  try {
    const { keys } = config;
    const session = new TokenSession({ uri, traits, keys, readOnly, login, pin, pinFile, module });
    return { session, profile };
  } finally {
    pin?.fill(0);
  }
}

const hasKeypad = (traits: DriverTraits): boolean => traits.login === "protected-path";

export interface TokenList {
  readonly module: ModuleInfo & { readonly path: string };
  /** Initialised tokens. */
  readonly tokens: readonly TokenInfo[];
  /** Present tokens that have no label and no keys yet. */
  readonly uninitialised: number;
}

/** What a module shows without anybody logging in. @throws module-failed, token-absent */
export function listTokens(uri: TokenUri, modules: readonly string[]): TokenList {
  const module = startModule(uri, modules);
  try {
    const infos = module.slots().map((slot) => module.tokenInfo(slot));
    const tokens = infos.filter(({ flags }) => (flags & CKF_TOKEN.TOKEN_INITIALIZED) !== 0);
    return {
      module: { path: module.path, ...module.moduleInfo() },
      tokens,
      uninitialised: infos.length - tokens.length,
    };
  } finally {
    releaseModule(module);
  }
}

/**
 * A logged-in session with one token: found by what its URI says (never by slot number), opened, logged in,
 * and opened or logged in again when the token forgot it.
 */
import { existsSync } from "node:fs";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { actionFor, isCkr } from "./ckr.ts";
import { CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_TOKEN, CKU } from "./cryptoki.ts";
import { refusedLogin } from "./login-refusal.ts";
import { acquireModule, type Handle, type Pkcs11Module, releaseModule, type TokenInfo } from "./module.ts";
import { pinFor, pinPath, withPin } from "./pin.ts";
import type { DriverTraits } from "./profile.ts";
import { describeTokenUri, matchesToken, type TokenUri } from "./uri.ts";

export interface ConnectionOptions {
  readonly uri: TokenUri;
  readonly traits: DriverTraits;
  /** Read-only session where the device has such; false by default. */
  readonly readOnly?: boolean | undefined;
  /** Who logs in: the user by default. */
  readonly login?: "user" | "so" | "none" | undefined;
  /** A PIN that a person typed; otherwise the URI's pin-source is read at every login. */
  readonly pin?: Uint8Array | undefined;
  /** The file that `pin` came from, where it came from one: for errors. */
  readonly pinFile?: string | undefined;
  /** Instead of the module that the URI names; whoever gives it ends it. */
  readonly module?: Pkcs11Module | undefined;
}

/** The module that the URI names, or the first of the profile's that is installed. @throws module-failed */
export function modulePath(uri: TokenUri, modules: readonly string[]): string {
  const path = uri.modulePath ?? modules.find((candidate) => existsSync(candidate));
  if (path !== undefined && existsSync(path)) return path;
  throw new StrongroomError("module-failed", `PKCS#11 module not found: ${path ?? modules.join(", ")}`, {
    hint: "install the device's PKCS#11 library, or name it by module-path= in the token's URI",
  });
}

/**
 * Loads and initialises the module; pair it with `releaseModule`.
 * @throws module-failed; token-absent where the module cannot reach its device
 */
export function startModule(uri: TokenUri, modules: readonly string[]): Pkcs11Module {
  try {
    return acquireModule(modulePath(uri, modules), uri.libraryParameters);
  } catch (cause) {
    // A module whose device or directory is gone says so in its own words already at C_Initialize.
    if (actionFor(cause) === "fail") throw cause;
    throw new StrongroomError("token-absent", "the PKCS#11 module does not start", {
      cause,
      details: isStrongroomError(cause) ? cause.details : {},
      hint: "check that the device is connected and that the module's configuration is in the environment",
    });
  }
}

/** The slot of the one token that matches. @throws token-absent; uri-invalid where several match */
function findSlot(module: Pkcs11Module, uri: TokenUri): { slot: Handle; info: TokenInfo } {
  const present: string[] = [];
  const matching: { slot: Handle; info: TokenInfo }[] = [];
  for (const slot of module.slots()) {
    const info = tokenInfoOrUndefined(module, slot);
    if (!info || (info.flags & CKF_TOKEN.TOKEN_INITIALIZED) === 0) continue;
    present.push(info.label);
    if (matchesToken(uri, info)) matching.push({ slot, info });
  }
  const [found, other] = matching;
  if (!found)
    throw new StrongroomError("token-absent", `no token matches ${describeTokenUri(uri)}`, {
      hint: present.length === 0 ? "no token is present" : `present: ${present.join(", ")}`,
    });
  if (other)
    throw new StrongroomError("uri-invalid", `several tokens match ${describeTokenUri(uri)}`, {
      hint: `add serial= to the URI; they are ${matching.map(({ info }) => info.serial).join(", ")}`,
    });
  return found;
}

/** A slot whose device went away fails to answer; that is no reason to miss the others. */
function tokenInfoOrUndefined(module: Pkcs11Module, slot: Handle): TokenInfo | undefined {
  try {
    return module.tokenInfo(slot);
  } catch {
    return undefined;
  }
}

export class Connection {
  readonly module: Pkcs11Module;
  readonly #options: ConnectionOptions;
  readonly #slot: Handle;
  #session: Handle;
  /** A typed PIN is wiped by whoever asked for it, and must not be sent as what it then is. */
  #typedPinUsed = false;
  #isForbidden = false;

  /** @throws module-failed, token-absent, pin-incorrect, pin-locked, pin-unavailable, token-failed */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.module = options.module ?? startModule(options.uri, options.traits.modules);
    try {
      this.#slot = findSlot(this.module, options.uri).slot;
      this.#session = this.#open();
    } catch (error) {
      this.#release();
      throw error;
    }
    try {
      this.login();
    } catch (error) {
      // Others may keep the module: a session that is left open would keep their logins alive too.
      this.close();
      throw error;
    }
  }

  /** The current session; changes with `reopen`. */
  get session(): Handle {
    return this.#session;
  }
  get slot(): Handle {
    return this.#slot;
  }
  get uri(): TokenUri {
    return this.#options.uri;
  }

  tokenInfo(): TokenInfo {
    return this.module.tokenInfo(this.#slot);
  }

  /** Is the token that was opened still there? @throws token-absent */
  requirePresent(): void {
    const info = tokenInfoOrUndefined(this.module, this.#slot);
    if (info && matchesToken(this.uri, info)) return;
    throw new StrongroomError("token-absent", `the token ${describeTokenUri(this.uri)} has gone`, {
      hint: "connect it again; the vault goes on by itself",
    });
  }

  /** One attempt, never repeated for a refused PIN: every failure brings the token nearer to its lock. */
  login(): void {
    const { login = "user", uri, traits, pin } = this.#options;
    if (login === "none") return;
    if (pin && this.#typedPinUsed)
      throw new StrongroomError("pin-unavailable", "the token wants the PIN again", {
        hint: "run the command again",
      });
    if (this.#isForbidden)
      throw new StrongroomError(
        "pin-incorrect",
        "the token has refused the PIN before, and is not asked again",
        {
          hint: "put the right PIN into the pin-source file, then start again",
        },
      );
    this.#typedPinUsed = true;
    const { flags } = this.tokenInfo();
    if (login === "user") this.#checkPinState(flags, pin !== undefined);
    const keypad =
      traits.login === "protected-path" || (flags & CKF_TOKEN.PROTECTED_AUTHENTICATION_PATH) !== 0;
    try {
      withPin(pinFor(uri, keypad, pin), (text) => this.module.login(this.#session, CKU[login], text));
    } catch (error) {
      // Login belongs to the process, not to the session: another session may have done it.
      if (isCkr(error, "CKR_USER_ALREADY_LOGGED_IN")) return;
      const file = pin ? this.#options.pinFile : uri.pinSource && pinPath(uri.pinSource);
      throw refusedLogin(error, { login, file, flags: tokenInfoOrUndefined(this.module, this.#slot)?.flags });
    }
  }

  /** Somebody else in this service was refused the PIN: a second try of it brings the token nearer to its lock. */
  forbidLogin(): void {
    this.#isForbidden = true;
  }

  /** For a token that logged us out without saying so: private objects then just seem to be gone. */
  ensureLogin(): void {
    if (!this.module.isUserLoggedIn(this.#session)) this.login();
  }

  /** A new session in place of one that the token dropped or that hangs in an operation. */
  reopen(): void {
    try {
      this.module.closeSession(this.#session);
    } catch {
      // It is being given up because it no longer works.
    }
    this.#session = this.#open();
    this.login();
  }

  /** Ends the session; the module too, if nobody else in the process uses it. */
  close(): void {
    try {
      this.module.closeSession(this.#session);
    } catch {
      // A token that has gone has closed it already; C_Finalize below clears up the rest.
    }
    this.#release();
  }

  #release(): void {
    if (this.#options.module === undefined) releaseModule(this.module);
  }

  #open(): Handle {
    const readOnly = this.#options.readOnly === true && !this.#options.traits.readWriteOnly;
    const flags = readOnly ? CKF_SERIAL_SESSION : CKF_SERIAL_SESSION | CKF_RW_SESSION;
    return this.module.openSession(this.#slot, flags);
  }

  /** A service must not spend the last attempt on a PIN file that may be stale; a person may. */
  #checkPinState(flags: number, typed: boolean): void {
    const locked = (flags & CKF_TOKEN.USER_PIN_LOCKED) !== 0;
    if (!locked && (typed || (flags & CKF_TOKEN.USER_PIN_FINAL_TRY) === 0)) return;
    throw new StrongroomError(
      "pin-locked",
      locked ? "the user PIN is locked" : "only one login attempt is left before the PIN locks",
      {
        hint: locked
          ? "the security officer must reset the PIN (C_InitPIN)"
          : "log in once by hand with the right PIN, which resets the count: `strongroom token inventory` without pin-source",
        details: { ckr: "CKR_PIN_LOCKED" },
      },
    );
  }
}

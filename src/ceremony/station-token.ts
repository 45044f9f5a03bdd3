/**
 * The token of a station: sessions of the user and of the security officer, with PINs from files or from people. A wrong
 * PIN is never sent again by itself: the person is told what the token says of the tries that are left, and types
 * again or stops.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { CKF_TOKEN } from "../token/cryptoki.ts";
import { type Initialised, initialiseToken } from "../token/initialise.ts";
import { triesLeft } from "../token/login-refusal.ts";
import type { ModuleInfo, Pkcs11Module, TokenInfo } from "../token/module.ts";
import { openSession } from "../token/open.ts";
import { readPinFile } from "../token/pin.ts";
import type { Profile } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import { formatTokenUri, matchesToken, parseTokenUri, type TokenUri } from "../token/uri.ts";
import type { Hands } from "./hands.ts";
import type { PlannedToken } from "./plan.ts";

export type Login = "user" | "so";

export interface StationTokenOptions {
  readonly station: string;
  readonly token: PlannedToken;
  readonly profile: Profile;
  /** Started, and ended by whoever gives it; a paper one in a dry run. */
  readonly module: Pkcs11Module;
  readonly hands: Pick<Hands, "pin">;
}

export class StationToken {
  readonly profile: Profile;
  readonly module: Pkcs11Module;
  readonly #station: string;
  readonly #token: PlannedToken;
  readonly #uri: TokenUri;
  readonly #hands: Pick<Hands, "pin">;

  /** @throws uri-invalid */
  constructor({ station, token, profile, module, hands }: StationTokenOptions) {
    this.profile = profile;
    this.module = module;
    this.#station = station;
    this.#token = token;
    this.#uri = parseTokenUri(token.uri);
    this.#hands = hands;
  }

  /** CKA_LABEL that the plan gives the token. @throws plan-invalid */
  get label(): string {
    const { token } = this.#uri;
    if (token !== undefined) return token;
    throw new StrongroomError("plan-invalid", `the URI of ${this.#station} names no token`, {
      hint: "write token=LABEL into it: the label that the token gets",
    });
  }

  moduleInfo(): ModuleInfo {
    return this.module.moduleInfo();
  }

  /**
   * The token as it is found, blank or not, without a login.
   * @throws token-absent; ceremony-stopped where several could be meant
   */
  found(): TokenInfo & { readonly isInitialised: boolean } {
    const { token: label, serial: _, ...others } = this.#uri;
    const serial = this.#token.serial ?? this.#uri.serial;
    const infos = this.module
      .slots()
      .map((slot) => this.module.tokenInfo(slot))
      .filter((info) => matchesToken(others, info));
    const isInitialised = ({ flags }: TokenInfo): boolean => (flags & CKF_TOKEN.TOKEN_INITIALIZED) !== 0;
    const bySerial = serial === undefined ? [] : infos.filter((info) => info.serial === serial);
    const byLabel = infos.filter((info) => isInitialised(info) && info.label === label);
    const blank = infos.filter((info) => !isInitialised(info));
    const [candidates = []] = [bySerial, byLabel, serial === undefined ? blank : []].filter(
      ({ length }) => length > 0,
    );
    const [info, other] = candidates;
    if (!info)
      throw new StrongroomError("token-absent", `the token of ${this.#station} is not there`, {
        hint: `present: ${infos.map((one) => one.serial || one.label || "blank").join(", ") || "none"}`,
      });
    if (other)
      throw new StrongroomError("ceremony-stopped", `several tokens could be the one of ${this.#station}`, {
        hint: "write the serial number into the plan, or take the others out",
      });
    return { ...info, isInitialised: isInitialised(info) };
  }

  /**
   * A session, closed when `use` is done.
   * @throws pin-unavailable where nobody gives a PIN; pin-locked; token errors; what `use` throws
   */
  async with<R>(login: Login, use: (session: TokenSession) => R | Promise<R>): Promise<R> {
    const session = await this.#open(login);
    try {
      return await use(session);
    } finally {
      session.close();
    }
  }

  /** The security officer's PIN that is in force. The caller wipes it. @throws pin-unavailable */
  officerPin(): Promise<Uint8Array> {
    const { soPinSource } = this.#token;
    if (soPinSource !== undefined) return Promise.resolve(readPinFile(soPinSource));
    return this.#ask("so", false);
  }

  /** A session of the security officer by a PIN that is given. @throws token errors */
  async withOfficerPin<R>(pin: Uint8Array, use: (session: TokenSession) => R): Promise<R> {
    const { session } = await openSession(this.#config(), {
      login: "so",
      prompt: () => Promise.resolve(Uint8Array.from(pin)),
      module: this.module,
    });
    try {
      return use(session);
    } finally {
      session.close();
    }
  }

  /** @param eraseLabel what a person allowed to be erased @throws what `initialiseToken` throws */
  async initialise(options: {
    readonly eraseLabel?: string;
    readonly isOurs: boolean;
  }): Promise<Initialised> {
    const { eraseLabel, isOurs } = options;
    const { modules } = this.profile;
    const { pinSource } = this.#uri;
    const { soPinSource } = this.#token;
    const asked = new Map<Login, Promise<Uint8Array>>();
    const typed = async (who: Login): Promise<Uint8Array> => {
      const answer = asked.get(who) ?? this.#ask(who, true);
      asked.set(who, answer);
      return Uint8Array.from(await answer);
    };
    const { serial } = this.found();
    try {
      return await initialiseToken({
        uri: serial === "" ? this.#uri : { ...this.#uri, serial },
        modules: modules.value === "unknown" ? [] : modules.value,
        label: this.label,
        soPin: () => (soPinSource === undefined ? typed("so") : Promise.resolve(readPinFile(soPinSource))),
        userPin: () => (pinSource === undefined ? typed("user") : Promise.resolve(readPinFile(pinSource))),
        eraseLabel,
        ifMissing: isOurs,
        module: this.module,
      });
    } finally {
      for (const answer of asked.values()) (await answer.catch(() => undefined))?.fill(0);
    }
  }

  #config(): { uri: string; profile: string } {
    return { uri: formatTokenUri(this.#uri), profile: this.#token.profile };
  }

  async #open(login: Login): Promise<TokenSession> {
    const source = login === "so" ? this.#token.soPinSource : this.#uri.pinSource;
    let warning: string | undefined;
    for (;;) {
      const prompt =
        login === "so" && source !== undefined
          ? (): Promise<Uint8Array> => Promise.resolve(readPinFile(source))
          : (): Promise<Uint8Array> => this.#ask(login, false, warning);
      try {
        return (await openSession(this.#config(), { login, prompt, module: this.module })).session;
      } catch (error) {
        if (source !== undefined || !isStrongroomError(error, "pin-incorrect")) throw error;
        warning = this.#triesLeft(login);
      }
    }
  }

  /** PKCS#11 tells no number, but whether it was the first wrong one, and whether the next one locks. */
  #triesLeft(login: Login): string {
    return `wrong PIN; ${triesLeft(login, this.found().flags)}`;
  }

  async #ask(who: Login, isNew: boolean, warning?: string): Promise<Uint8Array> {
    const pin = await this.#hands.pin({ station: this.#station, who, isNew, warning });
    if (pin) return pin;
    throw new StrongroomError(
      "pin-unavailable",
      `nobody gave the ${who === "so" ? "security officer's" : "user"} PIN`,
      {
        hint: "resume when the person with the PIN is there",
      },
    );
  }
}

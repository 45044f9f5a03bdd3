/**
 * Gives a token its label, its security officer and its user PIN. C_InitToken destroys every key of the token
 * that it is called on, so an initialised token is only ever touched by somebody who typed its label for that.
 */
import { StrongroomError } from "../base/errors.ts";
import { startModule } from "./connection.ts";
import { CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_TOKEN, CKU } from "./cryptoki.ts";
import { type Handle, type Pkcs11Module, releaseModule, type TokenInfo } from "./module.ts";
import { withPin } from "./pin.ts";
import { matchesToken, type TokenUri } from "./uri.ts";

export interface InitialiseOptions {
  /** Its module, and the serial number where several tokens could be meant; its label is not looked at. */
  readonly uri: TokenUri;
  /** Modules to try where the URI names none. */
  readonly modules: readonly string[];
  /** CKA_LABEL of the token: 1 to 32 bytes. */
  readonly label: string;
  /** Asked only when the PIN is needed, maybe twice; what it gives is wiped. */
  readonly soPin: () => Promise<Uint8Array>;
  readonly userPin: () => Promise<Uint8Array>;
  /** The label of the token whose keys are to be destroyed. */
  readonly eraseLabel?: string | undefined;
  /** A token with the label is left as it is. */
  readonly ifMissing?: boolean | undefined;
  /** Instead of the module that the URI names; whoever gives it ends it. */
  readonly module?: Pkcs11Module | undefined;
}

/**
 * created: a blank token. erased: one that had keys. completed: it had its label, but no user PIN yet.
 * present: there was nothing to do.
 */
export interface Initialised {
  readonly state: "created" | "erased" | "completed" | "present";
  readonly info: TokenInfo;
}

interface Slot {
  readonly slot: Handle;
  readonly info: TokenInfo;
}

const has = ({ flags }: TokenInfo, flag: number): boolean => (flags & flag) !== 0;

/**
 * @throws usage where a token with the label exists, or several could be meant; token-absent where none is
 *   blank; pin-incorrect where the security officer's PIN is not that of the token; module-failed
 */
export async function initialiseToken(options: InitialiseOptions): Promise<Initialised> {
  const { uri, label } = options;
  const bytes = Buffer.byteLength(label);
  if (bytes < 1 || bytes > 32)
    throw new StrongroomError("usage", "a token's label has 1 to 32 bytes", { hint: "give another --label" });
  const module = options.module ?? startModule(uri, options.modules);
  try {
    const { token: _, ...others } = uri;
    const slots = module
      .slots()
      .map((slot) => ({ slot, info: module.tokenInfo(slot) }))
      .filter(({ info }) => matchesToken(others, info));
    const initialised = slots.filter(({ info }) => has(info, CKF_TOKEN.TOKEN_INITIALIZED));
    const same = single(
      initialised.filter(({ info }) => info.label === label),
      label,
    );
    const { eraseLabel } = options;
    if (same && eraseLabel !== undefined && eraseLabel !== label)
      throw new StrongroomError("usage", `another token is labelled ${label}, serial ${same.info.serial}`, {
        hint: "nothing was erased; give another --label",
      });
    if (eraseLabel !== undefined) return await erase(module, initialised, eraseLabel, options);
    if (!same) {
      const blank = slots.filter(({ info }) => !has(info, CKF_TOKEN.TOKEN_INITIALIZED));
      return { state: "created", info: await make(module, requireBlank(blank), options) };
    }
    // Between C_InitToken and C_InitPIN somebody pulled the plug: going on destroys nothing.
    if (!has(same.info, CKF_TOKEN.USER_PIN_INITIALIZED))
      return { state: "completed", info: await setUserPin(module, same.slot, options) };
    if (options.ifMissing) return { state: "present", info: same.info };
    throw new StrongroomError("usage", `a token ${label} exists already, serial ${same.info.serial}`, {
      hint: `use it as it is (--if-missing), or destroy all its keys with --force-erase ${label}`,
    });
  } finally {
    if (options.module === undefined) releaseModule(module);
  }
}

function single(slots: readonly Slot[], label: string): Slot | undefined {
  const [found, other] = slots;
  if (!other) return found;
  throw new StrongroomError("usage", `${slots.length} tokens are labelled ${label}`, {
    hint: `name one by serial= in --uri: ${slots.map(({ info }) => info.serial).join(", ")}`,
  });
}

function requireBlank(blank: readonly Slot[]): Slot {
  const [found, other] = blank;
  if (!found)
    throw new StrongroomError("token-absent", "no blank token is there to be initialised", {
      hint: "`strongroom token list` shows what is; --force-erase LABEL would destroy the keys of one",
    });
  // Serial numbers of blank tokens may be empty; then only the device's own tools can tell them apart.
  if (other)
    throw new StrongroomError("usage", `${blank.length} blank tokens are there`, {
      hint: `name one by serial= in --uri: ${blank.map(({ info }) => info.serial || "(none)").join(", ")}`,
    });
  return found;
}

async function erase(
  module: Pkcs11Module,
  initialised: readonly Slot[],
  eraseLabel: string,
  options: InitialiseOptions,
): Promise<Initialised> {
  const target = single(
    initialised.filter(({ info }) => info.label === eraseLabel),
    eraseLabel,
  );
  if (!target)
    throw new StrongroomError("token-absent", `no token is labelled ${eraseLabel}; nothing was erased`, {
      hint: `present: ${initialised.map(({ info }) => info.label).join(", ") || "no initialised token"}`,
    });
  return { state: "erased", info: await make(module, target, options) };
}

async function make(
  module: Pkcs11Module,
  { slot, info }: Slot,
  options: InitialiseOptions,
): Promise<TokenInfo> {
  const before = module.slots().map((other) => module.tokenInfo(other).serial);
  const officer = await options.soPin();
  // Keys are not destroyed for a user PIN that nobody has.
  (await options.userPin()).fill(0);
  withPin(officer, (pin) => module.initToken(slot, pin, options.label));
  // Some modules move the token to a new slot, some give it a new serial number; others have its label.
  const labelled = module
    .slots()
    .map((candidate) => ({ slot: candidate, info: module.tokenInfo(candidate) }))
    .filter((one) => one.info.label === options.label && has(one.info, CKF_TOKEN.TOKEN_INITIALIZED));
  const made =
    labelled.find((one) => !before.includes(one.info.serial)) ??
    labelled.find((one) => one.info.serial === info.serial);
  if (!made) throw new StrongroomError("token-failed", "the initialised token does not show up");
  return setUserPin(module, made.slot, options);
}

async function setUserPin(
  module: Pkcs11Module,
  slot: Handle,
  options: InitialiseOptions,
): Promise<TokenInfo> {
  const officer = await options.soPin();
  const user = await options.userPin();
  const copy = Uint8Array.from(user);
  const session = module.openSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
  try {
    withPin(officer, (pin) => module.login(session, CKU.so, pin));
    withPin(user, (pin) => module.initPin(session, pin));
    module.logout(session);
    // A PIN that was set and does not open the token is found now, not when the vault starts.
    withPin(copy, (pin) => module.login(session, CKU.user, pin));
    module.logout(session);
  } finally {
    copy.fill(0);
    module.closeSession(session);
  }
  return module.tokenInfo(slot);
}

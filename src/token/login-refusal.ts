/**
 * A login that the token refused: whose PIN it was, where it came from, and what the token says of further tries.
 * PKCS#11 tells no number of them, only flags.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { actionFor, mayHaveCounted, NOT_AGAIN } from "./ckr.ts";
import { CKF_TOKEN } from "./cryptoki.ts";

type Login = "user" | "so";
const COUNTERS: Readonly<
  Record<Login, { readonly low: number; readonly final: number; readonly locked: number }>
> = {
  user: {
    low: CKF_TOKEN.USER_PIN_COUNT_LOW,
    final: CKF_TOKEN.USER_PIN_FINAL_TRY,
    locked: CKF_TOKEN.USER_PIN_LOCKED,
  },
  so: {
    low: CKF_TOKEN.SO_PIN_COUNT_LOW,
    final: CKF_TOKEN.SO_PIN_FINAL_TRY,
    locked: CKF_TOKEN.SO_PIN_LOCKED,
  },
};

export interface LoginAttempt {
  readonly login: Login;
  /** Where the PIN came from: a file's path; otherwise a person typed it, here or at the device. */
  readonly file: string | undefined;
  /** C_GetTokenInfo flags after the attempt; undefined where the token does not answer any more. */
  readonly flags: number | undefined;
}

/** What the flags say of the tries that are left, in words. */
export function triesLeft(login: Login, flags: number): string {
  const { low, final, locked } = COUNTERS[login];
  if ((flags & locked) !== 0) return "the token has locked it";
  if ((flags & final) !== 0) return "one try is left before the token locks it";
  if ((flags & low) !== 0) return "the token counts: some tries are left, it does not say how many";
  return "the token does not say how many tries are left";
}

/**
 * What a failed C_Login becomes. A failure whose code says nothing of the PIN is a refusal too where the token's own
 * count says that a wrong one was tried: going on would lock it.
 */
export function refusedLogin(error: unknown, { login, file, flags }: LoginAttempt): unknown {
  if (!isStrongroomError(error) || error.details.fn !== "C_Login") return error;
  const { low, final, locked } = COUNTERS[login];
  const counted = flags !== undefined && (flags & (low | final | locked)) !== 0;
  const action = actionFor(error);
  const suspect = counted && action === "retry" && error.code !== "token-busy";
  if (!mayHaveCounted(error) && !suspect) return error;
  const isLocked = error.code === "pin-locked";
  const which = `${login === "user" ? "the user PIN" : "the security officer's PIN"}${file ? ` in ${file}` : ""}`;
  const left = isLocked || flags === undefined ? "" : `; ${triesLeft(login, flags)}`;
  const hint = isLocked
    ? error.hint
    : file
      ? `put the right PIN into ${file}, then start again: nothing tries it twice`
      : "run the command again with the right PIN";
  // Only a token that says so has refused the PIN: others draw conclusions from that.
  const isSaid = action === "stop";
  return new StrongroomError(isSaid ? error.code : "token-refused", `${error.message}, ${which}${left}`, {
    details: { ...error.details, ...(isSaid ? {} : { [NOT_AGAIN]: true }) },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** What the closed set of the wire means to a person. */
import { StrongroomError, type WireCode } from "../base/errors.ts";

const MEANING: Readonly<Record<WireCode, { readonly message: string; readonly hint?: string }>> = {
  unauthorized: {
    message: "the vault does not accept the account token",
    hint: "sign in again; a token lives at most ten minutes by the site's clock and must be for this fleet",
  },
  "not-registered": {
    message: "nothing is registered for this account",
    hint: "check tenant and subject; nothing can be recovered before it was registered",
  },
  destroyed: {
    message: "the record is destroyed: no attempt is left",
    hint: "nobody can recover that backup key any more; register again to protect a new one",
  },
  expired: { message: "the exchange took longer than the vault waits", hint: "start again" },
  conflict: { message: "another device changed the record in between", hint: "start again" },
  "rate-limited": {
    message: "too many requests for this account or from this address",
    hint: "wait, then try again",
  },
  "invalid-request": {
    message: "the vault did not understand the request",
    hint: "this client and the fleet may be of different versions",
  },
  "unknown-key": {
    message:
      "the fleet's keys are not those of the pinned manifest: they have changed, or this is another fleet",
    hint: "get the fleet's current manifest from a source that you trust",
  },
  unavailable: { message: "no site of the fleet can serve the request now", hint: "try again later" },
};

/** @param retryAfter whole seconds */
export function told(code: WireCode, retryAfter?: number): StrongroomError {
  const { message, hint } = MEANING[code];
  const wait =
    code === "rate-limited" && retryAfter !== undefined
      ? `wait ${duration(retryAfter)}, then try again`
      : hint;
  return new StrongroomError(code, message, {
    ...(wait === undefined ? {} : { hint: wait }),
    details: {
      ...(retryAfter === undefined ? {} : { retryAfter }),
      ...(code === "destroyed" ? { attemptsLeft: 0 } : {}),
    },
  });
}

function duration(seconds: number): string {
  const [amount, unit] =
    seconds < 120
      ? [seconds, "second"]
      : seconds < 7_200
        ? [seconds / 60, "minute"]
        : [seconds / 3_600, "hour"];
  const whole = Math.ceil(amount);
  return `${whole} ${unit}${whole === 1 ? "" : "s"}`;
}

/** `1 attempt left`, `9 attempts left`. */
export function left(attemptsLeft: number): string {
  return attemptsLeft === 1 ? "1 attempt left" : `${attemptsLeft} attempts left`;
}

/** Wrong code, and what that leaves. */
export function wrongCode(attemptsLeft: number): StrongroomError {
  return new StrongroomError("wrong-recovery-code", `wrong recovery code, ${left(attemptsLeft)}`, {
    details: { attemptsLeft },
    hint:
      attemptsLeft === 0
        ? "the record is being destroyed; nobody can recover that backup key any more"
        : "look for the right code before the next attempt; after the last one the record is destroyed for good",
  });
}

/**
 * What a PKCS#11 return code means and what to do about it: the only place that knows.
 *
 * The binding throws in two shapes: an error with `.code`, and (from C_SetAttributeValue, C_CreateObject and
 * C_CopyObject) a plain Error whose message is "CKR_X:number". Both become one StrongroomError whose
 * `details.ckr` names the code.
 */
import { type ErrorCode, isStrongroomError, StrongroomError } from "../base/errors.ts";

/**
 * fail: the caller's problem, the session is fine. retry: the device had a bad moment; back off, and recycle
 * when it keeps having them. reopen: open a new session. relogin: log in again, once. resolve: look the object
 * up again. recycle: only a new process helps. stop: never try again, a further attempt may lock the PIN.
 */
export type CkrAction = "fail" | "retry" | "reopen" | "relogin" | "resolve" | "recycle" | "stop";

interface CkrTraits {
  readonly value: number;
  readonly code: ErrorCode;
  readonly action: CkrAction;
  readonly hint?: string;
}

const ckr = (value: number, code: ErrorCode, action: CkrAction, hint?: string): CkrTraits => ({
  value,
  code,
  action,
  ...(hint === undefined ? {} : { hint }),
});

const REPLACE_PIN = "put the right PIN into the pin-source file, then start again";
const UNLOCK = "the security officer must reset the PIN (C_InitPIN), then start again";

/** PKCS#11 3.1 §5.1, in the order of their numbers. */
const TABLE: Readonly<Record<string, CkrTraits>> = {
  CKR_CANCEL: ckr(0x1, "token-failed", "fail"),
  CKR_HOST_MEMORY: ckr(0x2, "token-failed", "recycle"),
  CKR_SLOT_ID_INVALID: ckr(0x3, "token-absent", "recycle"),
  CKR_GENERAL_ERROR: ckr(0x5, "token-failed", "retry"),
  CKR_FUNCTION_FAILED: ckr(0x6, "token-failed", "retry"),
  CKR_ARGUMENTS_BAD: ckr(0x7, "token-refused", "fail"),
  CKR_NEED_TO_CREATE_THREADS: ckr(0x9, "module-failed", "fail"),
  CKR_CANT_LOCK: ckr(0xa, "module-failed", "fail"),
  CKR_ATTRIBUTE_READ_ONLY: ckr(0x10, "token-refused", "fail"),
  CKR_ATTRIBUTE_SENSITIVE: ckr(0x11, "token-refused", "fail"),
  CKR_ATTRIBUTE_TYPE_INVALID: ckr(0x12, "token-refused", "fail"),
  CKR_ATTRIBUTE_VALUE_INVALID: ckr(0x13, "token-refused", "fail"),
  CKR_ACTION_PROHIBITED: ckr(0x1b, "token-refused", "fail"),
  CKR_DATA_INVALID: ckr(0x20, "token-failed", "fail"),
  CKR_DATA_LEN_RANGE: ckr(0x21, "token-failed", "fail"),
  CKR_DEVICE_ERROR: ckr(0x30, "token-failed", "retry"),
  CKR_DEVICE_MEMORY: ckr(0x31, "token-failed", "recycle"),
  CKR_DEVICE_REMOVED: ckr(0x32, "token-absent", "recycle"),
  CKR_ENCRYPTED_DATA_INVALID: ckr(0x40, "token-failed", "fail"),
  CKR_ENCRYPTED_DATA_LEN_RANGE: ckr(0x41, "token-failed", "fail"),
  CKR_FUNCTION_CANCELED: ckr(0x50, "token-failed", "fail"),
  CKR_FUNCTION_NOT_SUPPORTED: ckr(0x54, "token-refused", "fail"),
  CKR_KEY_HANDLE_INVALID: ckr(0x60, "token-failed", "resolve"),
  CKR_KEY_SIZE_RANGE: ckr(0x62, "token-refused", "fail"),
  CKR_KEY_TYPE_INCONSISTENT: ckr(0x63, "token-refused", "fail"),
  CKR_KEY_FUNCTION_NOT_PERMITTED: ckr(0x68, "token-refused", "fail"),
  CKR_KEY_NOT_WRAPPABLE: ckr(0x69, "token-refused", "fail"),
  CKR_KEY_UNEXTRACTABLE: ckr(0x6a, "token-refused", "fail"),
  CKR_MECHANISM_INVALID: ckr(0x70, "token-refused", "fail"),
  CKR_MECHANISM_PARAM_INVALID: ckr(0x71, "token-failed", "fail"),
  CKR_OBJECT_HANDLE_INVALID: ckr(0x82, "token-failed", "resolve"),
  CKR_OPERATION_ACTIVE: ckr(0x90, "token-failed", "reopen"),
  CKR_OPERATION_NOT_INITIALIZED: ckr(0x91, "token-failed", "reopen"),
  CKR_PIN_INCORRECT: ckr(0xa0, "pin-incorrect", "stop", REPLACE_PIN),
  CKR_PIN_INVALID: ckr(0xa1, "pin-incorrect", "stop", REPLACE_PIN),
  CKR_PIN_LEN_RANGE: ckr(0xa2, "pin-incorrect", "stop", REPLACE_PIN),
  CKR_PIN_EXPIRED: ckr(0xa3, "pin-locked", "stop", "set a new PIN on the token, then start again"),
  CKR_PIN_LOCKED: ckr(0xa4, "pin-locked", "stop", UNLOCK),
  CKR_SESSION_CLOSED: ckr(0xb0, "token-failed", "reopen"),
  CKR_SESSION_COUNT: ckr(0xb1, "token-busy", "retry", "the token has no free session; use fewer workers"),
  CKR_SESSION_HANDLE_INVALID: ckr(0xb3, "token-failed", "reopen"),
  CKR_SESSION_READ_ONLY: ckr(0xb5, "token-refused", "fail"),
  CKR_SESSION_EXISTS: ckr(0xb6, "token-busy", "fail", "stop every program that has the token open"),
  CKR_SESSION_READ_ONLY_EXISTS: ckr(0xb7, "token-busy", "fail"),
  CKR_SESSION_READ_WRITE_SO_EXISTS: ckr(0xb8, "token-busy", "fail"),
  CKR_SIGNATURE_INVALID: ckr(0xc0, "token-failed", "fail"),
  CKR_SIGNATURE_LEN_RANGE: ckr(0xc1, "token-failed", "fail"),
  CKR_TEMPLATE_INCOMPLETE: ckr(0xd0, "token-refused", "fail"),
  CKR_TEMPLATE_INCONSISTENT: ckr(0xd1, "token-refused", "fail"),
  CKR_TOKEN_NOT_PRESENT: ckr(0xe0, "token-absent", "recycle"),
  CKR_TOKEN_NOT_RECOGNIZED: ckr(0xe1, "token-absent", "recycle"),
  CKR_TOKEN_WRITE_PROTECTED: ckr(0xe2, "token-refused", "fail"),
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: ckr(0xf0, "token-failed", "resolve"),
  CKR_UNWRAPPING_KEY_SIZE_RANGE: ckr(0xf1, "token-refused", "fail"),
  CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT: ckr(0xf2, "token-refused", "fail"),
  // Login treats this one as success; anywhere else it is a bug of the caller.
  CKR_USER_ALREADY_LOGGED_IN: ckr(0x100, "token-failed", "fail"),
  CKR_USER_NOT_LOGGED_IN: ckr(0x101, "token-failed", "relogin"),
  CKR_USER_PIN_NOT_INITIALIZED: ckr(0x102, "pin-locked", "stop", UNLOCK),
  CKR_USER_TYPE_INVALID: ckr(0x103, "token-refused", "fail"),
  CKR_USER_ANOTHER_ALREADY_LOGGED_IN: ckr(0x104, "token-busy", "fail"),
  CKR_USER_TOO_MANY_TYPES: ckr(0x105, "token-busy", "fail"),
  CKR_WRAPPED_KEY_INVALID: ckr(0x110, "token-failed", "fail"),
  CKR_WRAPPED_KEY_LEN_RANGE: ckr(0x112, "token-failed", "fail"),
  CKR_WRAPPING_KEY_HANDLE_INVALID: ckr(0x113, "token-failed", "resolve"),
  CKR_WRAPPING_KEY_SIZE_RANGE: ckr(0x114, "token-refused", "fail"),
  CKR_WRAPPING_KEY_TYPE_INCONSISTENT: ckr(0x115, "token-refused", "fail"),
  CKR_RANDOM_NO_RNG: ckr(0x121, "token-refused", "fail"),
  CKR_DOMAIN_PARAMS_INVALID: ckr(0x130, "token-refused", "fail"),
  CKR_CURVE_NOT_SUPPORTED: ckr(0x140, "token-refused", "fail"),
  CKR_BUFFER_TOO_SMALL: ckr(0x150, "token-failed", "fail"),
  CKR_CRYPTOKI_NOT_INITIALIZED: ckr(0x190, "token-failed", "recycle"),
  CKR_CRYPTOKI_ALREADY_INITIALIZED: ckr(0x191, "module-failed", "fail"),
  CKR_FIPS_SELF_TEST_FAILED: ckr(0x1b6, "token-failed", "recycle"),
  CKR_LIBRARY_LOAD_FAILED: ckr(0x1b7, "module-failed", "recycle"),
  CKR_PIN_TOO_WEAK: ckr(0x1b8, "pin-incorrect", "stop", REPLACE_PIN),
  CKR_PUBLIC_KEY_INVALID: ckr(0x1b9, "token-failed", "fail"),
  CKR_FUNCTION_REJECTED: ckr(0x200, "token-refused", "fail"),
  CKR_TOKEN_RESOURCE_EXCEEDED: ckr(0x201, "token-busy", "retry"),
  CKR_OPERATION_CANCEL_FAILED: ckr(0x202, "token-failed", "reopen"),
  CKR_KEY_EXHAUSTED: ckr(0x203, "token-refused", "fail"),
};

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(TABLE).map(([name, traits]) => [traits.value, name]),
);
/** A vendor's own code: nothing is known of it, so the device is asked again before it is believed. */
const VENDOR: CkrTraits = ckr(0x80000000, "token-failed", "retry");

/** The number of a return code of the standard, for who has to throw one as the binding does. */
export function ckrValue(name: string): number {
  return TABLE[name]?.value ?? 0x5;
}

export interface Ckr {
  readonly name: string;
  readonly value: number;
}

function named(value: number): Ckr {
  return { name: NAMES.get(value) ?? `CKR_0x${value.toString(16).toUpperCase()}`, value };
}

/** The return code in whatever the binding threw; undefined if it is not a PKCS#11 error. */
export function ckrOf(error: unknown): Ckr | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "number" && error.code !== 0) return named(error.code);
  const match = /^CKR_\w+:(\d+)/.exec(error.message);
  return match ? named(Number(match[1])) : undefined;
}

/** What a failed call becomes. @param fn the PKCS#11 function that failed */
export function tokenError(fn: string, error: unknown): StrongroomError {
  if (isStrongroomError(error)) return error;
  const found = ckrOf(error);
  if (!found) return new StrongroomError("internal", `${fn}: wrong arguments`, { cause: error });
  const { code, hint } = TABLE[found.name] ?? VENDOR;
  return new StrongroomError(code, `${fn}: ${found.name}`, {
    details: { ckr: found.name, fn },
    ...(hint === undefined ? {} : { hint }),
  });
}

/**
 * Has a failed C_Login used up a try of the PIN, for all that its code says? A refusal is not mended by trying the same
 * PIN again, and of a vendor's own code nobody knows: either could lock the PIN while nobody looks.
 */
export function mayHaveCounted(error: StrongroomError): boolean {
  const name = error.details.ckr;
  if (error.details.fn !== "C_Login" || typeof name !== "string") return false;
  return error.code === "token-refused" || !Object.hasOwn(TABLE, name) || actionFor(error) === "stop";
}

/** In the details of a login that failed in a way that may have counted. */
export const NOT_AGAIN = "notAgain";

/** What to do about an error that came from `tokenError`; "fail" for every other error. */
export function actionFor(error: unknown): CkrAction {
  if (isStrongroomError(error, "token-absent")) return "recycle";
  if (isStrongroomError(error) && error.details[NOT_AGAIN] === true) return "stop";
  const name = isStrongroomError(error) ? error.details.ckr : undefined;
  if (typeof name !== "string") return "fail";
  return (TABLE[name] ?? VENDOR).action;
}

/** True for an error that carries one of the named return codes. */
export function isCkr(error: unknown, ...names: readonly string[]): boolean {
  return isStrongroomError(error) && names.some((name) => name === error.details.ckr);
}

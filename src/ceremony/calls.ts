/**
 * The PKCS#11 calls of a step: those that a dry run listed, and those that a run wrote down. They are the same, in the
 * same order, or the first that differs is named.
 */
import { isDeepStrictEqual } from "node:util";
/** What is compared: return codes and durations are the token's own. */
export interface PlannedCall {
  readonly fn: string;
  /** JSON. */
  readonly args: Readonly<Record<string, unknown>>;
}

/** As a transcript has it. */
export interface AnsweredCall extends PlannedCall {
  readonly ckr: string;
}

/** The first call that is not as planned. */
export interface CallDeviation {
  /** From 0, in the planned list. */
  readonly at: number;
  /** Undefined where nothing more was planned. */
  readonly planned: PlannedCall | undefined;
  /** Undefined where nothing more was called. */
  readonly recorded: PlannedCall | undefined;
}

/** A wrong PIN: the token did nothing, and a person typed again. */
const WRONG_PIN: readonly string[] = ["CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE"];
/** They take a PIN. */
const WITH_PIN: readonly string[] = ["C_Login", "C_InitToken", "C_SetPIN"];

/** The calls without tries that a wrong PIN ended, and without the session that was opened for such a try. */
export function withoutWrongPins(calls: readonly AnsweredCall[]): readonly PlannedCall[] {
  const kept: AnsweredCall[] = [];
  let isClosing = false;
  for (const call of calls) {
    const isWrong = WITH_PIN.includes(call.fn) && WRONG_PIN.includes(call.ckr);
    if (isWrong && call.fn === "C_Login" && kept.at(-1)?.fn === "C_OpenSession") {
      kept.pop();
      isClosing = true;
    } else if (!isWrong && !(isClosing && call.fn === "C_CloseSession")) {
      kept.push(call);
      isClosing = false;
    } else if (!isWrong) isClosing = false;
  }
  return kept.map(({ fn, args }) => ({ fn, args }));
}

/**
 * @param planned  of one step, from a dry run
 * @param recorded of the same step, from a transcript, from its start to its end
 * @returns undefined where they are the same
 */
export function sameCalls(
  planned: readonly PlannedCall[],
  recorded: readonly AnsweredCall[],
): CallDeviation | undefined {
  const made = withoutWrongPins(recorded);
  for (let at = 0; at < Math.max(planned.length, made.length); at++) {
    const [expected, actual] = [planned[at], made[at]];
    const isSame =
      expected?.fn === actual?.fn && isDeepStrictEqual(plain(expected?.args), plain(actual?.args));
    if (!isSame) return { at, planned: expected, recorded: actual };
  }
  return undefined;
}

/** As it is after a file: a transcript's objects come from JSON. */
const plain = (args: unknown): unknown => (args === undefined ? args : JSON.parse(JSON.stringify(args)));

/** They make nothing, change nothing and give nothing away, or take away what an interruption left. */
const HARMLESS: readonly string[] = [
  "C_OpenSession",
  "C_CloseSession",
  "C_Login",
  "C_Logout",
  "C_FindObjectsInit",
  "C_GetAttributeValue",
  "C_DestroyObject",
];

/** Objects without a label are numbered in the order of their use, which an interruption changes. */
const unnumbered = ({ fn, args }: PlannedCall): string =>
  JSON.stringify([fn, args], (_, value: unknown) =>
    typeof value === "string" && /^o[0-9]+$/.test(value) ? "o" : value,
  );

/**
 * Of a step that was begun more than once: the calls that succeeded and that no attempt at it has a reason to make. What
 * goes on after an interruption looks around, destroys what is half made, and makes the calls of the plan.
 */
export function strangeCalls(
  planned: readonly PlannedCall[],
  recorded: readonly AnsweredCall[],
): readonly PlannedCall[] {
  const known = new Set(planned.map(unnumbered));
  return recorded.filter(
    (call) => call.ckr === "CKR_OK" && !HARMLESS.includes(call.fn) && !known.has(unnumbered(call)),
  );
}

/** One line for people. */
export function describeCall({ fn, args }: PlannedCall): string {
  const said = Object.entries(args).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return [fn, ...said].join(" ");
}

/** For an error: which call, what was planned, and what was done. */
export function describeDeviation({ at, planned, recorded }: CallDeviation): string {
  const text = (call: PlannedCall | undefined): string => (call ? describeCall(call) : "no further call");
  return `call ${at + 1}: planned was ${text(planned)}; made was ${text(recorded)}`;
}

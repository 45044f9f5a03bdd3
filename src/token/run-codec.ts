/** Runs and their results as frame bodies, see frames.ts. */
import { ERROR_TRAITS, type ErrorCode, isStrongroomError, StrongroomError } from "../base/errors.ts";
import { FRAME, type FrameReader, type FrameWriter } from "./frames.ts";
import type { StepResult } from "./steps.ts";
import type { CreatedShare, ExpectedTag, ShareTag, TokenStep } from "./token.ts";

const OP = {
  ecdh: 1,
  hmac: 2,
  sign: 3,
  "create-share": 4,
  "evaluate-share": 5,
  random: 6,
  "sign-message": 7,
  "read-data": 8,
  "write-data": 9,
} as const;

/** What the pool must do besides passing an error on; see ckr.ts. */
export type Verdict = "none" | "recycle" | "stop";
const VERDICTS: readonly Verdict[] = ["none", "recycle", "stop"];

const MAX_STEPS = 255;

/** @throws internal for a run that does not fit; drop the frame then */
export function writeRun(out: FrameWriter, id: number, steps: readonly TokenStep[]): void {
  out.begin(FRAME.run);
  if (steps.length > MAX_STEPS)
    throw new StrongroomError("internal", "a run has too many steps for a token worker");
  out.u32(id);
  out.u8(steps.length);
  for (const step of steps) {
    out.u8(OP[step.op]);
    switch (step.op) {
      case "ecdh":
        out.text(step.key);
        out.list(step.points);
        break;
      case "hmac":
        out.text(step.key);
        out.bytes(step.data);
        break;
      case "sign":
        out.text(step.key);
        out.bytes(step.digest);
        break;
      case "create-share":
        out.text(step.kek);
        out.list(step.points);
        writeTag(out, step.tag);
        break;
      case "evaluate-share":
        out.text(step.kek);
        out.u32(step.share.mechanism);
        out.bytes(step.share.wrapped);
        out.list(step.points);
        writeTag(out, step.tag);
        if (step.tag) {
          out.bytes(step.tag.publicKey);
          out.bytes(step.tag.value);
        }
        break;
      case "random":
        out.u32(step.length);
        break;
      case "sign-message":
        out.text(step.key);
        out.bytes(step.message);
        break;
      case "read-data":
        out.text(step.label);
        break;
      case "write-data":
        out.text(step.label);
        out.bytes(step.value);
        out.list(step.expected);
        break;
    }
  }
  out.end();
}

function writeTag(out: FrameWriter, tag: ShareTag | undefined): void {
  out.u8(tag ? 1 : 0);
  if (!tag) return;
  out.text(tag.key);
  out.bytes(tag.before);
  out.bytes(tag.after);
}

function readTag(input: FrameReader): ShareTag | undefined {
  if (input.u8() === 0) return undefined;
  return { key: input.text(), before: input.bytes(), after: input.bytes() };
}

function readExpectedTag(input: FrameReader): ExpectedTag | undefined {
  const tag = readTag(input);
  return tag && { ...tag, publicKey: input.bytes(), value: input.bytes() };
}

function readStep(input: FrameReader): TokenStep {
  const op = input.u8();
  switch (op) {
    case OP.ecdh:
      return { op: "ecdh", key: input.text(), points: input.list() };
    case OP.hmac:
      return { op: "hmac", key: input.text(), data: input.bytes() };
    case OP.sign:
      return { op: "sign", key: input.text(), digest: input.bytes() };
    case OP["create-share"]:
      return { op: "create-share", kek: input.text(), points: input.list(), tag: readTag(input) };
    case OP["evaluate-share"]:
      return {
        op: "evaluate-share",
        kek: input.text(),
        share: { mechanism: input.u32(), wrapped: input.bytes() },
        points: input.list(),
        tag: readExpectedTag(input),
      };
    case OP.random:
      return { op: "random", length: input.u32() };
    case OP["sign-message"]:
      return { op: "sign-message", key: input.text(), message: input.bytes() };
    case OP["read-data"]:
      return { op: "read-data", label: input.text() };
    case OP["write-data"]:
      return { op: "write-data", label: input.text(), value: input.bytes(), expected: input.list() };
    default:
      throw new StrongroomError("internal", "unknown step in a frame");
  }
}

export function readRun(input: FrameReader): { id: number; steps: TokenStep[] } {
  const id = input.u32();
  const steps: TokenStep[] = [];
  for (let count = input.u8(); count > 0; count--) steps.push(readStep(input));
  return { id, steps };
}

const RESULT = { bytes: 1, list: 2, share: 3 } as const;

/** @param micros what each step took, in microseconds */
export function writeResults(
  out: FrameWriter,
  id: number,
  results: readonly StepResult[],
  micros: readonly number[],
): void {
  out.begin(FRAME.results);
  out.u32(id);
  out.u8(results.length);
  results.forEach((result, i) => {
    out.u32(micros[i] ?? 0);
    if (result instanceof Uint8Array) {
      out.u8(RESULT.bytes);
      out.bytes(result);
    } else if ("wrapped" in result) {
      out.u8(RESULT.share);
      out.u32(result.mechanism);
      out.bytes(result.wrapped);
      out.bytes(result.publicKey);
      out.list(result.xs);
      out.bytes(result.tag);
    } else {
      out.u8(RESULT.list);
      out.list(result);
    }
  });
  out.end();
}

export function readResults(input: FrameReader): { id: number; results: StepResult[]; micros: number[] } {
  const id = input.u32();
  const results: StepResult[] = [];
  const micros: number[] = [];
  for (let count = input.u8(); count > 0; count--) {
    micros.push(input.u32());
    results.push(readResult(input));
  }
  return { id, results, micros };
}

function readResult(input: FrameReader): StepResult {
  const kind = input.u8();
  if (kind === RESULT.bytes) return input.bytes();
  if (kind === RESULT.list) return input.list();
  if (kind !== RESULT.share) throw new StrongroomError("internal", "unknown result in a frame");
  const mechanism = input.u32();
  const wrapped = input.bytes();
  const share: CreatedShare = {
    mechanism,
    wrapped,
    publicKey: input.bytes(),
    xs: input.list(),
    tag: input.bytes(),
  };
  return share;
}

/** @param op the step that failed, empty for none; @param micros what it took */
export interface Failure {
  readonly error: StrongroomError;
  readonly verdict: Verdict;
  readonly op: string;
  readonly micros: number;
}

/** Into a frame that `begin` opened. Causes stay behind: they may be anything. */
export function writeFailure(out: FrameWriter, { error, verdict, op, micros }: Failure): void {
  out.u8(VERDICTS.indexOf(verdict));
  out.text(op);
  out.u32(micros);
  const { code, message, hint, details } = error;
  out.text(JSON.stringify({ code, message, hint, details }));
}

export function readFailure(input: FrameReader): Failure {
  const verdict = VERDICTS[input.u8()] ?? "recycle";
  const op = input.text();
  const micros = input.u32();
  const { code, message, hint, details }: { code: string; message: string; hint?: string; details?: object } =
    JSON.parse(input.text());
  const facts: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(details ?? {}))
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      facts[name] = value;
  const error = new StrongroomError(isErrorCode(code) ? code : "internal", message, {
    details: facts,
    ...(hint === undefined ? {} : { hint }),
  });
  return { error, verdict, op, micros };
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_TRAITS, code);

/** Whatever was thrown, as an error that can travel; an unexpected one keeps its text for the log. */
export function travelling(error: unknown): StrongroomError {
  if (isStrongroomError(error)) return error;
  return new StrongroomError("internal", error instanceof Error ? error.message : String(error));
}

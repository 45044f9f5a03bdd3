/**
 * A transcript as bytes: JSON lines, each with the SHA-256 of the line before it; the first has the hash of the plan
 * in that place. Whoever signs the last hash has signed all of them, and in their order.
 */
import { z } from "zod";
import { fromUtf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import type { CeremonyMode } from "./plan.ts";

/** A call's template and results have a few kilobytes at most. */
export const MAX_LINE_BYTES: number = 64 * 2 ** 10;
const MAX_TEXT = 4096;

const text = z.string().max(MAX_TEXT);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();

/** Every kind of line, and what it says besides its number, its predecessor's hash and its time. */
const KINDS = {
  /** The first line: what this is the transcript of. */
  start: {
    mode: z.enum(["production", "rehearsal"]),
    fleet: text,
    station: text,
    tool: z.strictObject({ release: text, digest: text }),
  },
  /** A step begins. */
  step: { step: text },
  /** One PKCS#11 call, as call-record.ts describes it. */
  call: { fn: text, args: z.record(text, z.json()), ckr: text, ms: z.number().nonnegative() },
  /** A person was asked something, and answered; `right` where there was a right answer, and that was it. */
  prompt: { who: text, asked: text, answer: text, right: z.boolean() },
  "file-in": { step: text, sha256: hash },
  "file-out": { step: text, sha256: hash },
  exception: { expected: text, happened: text, decided: text, by: text },
  /** Somebody went on after an interruption; `torn` bytes of a half-written line were cut off. */
  resumed: { step: text, torn: count },
  /** A step is complete. */
  done: { step: text },
  /** A person ended the session. */
  stop: {},
} as const satisfies Record<TranscriptEntry["kind"], z.ZodRawShape>;

/** What is appended. */
export type TranscriptEntry =
  | {
      readonly kind: "start";
      readonly mode: CeremonyMode;
      readonly fleet: string;
      readonly station: string;
      readonly tool: { readonly release: string; readonly digest: string };
    }
  | { readonly kind: "step" | "done"; readonly step: string }
  | {
      readonly kind: "call";
      readonly fn: string;
      readonly args: Readonly<Record<string, unknown>>;
      readonly ckr: string;
      readonly ms: number;
    }
  | {
      readonly kind: "prompt";
      readonly who: string;
      readonly asked: string;
      readonly answer: string;
      /** False where another answer was the right one. */
      readonly right: boolean;
    }
  | { readonly kind: "file-in" | "file-out"; readonly step: string; readonly sha256: string }
  | {
      readonly kind: "exception";
      readonly expected: string;
      readonly happened: string;
      readonly decided: string;
      readonly by: string;
    }
  | { readonly kind: "resumed"; readonly step: string; readonly torn: number }
  | { readonly kind: "stop" };

/** What is read. */
export type TranscriptLine = TranscriptEntry & {
  /** From 0. */
  readonly n: number;
  readonly prev: string;
  /** Milliseconds since 1970. */
  readonly time: number;
};

/** Where a transcript ends. */
export interface TranscriptHead {
  readonly lines: number;
  /** Hash of the last line; of the plan where there is none. */
  readonly head: string;
}

const schemas: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  Object.entries(KINDS).map(([kind, fields]) => [
    kind,
    z.strictObject({ n: count, prev: hash, time: count, kind: z.literal(kind), ...fields }),
  ]),
);

/** @param line without its end */
export function lineHash(line: Uint8Array): string {
  return sha256HexOf(line);
}

/** The line that an entry becomes, without its end. @throws internal for an entry that no reader would take */
export function encodeLine(entry: TranscriptEntry, { lines, head }: TranscriptHead, time: number): string {
  const { kind, ...rest } = entry;
  const line = { n: lines, prev: head, time, kind, ...rest };
  const encoded = JSON.stringify(line);
  const checked = schemaOf(kind)?.safeParse(line);
  if (checked?.success && Buffer.byteLength(encoded) <= MAX_LINE_BYTES) return encoded;
  throw new StrongroomError("internal", `a transcript line that is none: ${kind}`, { cause: checked?.error });
}

const schemaOf = (kind: unknown): z.ZodType | undefined =>
  typeof kind === "string" && Object.hasOwn(schemas, kind) ? schemas[kind] : undefined;

/** What is wrong with a transcript, for programs. */
export type TranscriptProblem = "torn" | "malformed" | "unknown-kind" | "number" | "chain" | "start";

/** @param at the line, from 1, as editors count them */
function broken(at: number, problem: TranscriptProblem, what: string, cause?: unknown): StrongroomError {
  return new StrongroomError("evidence-invalid", `line ${at} of the transcript ${what}`, {
    details: { line: at, problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Where the last whole line ends. */
export function wholeLines(bytes: Uint8Array): number {
  return bytes.lastIndexOf(0x0a) + 1;
}

/**
 * @param planHash SHA-256 of the plan's bytes, hex
 * @throws evidence-invalid with `details.line` and `details.problem` (a TranscriptProblem)
 */
export function readTranscript(
  bytes: Uint8Array,
  planHash: string,
): { readonly lines: readonly TranscriptLine[]; readonly head: TranscriptHead } {
  const lines: TranscriptLine[] = [];
  let head: TranscriptHead = { lines: 0, head: planHash };
  let at = 0;
  while (at < bytes.length) {
    const number = lines.length + 1;
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) throw broken(number, "torn", "has no end");
    const raw = bytes.subarray(at, end);
    lines.push(decodeLine(raw, number, head));
    head = { lines: number, head: lineHash(raw) };
    at = end + 1;
  }
  const [first] = lines;
  if (first && first.kind !== "start") throw broken(1, "start", "is not a start");
  return { lines, head };
}

function decodeLine(raw: Uint8Array, number: number, before: TranscriptHead): TranscriptLine {
  let value: unknown;
  try {
    if (raw.length > MAX_LINE_BYTES) throw new RangeError("too long");
    const line = fromUtf8(raw);
    value = JSON.parse(line);
    if (JSON.stringify(value) !== line) throw new SyntaxError("not in the one form that is written");
  } catch (cause) {
    throw broken(number, "malformed", "is no line of a transcript", cause);
  }
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
  const schema = schemaOf(kind);
  if (!schema) throw broken(number, "unknown-kind", "is of an unknown kind");
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw broken(number, "malformed", "has wrong fields", parsed.error);
  const decoded = value as TranscriptLine;
  if (decoded.n !== before.lines)
    throw broken(number, "number", `has the number ${decoded.n}: lines are missing, or not in their order`);
  if (decoded.prev !== before.head)
    throw broken(number, "chain", "does not follow the one before it, which was changed or is another one");
  return decoded;
}

/** Frames between pool and workers: any run survives them, however the stream is cut; nothing else is accepted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isStrongroomError, StrongroomError } from "../../src/base/errors.ts";
import { FRAME, FrameReader, FrameSplitter, FrameWriter, MAX_FRAME_BYTES } from "../../src/token/frames.ts";
import {
  type Failure,
  readFailure,
  readResults,
  readRun,
  travelling,
  writeFailure,
  writeResults,
  writeRun,
} from "../../src/token/run-codec.ts";
import type { StepResult } from "../../src/token/steps.ts";
import type { TokenStep } from "../../src/token/token.ts";

const bytes = fc.uint8Array({ maxLength: 300 });
const points = fc.array(bytes, { maxLength: 5 });
const u32 = fc.nat(0xffffffff);
const tag = { key: fc.string(), before: bytes, after: bytes };
const shareTag = fc.option(fc.record(tag), { nil: undefined });
const expectedTag = fc.option(fc.record({ ...tag, publicKey: bytes, value: bytes }), { nil: undefined });
const step: fc.Arbitrary<TokenStep> = fc.oneof(
  fc.record({ op: fc.constant("ecdh" as const), key: fc.string(), points }),
  fc.record({ op: fc.constant("hmac" as const), key: fc.string(), data: bytes }),
  fc.record({ op: fc.constant("sign" as const), key: fc.string(), digest: bytes }),
  fc.record({ op: fc.constant("create-share" as const), kek: fc.string(), points, tag: shareTag }),
  fc.record({
    op: fc.constant("evaluate-share" as const),
    kek: fc.string(),
    share: fc.record({ mechanism: u32, wrapped: bytes }),
    points,
    tag: expectedTag,
  }),
  fc.record({ op: fc.constant("random" as const), length: u32 }),
  fc.record({ op: fc.constant("sign-message" as const), key: fc.string(), message: bytes }),
  fc.record({ op: fc.constant("read-data" as const), label: fc.string() }),
  fc.record({ op: fc.constant("write-data" as const), label: fc.string(), value: bytes, expected: points }),
);
const result: fc.Arbitrary<StepResult> = fc.oneof(
  bytes,
  points,
  fc.record({ mechanism: u32, wrapped: bytes, publicKey: bytes, xs: points, tag: bytes }),
);
const run = fc.record({ id: u32, steps: fc.array(step, { maxLength: 6 }) });

/** The bodies of the frames in a stream that arrives in pieces of the given sizes. */
function receive<T>(stream: Buffer, sizes: readonly number[], read: (input: FrameReader) => T): T[] {
  const splitter = new FrameSplitter();
  // As in the worker: every piece arrives in the same memory.
  const memory = Buffer.alloc(stream.length);
  const out: T[] = [];
  let at = 0;
  for (let i = 0; at < stream.length; i++) {
    const end = Math.min(stream.length, at + (sizes[i % sizes.length] ?? stream.length));
    stream.copy(memory, 0, at, end);
    splitter.push(memory.subarray(0, end - at), (frame) => out.push(read(new FrameReader(frame))));
    at = end;
  }
  return out;
}
const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });

test("runs come through, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 5 }), sizes, (runs, cuts) => {
      const out = new FrameWriter();
      for (const { id, steps } of runs) writeRun(out, id, steps);
      expect(receive(out.take(), cuts, readRun)).toEqual(runs);
      expect(out.length).toBe(0);
    }),
  );
});

test("results come through with their times", () => {
  fc.assert(
    fc.property(u32, fc.array(fc.tuple(result, u32), { maxLength: 5 }), sizes, (id, pairs, cuts) => {
      const results = pairs.map(([value]) => value);
      const micros = pairs.map(([, time]) => time);
      const out = new FrameWriter();
      writeResults(out, id, results, micros);
      expect(receive(out.take(), cuts, readResults)).toEqual([{ id, results, micros }]);
    }),
  );
});

test("a truncated run is refused", () => {
  fc.assert(
    fc.property(run, (value) => {
      const out = new FrameWriter();
      writeRun(out, value.id, value.steps);
      const frame = out.take().subarray(4);
      for (let length = 1; length < frame.length; length++)
        expect(() => readRun(new FrameReader(frame.subarray(0, length)))).toThrow();
    }),
    { numRuns: 20 },
  );
});

test("failures keep code, message, hint, facts and verdict, and drop causes", () => {
  const error = new StrongroomError("pin-locked", "locked", {
    hint: "unlock it",
    details: { ckr: "CKR_PIN_LOCKED", left: 0, final: true },
    cause: new Error("something private"),
  });
  const failure: Failure = { error, verdict: "stop", op: "hmac", micros: 17 };
  const out = new FrameWriter();
  out.begin(FRAME.failed);
  writeFailure(out, failure);
  out.end();
  expect(out.peek().toString("latin1")).not.toContain("private");
  const [read] = receive(out.take(), [3], readFailure);
  expect(read).toMatchObject({ verdict: "stop", op: "hmac", micros: 17 });
  expect(read?.error).toMatchObject({ code: "pin-locked", message: "locked", hint: "unlock it" });
  expect(read?.error.details).toEqual(error.details);
  expect(travelling(new TypeError("bad argument"))).toMatchObject({
    code: "internal",
    message: "bad argument",
  });
  expect(travelling(error)).toBe(error);
});

test("impossible lengths and too large runs are refused; the writer can go on", () => {
  const length = Buffer.alloc(8);
  for (const value of [0, MAX_FRAME_BYTES + 1, 0xffffffff]) {
    length.writeUInt32BE(value);
    expect(() => new FrameSplitter().push(length, () => {})).toThrow(StrongroomError);
  }
  const out = new FrameWriter();
  const large: TokenStep = { op: "hmac", key: "record", data: new Uint8Array(MAX_FRAME_BYTES) };
  try {
    writeRun(out, 1, [large]);
    expect.unreachable();
  } catch (error) {
    expect(isStrongroomError(error, "internal")).toBe(true);
    out.abort();
  }
  writeRun(out, 2, []);
  expect(receive(out.take(), [1000], readRun)).toEqual([{ id: 2, steps: [] }]);
});

import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { openTranscript } from "../../src/ceremony/transcript.ts";
import { MAX_LINE_BYTES, readTranscript, type TranscriptEntry } from "../../src/ceremony/transcript-lines.ts";

const PLAN = "ab".repeat(32);
const START: TranscriptEntry = {
  kind: "start",
  mode: "rehearsal",
  fleet: "test-fleet",
  station: "site-a",
  tool: { release: "0.1.0", digest: "cd".repeat(32) },
};
const STEP = "007.site-a.import";
let dir: string;
let path: string;
let number = 0;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-transcript-"));
});
beforeEach(() => {
  path = join(dir, `${number++}.jsonl`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function write(...entries: readonly TranscriptEntry[]): Buffer {
  const transcript = openTranscript(path, PLAN, () => 1_700_000_000_000);
  for (const entry of entries) transcript.append(entry);
  transcript.close();
  return readFileSync(path);
}

/** What is wrong with the bytes: line and problem; undefined for nothing. */
function problemOf(bytes: Uint8Array, plan: string = PLAN): readonly unknown[] | undefined {
  try {
    readTranscript(bytes, plan);
    return undefined;
  } catch (error) {
    if (!isStrongroomError(error, "evidence-invalid")) throw error;
    return [error.details.line, error.details.problem];
  }
}

const ENTRIES: readonly TranscriptEntry[] = [
  START,
  { kind: "step", step: STEP },
  { kind: "file-in", step: "006.site-b.export", sha256: sha256HexOf("a") },
  {
    kind: "call",
    fn: "C_UnwrapKey",
    args: { unwrapping: "o1", wrapped: "<384 bytes>" },
    ckr: "CKR_OK",
    ms: 3,
  },
  { kind: "prompt", who: "officer one", asked: "which words?", answer: "tomato", right: true },
  { kind: "exception", expected: "a token", happened: "none", decided: "wait", by: "officer one" },
  { kind: "resumed", step: STEP, torn: 17 },
  { kind: "done", step: STEP },
  { kind: "file-out", step: STEP, sha256: sha256HexOf("b") },
  { kind: "stop" },
];

describe("what is written", () => {
  test("is this, byte for byte", () => {
    const golden = readFileSync(new URL("golden/transcript.jsonl", import.meta.url));
    expect(write(...ENTRIES).toString()).toBe(golden.toString());
    const { lines, head } = readTranscript(golden, PLAN);
    expect(lines).toMatchObject(ENTRIES.map((entry, n) => ({ n, time: 1_700_000_000_000, ...entry })));
    const last = golden.toString().trimEnd().split("\n").at(-1) ?? "";
    expect(head).toEqual({ lines: ENTRIES.length, head: sha256HexOf(last) });
  });

  test("goes on where it ended", () => {
    write(START, { kind: "step", step: STEP });
    const transcript = openTranscript(path, PLAN);
    expect(transcript.before.map(({ kind }) => kind)).toEqual(["start", "step"]);
    transcript.append({ kind: "done", step: STEP });
    const { head } = transcript;
    transcript.close();
    expect(readTranscript(readFileSync(path), PLAN).head).toEqual(head);
    expect(head.lines).toBe(3);
  });

  test("an empty one has the plan's hash as its head", () => {
    const transcript = openTranscript(path, PLAN);
    expect(transcript.head).toEqual({ lines: 0, head: PLAN });
    transcript.close();
  });

  test("no line that its readers would refuse", () => {
    const transcript = openTranscript(path, PLAN);
    transcript.append(START);
    const bad: unknown[] = [
      { kind: "file-in", step: STEP, sha256: "AB" },
      { kind: "nothing" },
      { ...START, more: 1 },
      { kind: "call", fn: "C_Sign", args: { a: "x".repeat(MAX_LINE_BYTES) }, ckr: "CKR_OK", ms: 1 },
    ];
    for (const entry of bad)
      expect(() => transcript.append(entry as TranscriptEntry)).toThrow(
        expect.objectContaining({ code: "internal" }),
      );
    transcript.close();
    expect(readTranscript(readFileSync(path), PLAN).lines).toHaveLength(1);
  });
});

describe("what was changed is found, with its line", () => {
  test.each<[string, (lines: string[]) => string[], readonly unknown[]]>([
    ["a dropped line", (lines) => lines.toSpliced(3, 1), [4, "number"]],
    ["the first dropped", (lines) => lines.slice(1), [1, "number"]],
    [
      "a swapped pair",
      (lines) => [...lines.slice(0, 5), lines[6], lines[5], ...lines.slice(7)] as string[],
      [6, "number"],
    ],
    ["a line twice", (lines) => lines.toSpliced(2, 0, lines[2] ?? ""), [4, "number"]],
    ["an answer changed", (lines) => lines.map((line) => line.replace("tomato", "potato")), [6, "chain"]],
    [
      "a time changed",
      (lines) => lines.map((line, n) => (n === 1 ? line.replace("000,", "001,") : line)),
      [3, "chain"],
    ],
    [
      "an unknown kind",
      (lines) => [...lines.slice(0, 9), (lines[9] ?? "").replace("stop", "halt")],
      [10, "unknown-kind"],
    ],
    [
      "a kind from the language",
      (lines) => [...lines.slice(0, 9), (lines[9] ?? "").replace("stop", "constructor")],
      [10, "unknown-kind"],
    ],
    [
      "a field more",
      (lines) => [...lines.slice(0, 9), (lines[9] ?? "").replace("}", ',"a":1}')],
      [10, "malformed"],
    ],
    ["white space", (lines) => [...lines.slice(0, 9), `${lines[9]} `], [10, "malformed"]],
    ["an empty line", (lines) => [...lines, ""], [11, "malformed"]],
  ])("%s", (_, change, expected) => {
    const lines = write(...ENTRIES)
      .toString()
      .trimEnd()
      .split("\n");
    expect(problemOf(utf8(`${change(lines).join("\n")}\n`))).toEqual(expected);
  });

  test("the transcript of another plan", () => {
    expect(problemOf(write(...ENTRIES), "00".repeat(32))).toEqual([1, "chain"]);
  });

  test("one that does not begin with a start", () => {
    expect(problemOf(write({ kind: "step", step: STEP }))).toEqual([1, "start"]);
  });

  test("any flipped bit but in the last line, and there by the head that somebody signed", () => {
    const bytes = write(START, { kind: "step", step: STEP }, { kind: "stop" });
    const { head } = readTranscript(bytes, PLAN);
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const isFound =
        problemOf(changed) !== undefined || readTranscript(changed, PLAN).head.head !== head.head;
      expect(isFound, `bit ${bit}`).toBe(true);
    }
  });

  test("any selection and order of lines but the first so many of them", () => {
    const lines = write(...ENTRIES)
      .toString()
      .trimEnd()
      .split("\n");
    const indices = fc.array(fc.nat({ max: lines.length - 1 }), { maxLength: 12 });
    fc.assert(
      fc.property(indices, (chosen) => {
        const bytes = utf8(chosen.map((index) => `${lines[index]}\n`).join(""));
        expect(problemOf(bytes) === undefined).toBe(chosen.every((index, n) => index === n));
      }),
    );
  });

  test("any cut within a line; whole lines that are missing at the end only the head can show", () => {
    const bytes = write(...ENTRIES);
    for (let length = 1; length < bytes.length; length += 5) {
      const whole = bytes[length - 1] === 0x0a;
      expect(problemOf(bytes.subarray(0, length))?.[1]).toBe(whole ? undefined : "torn");
    }
  });
});

describe("interruptions", () => {
  test("half a line is cut off with the next one, and whoever resumes is told", () => {
    const bytes = write(START, { kind: "step", step: STEP });
    for (const rest of ['{"n":2,"prev":"', "x".repeat(5000)]) {
      writeFileSync(path, Buffer.concat([bytes, Buffer.from(rest)]));
      const transcript = openTranscript(path, PLAN);
      expect(transcript.torn).toBe(rest.length);
      expect(transcript.head.lines).toBe(2);
      transcript.append({ kind: "resumed", step: STEP, torn: transcript.torn });
      transcript.close();
      expect(readTranscript(readFileSync(path), PLAN).lines.map(({ kind }) => kind)).toEqual([
        "start",
        "step",
        "resumed",
      ]);
    }
  });

  test("a changed line is not written after", () => {
    const bytes = write(...ENTRIES);
    writeFileSync(path, bytes.toString().replace("tomato", "potato"));
    expect(() => openTranscript(path, PLAN)).toThrow(
      expect.objectContaining({ code: "evidence-invalid", details: { line: 6, problem: "chain" } }),
    );
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  test("one hand writes; a lock that a dead process left is no obstacle", () => {
    const first = openTranscript(path, PLAN);
    expect(() => openTranscript(path, PLAN)).toThrow(expect.objectContaining({ code: "ceremony-stopped" }));
    first.close();
    // Its pid belongs to nobody any more, whoever gets it next.
    writeFileSync(`${path}.lock`, `${spawnSync("true").pid} 1 boot`);
    openTranscript(path, PLAN).close();
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  test("killed in the middle of writing: every line that was synced is there, and it goes on", () => {
    const module = new URL("../../src/ceremony/transcript.ts", import.meta.url).href;
    const child = `
      const { openTranscript } = await import(${JSON.stringify(module)});
      const transcript = openTranscript(${JSON.stringify(path)}, ${JSON.stringify(PLAN)});
      transcript.append(${JSON.stringify(START)});
      for (let i = 0; i < 20; i++) { transcript.append({ kind: "step", step: "s" }); transcript.sync(); }
      process.kill(process.pid, "SIGKILL");
    `;
    const { signal } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", child]);
    expect(signal).toBe("SIGKILL");
    expect(existsSync(`${path}.lock`)).toBe(true);
    appendFileSync(path, '{"n":21');
    const transcript = openTranscript(path, PLAN);
    expect([transcript.before.length, transcript.torn]).toEqual([21, 7]);
    transcript.close();
  });
});

describe("a full disk", () => {
  const small = (): string => {
    const mount = join(dir, "small");
    execFileSync("mkdir", ["-p", mount]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "strongroom-test", mount]);
    return mount;
  };

  test("is an error, nothing written is lost, and with room it goes on", () => {
    const mount = small();
    try {
      path = join(mount, "site-a.jsonl");
      const transcript = openTranscript(path, PLAN);
      transcript.append(START);
      const append = (): void => transcript.append({ kind: "step", step: "x".repeat(300) });
      let full: unknown;
      for (let i = 0; i < 100 && full === undefined; i++) {
        try {
          append();
        } catch (error) {
          full = error;
        }
      }
      expect(full).toMatchObject({ code: "file-failed" });
      const { head } = transcript;
      const bytes = readFileSync(path);
      const { lines } = readTranscript(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1), PLAN);
      expect(lines).toHaveLength(head.lines);
      execFileSync("mount", ["-o", "remount,size=64k", mount]);
      // Somebody passed over the error: the line that follows would hide that one is missing.
      expect(append).toThrow(expect.objectContaining({ code: "file-failed" }));
      transcript.close();
      const again = openTranscript(path, PLAN);
      expect(again.head).toEqual(head);
      again.append({ kind: "stop" });
      again.close();
      expect(readTranscript(readFileSync(path), PLAN).lines).toHaveLength(head.lines + 1);
    } finally {
      execFileSync("umount", ["-l", mount]);
    }
  });
});

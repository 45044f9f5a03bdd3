/**
 * A rehearsal makes the calls that its dry run lists, in their order: by its own transcripts, and by the logs of
 * opensc's pkcs11-spy, which stood between every station and its token.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeDeviation, sameCalls } from "../../src/ceremony/calls.ts";
import { type DryRunStep, dryRun } from "../../src/ceremony/dry-run.ts";
import type { PlanFile } from "../../src/ceremony/plan-file.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { rehearse } from "../../src/ceremony/rehearse.ts";
import { readTranscript, type TranscriptLine } from "../../src/ceremony/transcript-lines.ts";
import { NOT_RECORDED } from "../../src/token/call-record.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { spyEnv, spyModule } from "../support/spy.ts";

type Call = Extract<TranscriptLine, { kind: "call" }>;

let dir: string;
let plan: PlanFile;
let planned: readonly DryRunStep[];
const stations = ["root", "site-a", "site-b", "site-c"];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-run-calls-"));
  const hook = pathToFileURL(join(import.meta.dirname, "../support/spy-per-process.mjs")).href;
  const before = { ...process.env };
  Object.assign(process.env, spyEnv(join(dir, "spy")), { NODE_OPTIONS: `--import ${hook}` });
  try {
    const rehearsed = planOf({ sites: 3, spares: 0 });
    await rehearse({ plan: rehearsed, planDir: dir, dir: join(dir, "run"), module: spyModule() });
  } finally {
    process.env = before;
  }
  plan = readPlan(join(dir, "run", "plan.yaml"));
  planned = await dryRun(plan);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function transcriptOf(station: string): readonly TranscriptLine[] {
  return readTranscript(readFileSync(join(dir, "run", "transcripts", `${station}.jsonl`)), plan.sha256).lines;
}

/** The calls of each step. */
function recordedAt(station: string): ReadonlyMap<string, readonly Call[]> {
  const steps = new Map<string, Call[]>();
  let calls: Call[] = [];
  for (const line of transcriptOf(station)) {
    if (line.kind === "step") {
      calls = [];
      steps.set(line.step, calls);
    } else if (line.kind === "call") calls.push(line);
  }
  return steps;
}

test("by the transcripts, step by step, with the answers of a token that keeps to its profile", () => {
  for (const station of stations) {
    const steps = recordedAt(station);
    const own = planned.filter(({ step }) => step.station === station);
    expect([...steps.keys()]).toEqual(own.map(({ step }) => step.id));
    for (const { step, calls } of own) {
      const recorded = steps.get(step.id) ?? [];
      const deviation = sameCalls(calls, recorded);
      expect(deviation && `${step.id}: ${describeDeviation(deviation)}`).toBeUndefined();
      expect(recorded.map(({ ckr }) => ckr)).toEqual(calls.map(({ ckr }) => ckr));
    }
  }
});

test("by the spy, which saw these calls at every station and no others", () => {
  const silent: readonly string[] = [...NOT_RECORDED, "C_GetFunctionList", "C_GetInterface"];
  const spied = readdirSync(dir)
    .filter((name) => name.startsWith("spy"))
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .map((log) => [...log.matchAll(/^\d+: (C_\w+)$/gm)].map(([, fn = ""]) => fn))
    .map((fns) => fns.filter((fn) => !silent.includes(fn)).join("\n"))
    .filter((fns) => fns !== "");
  const recorded = stations.map((station) => {
    const calls = transcriptOf(station).filter((line) => line.kind === "call");
    return calls
      .flatMap(({ fn, ckr }) =>
        // The binding asks for an attribute twice, first for its length.
        fn === "C_GetAttributeValue" && ckr === "CKR_OK" ? [fn, fn] : [fn],
      )
      .join("\n");
  });
  // After its transcript has ended, a station signs that end.
  const sealing = ["C_OpenSession", "C_Login"].join("\n");
  expect(spied).toHaveLength(stations.length);
  for (const calls of recorded) {
    const log = spied.find((fns) => fns.startsWith(calls));
    expect(log).toBeDefined();
    const rest = (log ?? "").slice(calls.length + 1);
    expect(rest.startsWith(sealing)).toBe(true);
    expect(rest.match(/C_(Generate|Create|Destroy|Wrap|Unwrap|Derive|Copy|Set|Init)\w+/g)).toBeNull();
  }
});

/**
 * Stations that share nothing: each has a directory of its own, and statements go between them in a folder, as on a
 * stick. A station that lacks a file says which; a file that was changed on the way is refused.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import { CeremonyFolder } from "../../src/ceremony/ceremony-folder.ts";
import { verifyTaken } from "../../src/ceremony/chain.ts";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { runStep } from "../../src/ceremony/station-run.ts";
import { stepsOf } from "../../src/ceremony/steps.ts";
import { unattended } from "../../src/ceremony/unattended.ts";
import {
  type Answer,
  officerFile,
  softPlan,
  strongroom,
  temporary,
  writeOwnPlan,
  writePlan,
} from "../support/ceremony.ts";
import { planOf } from "../support/ceremony-plan.ts";

const { dir: home, remove } = temporary();
const whole = join(home, "whole");
afterAll(remove);
beforeAll(() => {
  const plan = writePlan(home, planOf({ sites: 1, spares: 1 }));
  const { status, stderr } = strongroom("ceremony", "rehearse", plan, "--dir", whole);
  if (status !== 0) throw new Error(stderr);
}, 120_000);

/** What a station has got: the plan, and the statements that were brought to it. */
function station(
  name: string,
  drop: readonly string[],
  change: (bytes: Buffer) => Buffer = (bytes) => bytes,
): string {
  const dir = join(home, name);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(join(dir, "steps"), { recursive: true });
  for (const file of readdirSync(join(whole, "steps")))
    if (!drop.some((end) => file.endsWith(`${end}.json`)))
      writeFileSync(join(dir, "steps", file), readFileSync(join(whole, "steps", file)));
  cpSync(join(whole, "plan.yaml"), join(dir, "plan.yaml"));
  const one = join(dir, "steps", readdirSync(join(dir, "steps"))[0] ?? "");
  writeFileSync(one, change(readFileSync(one)));
  return dir;
}

function check(dir: string, action: string): StrongroomError | undefined {
  const folder = new CeremonyFolder(dir);
  const { plan, sha256 } = readPlan(join(dir, "plan.yaml"));
  const step = stepsOf(plan).find(({ id }) => id.endsWith(action));
  if (!step) throw new Error(action);
  try {
    verifyTaken(step, { plan, planHash: sha256, files: (id) => folder.read(`steps/${id}.json`) });
  } catch (error) {
    if (isStrongroomError(error)) return error;
    throw error;
  }
  return undefined;
}

test("with every file that a step rests on it is accepted", () => {
  expect(check(station("all", []), "root.manifest")).toBeUndefined();
});

test("what is missing is named, with the station that has it", () => {
  const error = check(station("less", ["spare-a.import"]), "root.challenge");
  expect(error).toMatchObject({ code: "ceremony-stopped" });
  expect(error?.details.missing).toContain("spare-a.import");
  expect(error?.hint).toContain("spare-a");
});

test.each([0, 1, 2, 3, 4, 5, 6, 7])(
  "a file that was changed on the way is refused: bit %i of its middle",
  (bit) => {
    const dir = station("changed", [], (bytes) => {
      const at = Math.floor(bytes.length / 2);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      return bytes;
    });
    expect(check(dir, "root.manifest")).toMatchObject({ code: "evidence-invalid" });
  },
);

test("the statement of another step in its place is refused", () => {
  const dir = station("moved", []);
  const [first = "", second = ""] = readdirSync(join(dir, "steps"));
  cpSync(join(dir, "steps", second), join(dir, "steps", first));
  expect(check(dir, "root.manifest")).toMatchObject({ code: "evidence-invalid" });
});

test.each(["site-a.open", "site-a.initialise", "site-a.make-site-keys"])(
  "a station takes no statement of its own from elsewhere: %s",
  async (action) => {
    const dir = station("brought", []);
    cpSync(join(whole, "approvals"), join(dir, "approvals"), { recursive: true });
    mkdirSync(join(dir, "transcripts"));
    const { plan } = readPlan(join(dir, "plan.yaml"));
    const step = stepsOf(plan).find(({ id }) => id.endsWith(action))?.id ?? "";
    const order = { step, tool: plan.software };
    const taken = runStep(new CeremonyFolder(dir), order, unattended("nobody"));
    await expect(taken).rejects.toMatchObject({ code: "evidence-invalid" });
    expect(readFileSync(join(dir, "transcripts", "site-a.jsonl"), "utf8")).toBe("");
  },
);

test("two stations apart come to the same evidence as one", async () => {
  const pins = { root: ["officer-pin-r", "user-pin-r"], "site-a": ["officer-pin-a", "user-pin-a"] } as const;
  const plan = writeOwnPlan(home, softPlan(home, pins));
  const stick = join(home, "stick");
  const at = (name: string): string => join(home, `at-${name}`);
  for (const name of ["root", "site-a"])
    for (const [officer, n] of [
      ["Ada", 1],
      ["Bela", 2],
    ] as const) {
      const key = officerFile(home, n);
      strongroom("ceremony", "sign", at(name), "--officer", officer, "--key", key, "--plan", plan);
    }
  const visit = (name: string): Answer =>
    strongroom("provision", plan, "--dir", at(name), "--station", name, "--exchange", stick);
  const first = visit("root");
  expect(first.status).toBe(1);
  expect(first.stderr).toMatch(/hint: bring steps\/.*site-a/);
  const visits: string[] = [];
  for (const done = new Set<string>(); done.size < 2; ) {
    for (const name of ["site-a", "root"]) if (visit(name).status === 0) done.add(name);
    visits.push("both");
    if (visits.length > 8) throw new Error("the stations do not come to an end");
  }

  for (const name of ["transcripts", "steps"])
    cpSync(join(at("site-a"), name), join(at("root"), name), { recursive: true });
  expect(strongroom("evidence", "build", at("root")).status).toBe(0);
  for (const [officer, n] of [
    ["Ada", 1],
    ["Bela", 2],
  ] as const)
    strongroom("ceremony", "sign", at("root"), "--officer", officer, "--key", officerFile(home, n));
  expect(failedClaims(await verifyEvidence(at("root")))).toEqual([]);
}, 180_000);

/**
 * kill -9 at every step of a rehearsal, in the middle of its calls, right after what cannot be undone, and between a
 * statement and the last lines of its transcript; then the same command again. What was completed stays, nothing is
 * destroyed twice, and the evidence holds in the end.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { type ActionName, stepsOf } from "../../src/ceremony/steps.ts";
import { strongroom, strongroomWith, temporary, transcriptOf, writePlan } from "../support/ceremony.ts";
import { planOf } from "../support/ceremony-plan.ts";

/** Of the moments in the middle of a step; give it to repeat a run. */
const SEED = Number(process.env.STRONGROOM_TEST_SEED ?? Date.now() % 1_000_000);
const random = ((state) => () => {
  state = (state * 48_271) % 2_147_483_647;
  return state / 2_147_483_647;
})(SEED + 1);

/** Calls after which there is no way back. */
const AFTER: Partial<Record<ActionName, string>> = {
  initialise: "C_InitToken",
  "destroy-originals": "C_DestroyObject",
  "remove-transport": "C_DestroyObject",
  "seal-credentials": "C_SetPIN",
};

const { dir: home, remove } = temporary();
const dir = join(home, "rehearsal");
afterAll(() => {
  process.stderr.write(`ceremony, kill -9: seed ${SEED}\n`);
  remove();
});

/** SoftHSM rewrites its token's own file at each login, and a process that is killed just then leaves it empty. */
function keepTokens(): () => void {
  const kept = new Map<string, Buffer>();
  const tokens = join(dir, "tokens");
  for (const station of existsSync(tokens) ? readdirSync(tokens) : [])
    for (const name of readdirSync(join(tokens, station, "objects"))) {
      const file = join(tokens, station, "objects", name, "token.object");
      if (existsSync(file)) kept.set(file, readFileSync(file));
    }
  return () => {
    for (const [file, bytes] of kept) if (statSync(file).size === 0) writeFileSync(file, bytes);
  };
}

test("a rehearsal that is killed at every step comes to its end, and repeats nothing", async () => {
  const plan = planOf({ sites: 1, spares: 1 });
  const command = ["ceremony", "rehearse", writePlan(home, plan), "--dir", dir];
  const stations = ["root", "site-a", "spare-a"];
  const preload = pathToFileURL(join(process.cwd(), "test/support/station-kill.mjs")).href;
  const actions = [...new Set(stepsOf(plan).map(({ action }) => action))];
  for (const action of actions) {
    const written = stations.filter(() => random() < 0.4);
    const after = random() < 0.7 ? AFTER[action] : undefined;
    const moment = { action, written, call: 1 + Math.floor(random() * 120), after };
    const restore = keepTokens();
    const { status, stderr } = strongroomWith(
      { NODE_OPTIONS: `--import=${preload}`, STRONGROOM_TEST_KILL: JSON.stringify(moment) },
      ...command,
    );
    restore();
    expect(status, `${JSON.stringify(moment)}, seed ${SEED}\n${stderr}`).toBe(1);
    expect(stderr, JSON.stringify(moment)).toContain("the process with the token ended (SIGKILL)");
  }
  const last = strongroom(...command);
  expect(last.status, `seed ${SEED}\n${last.stderr}`).toBe(0);
  expect(failedClaims(await verifyEvidence(dir))).toEqual([]);

  const { sha256: planHash } = readPlan(join(dir, "plan.yaml"));
  for (const station of stations) {
    const lines = transcriptOf(dir, station, planHash);
    const done = lines.flatMap((line) => (line.kind === "done" ? [line.step] : []));
    expect(new Set(done).size, station).toBe(done.length);
    for (const fn of ["C_InitToken", "C_SetPIN"]) {
      const made = lines.filter((line) => line.kind === "call" && line.fn === fn && line.ckr === "CKR_OK");
      expect(made.length, `${fn} at ${station}, seed ${SEED}`).toBeLessThanOrEqual(1);
    }
    expect(lines.some(({ kind }) => kind === "resumed")).toBe(true);
  }
  // Once more: all is there, and nothing is done.
  const before = stations.map((station) => transcriptOf(dir, station, planHash).length);
  expect(strongroom(...command).status).toBe(0);
  expect(stations.map((station) => transcriptOf(dir, station, planHash).length)).toEqual(before);
}, 300_000);

/**
 * kill -9 at every step of a rehearsal, in the middle of its calls, right after what cannot be undone, and between a
 * statement and the last lines of its transcript; then the same command again. What was completed stays, nothing is
 * destroyed twice, and the evidence holds in the end.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { failedClaims, verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { rehearse } from "../../src/ceremony/rehearse.ts";
import { type ActionName, stepsOf } from "../../src/ceremony/steps.ts";
import { temporary, transcriptOf } from "../support/ceremony.ts";
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

const { dir, remove } = temporary();
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
  const options = { plan, planDir: dir, dir };
  const stations = ["root", "site-a", "spare-a"];
  process.env.NODE_OPTIONS = `--import=${pathToFileURL(join(process.cwd(), "test/support/station-kill.mjs")).href}`;
  const actions = [...new Set(stepsOf(plan).map(({ action }) => action))];
  for (const action of actions) {
    const written = stations.filter(() => random() < 0.4);
    const after = random() < 0.7 ? AFTER[action] : undefined;
    process.env.STRONGROOM_TEST_KILL = JSON.stringify({
      action,
      written,
      call: 1 + Math.floor(random() * 120),
      ...(after === undefined ? {} : { after }),
    });
    const restore = keepTokens();
    await expect(rehearse(options), `${action}, seed ${SEED}`).rejects.toMatchObject({
      code: "token-failed",
    });
    restore();
  }
  delete process.env.NODE_OPTIONS;
  delete process.env.STRONGROOM_TEST_KILL;
  const { planHash } = await rehearse(options);
  expect(failedClaims(await verifyEvidence(dir))).toEqual([]);

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
  await rehearse(options);
  expect(stations.map((station) => transcriptOf(dir, station, planHash).length)).toEqual(before);
}, 300_000);

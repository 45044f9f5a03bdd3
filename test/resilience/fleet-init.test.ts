/**
 * `fleet init` killed at each of its steps, in the middle of what a token does and right after it: the next
 * run completes the fleet, or refuses with a hint and publishes nothing. Never a fleet with unequal keys.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { isStrongroomError } from "../../src/base/errors.ts";
import { initFleet, type SiteSteward } from "../../src/keys/fleet-init.ts";
import { initFleetTokens } from "../../src/keys/fleet-tokens.ts";
import { SiteProcess } from "../../src/keys/site-process.ts";
import type { StepName } from "../../src/keys/site-steps.ts";
import { STRONGROOM } from "../support/cli.ts";
import { blankFleetTokens } from "../support/fleet-tokens.ts";
import { shapeOf } from "../support/site-steps.ts";
import type { SoftHsm } from "../support/softhsm.ts";

/** Of the moments in the middle of a step; give it to repeat a run. */
const SEED = Number(process.env.STRONGROOM_TEST_SEED ?? Date.now() % 1_000_000);
const random = ((state) => () => {
  state = (state * 48_271) % 2_147_483_647;
  return state / 2_147_483_647;
})(SEED + 1);

/** Every step of a distribution, in its order: a run is killed in each, on the same tokens. */
const STEPS: readonly StepName[] = [
  "survey",
  "make-site-keys",
  "make-originals",
  "make-transport",
  "trust",
  "export",
  "import",
  "prove",
  "destroy-originals",
  "remove-transport",
  "remove-trusted",
  "try-refusals",
  "public-keys",
];
/** They change nothing, so that being killed right after one of them is being killed before the next. */
const LOOKING: readonly StepName[] = ["survey", "export", "prove", "try-refusals", "public-keys"];
type Moment = "during" | "after";
type Blank = Awaited<ReturnType<typeof blankFleetTokens>>;

const told: string[] = [];
afterAll(() => {
  process.stderr.write(`fleet init, kill -9: ${told.join("; ")}, seed ${SEED}\n`);
});

/**
 * SoftHSM truncates and rewrites its token's own file at each login, and a process that is killed just then leaves
 * it empty: the token is gone. That is the device's loss, not the distribution's, and no other device does so.
 */
function keepToken({ dir }: SoftHsm): () => void {
  const tokens = join(dir, "tokens");
  const file = join(tokens, readdirSync(tokens)[0] ?? "", "token.object");
  const kept = readFileSync(file);
  return () => {
    if (statSync(file).size === 0) writeFileSync(file, kept);
  };
}

/** Runs until `step`, and kills every process there; `site` is the one that is hit in its step. */
async function killedIn(blank: Blank, step: StepName, site: number, moment: Moment): Promise<void> {
  const shape = shapeOf(blank.config);
  const restore = blank.tokens.map(keepToken);
  const processes = blank.config.sites.map(
    ({ token }, i) => new SiteProcess({ token, shape, site: i }, token.env),
  );
  const killAll = (): void => {
    for (const { pid } of processes) if (pid !== undefined) process.kill(pid, "SIGKILL");
  };
  let timer: NodeJS.Timeout | undefined;
  const stewards = processes.map(
    (real, i): SiteSteward => ({
      async take(name, input) {
        if (name !== step || i !== site) return real.take(name, input);
        const taken = real.take(name, input);
        if (moment === "during") timer = setTimeout(killAll, Math.round(random() * 150));
        const output = await taken;
        clearTimeout(timer);
        killAll();
        return output;
      },
    }),
  );
  // Where the step is not needed any more, the run ends by itself.
  await initFleet(shape, stewards).catch((error: unknown) => {
    if (!isStrongroomError(error)) throw error;
  });
  clearTimeout(timer);
  await Promise.all(processes.map((one) => one.close()));
  for (const one of restore) one();
}

describe.each<Moment>(["during", "after"])("killed %s a step", (moment) => {
  test("whichever step it is, the next run goes on; in the end all is sealed and equal", {
    timeout: 600_000,
  }, async () => {
    const blank = await blankFleetTokens({ sites: 3, threshold: 2 });
    try {
      for (const [i, step] of STEPS.entries()) {
        if (moment === "after" && LOOKING.includes(step)) continue;
        await killedIn(blank, step, i % 2, moment);
        expect(existsSync(blank.config.manifest)).toBe(false);
      }
      const result = await initFleetTokens(blank.config).catch((error: unknown) => error);
      if (isStrongroomError(result)) {
        // In the middle of a call a token may lose half a pair; nothing was published then.
        told.push(`${moment}: refused (${result.code}: ${result.message})`);
        expect(moment).toBe("during");
        expect(["key-drift", "key-missing"]).toContain(result.code);
        expect(result.hint).toContain("--force-erase");
        expect(existsSync(blank.config.manifest)).toBe(false);
        return;
      }
      told.push(`${moment}: completed`);
      expect(result).toMatchObject({ published: { file: { state: "created" } } });
      expect((await initFleetTokens(blank.config)).state).toBe("unchanged");
    } finally {
      blank.remove();
    }
  });
});

test("the command itself killed while tokens are at work: run again at once, it completes", {
  timeout: 600_000,
}, async () => {
  const blank = await blankFleetTokens({ sites: 3, threshold: 2 });
  const file = join(blank.dir, "fleet.yaml");
  writeFileSync(file, stringify(blank.config));
  const start = (): ChildProcess =>
    spawn(process.execPath, [...STRONGROOM, "fleet", "init", "--config", file, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
  try {
    for (const line of ["making a transport key", "unwrapping fleet keys", "destroying the originals"]) {
      const child = start();
      const exit = once(child, "exit");
      if (!child.stderr) throw new Error("no stderr");
      for await (const said of createInterface({ input: child.stderr }))
        if (said.includes(line)) {
          child.kill("SIGKILL");
          break;
        }
      expect((await exit)[1]).toBe("SIGKILL");
      expect(existsSync(blank.config.manifest)).toBe(false);
      // What its children have begun they finish, and end then: they have lost their parent.
      await sleep(3_000);
    }
    const last = start();
    let out = "";
    last.stdout?.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    const [status] = await once(last, "close");
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ state: "made", manifest: { state: "created" } });
  } finally {
    blank.remove();
  }
});

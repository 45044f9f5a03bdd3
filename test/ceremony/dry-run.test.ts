/** What a dry run lists, that it lists it without any token, and that a run's calls are held to it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import {
  describeCall,
  describeDeviation,
  type PlannedCall,
  sameCalls,
  withoutWrongPins,
} from "../../src/ceremony/calls.ts";
import { type DryRunStep, dryRun } from "../../src/ceremony/dry-run.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { decodePlan, type PlanFile } from "../../src/ceremony/plan-file.ts";
import { readPlan, readPlansBefore } from "../../src/ceremony/read-plan.ts";
import { stepsOf } from "../../src/ceremony/steps.ts";
import { planOf, replacement, retirement } from "../support/ceremony-plan.ts";
import { STRONGROOM } from "../support/cli.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-dry-run-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** SoftHSM's profile is the one that tests can compare with the device. */
function fileOf(plan: CeremonyPlan): PlanFile {
  const bytes = utf8(stringify({ ...plan, mode: "rehearsal" }).replaceAll("luna7", "softhsm2"));
  const sha256 = sha256HexOf(bytes);
  return { plan: decodePlan(bytes, "plan.yaml"), bytes, sha256 };
}

/** They are many, and say little beside the others. */
const ASKING = ["C_GetAttributeValue", "C_FindObjectsInit", "C_OpenSession", "C_CloseSession", "C_Sign"];

/** Every step with the number of its calls and a hash over all of them, and the calls that change something. */
function compact(steps: readonly DryRunStep[]): string {
  return steps
    .flatMap(({ step, calls }) => {
      const lines = calls.map((call) => `${describeCall(call)} -> ${call.ckr}`);
      const hash = sha256HexOf(lines.join("\n")).slice(0, 16);
      return [
        `${step.id}: ${calls.length} calls, ${hash}`,
        ...lines.filter((_, at) => !ASKING.includes(calls[at]?.fn ?? "")).map((line) => `  ${line}`),
      ];
    })
    .map((line) => `${line}\n`)
    .join("");
}

describe("what is listed", () => {
  let steps: readonly DryRunStep[];
  beforeAll(async () => {
    steps = await dryRun(fileOf(planOf({ sites: 3, spares: 0 })));
  });

  test("is this, for three sites", () => {
    const golden = readFileSync(new URL("golden/dry-run-three-sites.txt", import.meta.url), "utf8");
    expect(compact(steps)).toBe(golden);
  });

  test("is every step of the plan, in order, each with its login", () => {
    const plan = planOf({ sites: 3, spares: 0 });
    expect(steps.map(({ step }) => step)).toEqual(stepsOf(plan));
    const logins = (action: string): unknown =>
      steps
        .find(({ step }) => step.action === action)
        ?.calls.filter(({ fn }) => fn === "C_Login")
        .map(({ args }) => args.user);
    // The user's login at the end of a step is for the signature of its statement.
    expect(logins("trust")).toEqual(["so", "user"]);
    expect(logins("import")).toEqual(["user", "user"]);
  });

  test("names no key's value, no PIN and no handle", () => {
    const text = JSON.stringify(steps);
    expect(text).not.toContain("paper-user");
    expect(text).not.toContain("paper-so");
    expect(Math.max(...(text.match(/[0-9a-f]{20,}/g) ?? []).map(({ length }) => length))).toBe(32);
  });

  test("is the same again, and other for another plan", async () => {
    const again = await dryRun(fileOf(planOf({ sites: 3, spares: 0 })));
    expect(compact(again)).toBe(compact(steps));
    const other = await dryRun(fileOf(planOf({ sites: 1, threshold: 1, spares: 0 }, { fleet: "other" })));
    expect(compact(other)).toContain("strongroom/other/ake");
    expect(compact(other)).not.toContain("strongroom/demo/");
  });

  test.each([
    ["a fleet of one", planOf({ sites: 1, threshold: 1, spares: 0 })],
    ["PINs that are destroyed", planOf({ sites: 1, threshold: 1 }, { credentials: { soPin: "destroy" } })],
  ])("for %s, to its end", async (_, plan) => {
    const all = await dryRun(fileOf(plan));
    expect(all.map(({ step }) => step)).toEqual(stepsOf(plan));
  });
});

describe("changes of a fleet are taken on tokens that hold it", () => {
  const write = (name: string, plan: CeremonyPlan): string => {
    mkdirSync(join(dir, name), { recursive: true });
    const path = join(dir, name, "plan.yaml");
    writeFileSync(path, fileOf(plan).bytes);
    return path;
  };

  test("a spare takes a site's place, and then another site leaves", async () => {
    const shape = { sites: 3, spares: 1 };
    write("created", planOf(shape));
    const replaced = write("replaced", replacement(shape));
    const plan = readPlan(replaced);
    const calls = await dryRun(plan, readPlansBefore(replaced, plan.plan));
    expect(calls.map(({ step }) => step)).toEqual(stepsOf(plan.plan));
    const changing = ["C_GenerateKey", "C_GenerateKeyPair", "C_UnwrapKey", "C_InitToken", "C_SetPIN"];
    // What is made for a proof is gone with its session.
    const lasting = calls
      .flatMap((step) => step.calls)
      .filter(({ fn, args }) => changing.includes(fn) && JSON.stringify(args).includes('"TOKEN":true'));
    expect(lasting).toEqual([]);

    const predecessor = { manifest: "cd".repeat(32), evidence: "../replaced" };
    const retired = write("retired", retirement(shape, { predecessor }));
    const leaving = readPlan(retired);
    const before = readPlansBefore(retired, leaving.plan);
    expect(before.map((file) => file.plan.kind)).toEqual(["create", "replace"]);
    const last = await dryRun(leaving, before);
    const destroyed = last
      .filter(({ step }) => step.action === "destroy-keys")
      .flatMap((step) => step.calls.filter(({ fn }) => fn === "C_DestroyObject"))
      .map(({ args }) => args.object);
    expect(destroyed).toContain("strongroom/demo/ake");
    expect(destroyed).not.toContain("strongroom/demo/identity");
  });

  test("without the plan before there is nothing to take them on", async () => {
    const path = write(
      "orphan",
      replacement(
        { sites: 3, spares: 1 },
        {
          predecessor: { manifest: "cd".repeat(32), evidence: "../nowhere" },
        },
      ),
    );
    expect(() => readPlansBefore(path, readPlan(path).plan)).toThrow(
      expect.objectContaining({ code: "plan-invalid" }),
    );
    write(
      "circle",
      replacement(
        { sites: 3, spares: 1 },
        {
          predecessor: { manifest: "cd".repeat(32), evidence: "../circle" },
        },
      ),
    );
    const circle = join(dir, "circle", "plan.yaml");
    expect(() => readPlansBefore(circle, readPlan(circle).plan)).toThrow(
      expect.objectContaining({ code: "plan-invalid" }),
    );
  });
});

describe("at the terminal", () => {
  let path: string;
  const plan = planOf({ sites: 1, threshold: 1, spares: 0 });
  beforeAll(() => {
    path = join(dir, "absent.yaml");
    writeFileSync(path, stringify(plan).replaceAll("/usr/lib/libCryptoki2.so", "/nowhere/libCryptoki2.so"));
  });
  /** Says on stderr what native code is loaded. */
  const HOOK = `data:text/javascript,${encodeURIComponent(`
    const dlopen = process.dlopen;
    process.dlopen = (module, file, ...rest) => {
      console.error("dlopen " + file);
      return dlopen(module, file, ...rest);
    };
  `)}`;
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, ["--import", HOOK, ...STRONGROOM, ...args], { encoding: "utf8" });

  test("no native code is loaded, and the library that the plan names is not looked for", () => {
    const { status, stdout, stderr } = run("ceremony", "dry-run", path, "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const said = JSON.parse(stdout);
    expect(said.steps.map(({ id }: { id: string }) => id)).toEqual(stepsOf(plan).map(({ id }) => id));
    expect(said.plan).toBe(readPlan(path).sha256);
    // With a token it would be: the hook sees the binding.
    expect(run("token", "list", "--uri", "pkcs11:?module-path=/bin/true").stderr).toMatch(
      /^dlopen .*pkcs11/m,
    );
  });

  test("one station's calls for people, and stations that are none", () => {
    const { status, stdout, stderr } = run("ceremony", "dry-run", path, "--station", "root");
    expect(status).toBe(0);
    expect(stdout).toContain("C_GenerateKeyPair mechanism=CKM_EC_KEY_PAIR_GEN");
    expect(stdout).not.toContain("site-a.make-site-keys");
    expect(stderr).toContain("no PKCS#11 library was loaded");
    const wrong = run("ceremony", "dry-run", path, "--station", "site-z");
    expect([wrong.status, wrong.stdout]).toEqual([2, ""]);
    expect(wrong.stderr).toContain("hint: its stations: root, site-a");
  });
});

describe("a run is held to it", () => {
  const call = (fn: string, args: PlannedCall["args"] = {}, ckr = "CKR_OK") => ({ fn, args, ckr });
  const planned = [
    call("C_OpenSession", { readWrite: true }),
    call("C_Login", { user: "so" }),
    call("C_Logout"),
  ];

  test("the same calls, with whatever return codes and durations", () => {
    const recorded = planned.map((one) => ({ ...one, ckr: "CKR_DEVICE_ERROR", ms: 7 }));
    expect(sameCalls(planned, recorded)).toBeUndefined();
  });

  test.each<[string, readonly ReturnType<typeof call>[], number]>([
    ["one that is missing", planned.toSpliced(1, 1), 1],
    ["one too many at the end", [...planned, call("C_Logout")], 3],
    ["one too many between", planned.toSpliced(1, 0, call("C_Logout")), 1],
    ["the last missing", planned.slice(0, -1), 2],
    ["another argument", planned.with(0, call("C_OpenSession", { readWrite: false })), 0],
    ["an argument more", planned.with(2, call("C_Logout", { more: 1 })), 2],
    ["none at all", [], 0],
  ])("%s is named", (_, recorded, at) => {
    const deviation = sameCalls(planned, recorded);
    expect(deviation?.at).toBe(at);
    if (deviation) expect(describeDeviation(deviation)).toMatch(new RegExp(`^call ${at + 1}: planned was `));
  });

  test("a wrong PIN is a person's matter: the try is not held against the plan, and nothing else is forgiven", () => {
    const wrong = call("C_Login", { user: "so" }, "CKR_PIN_INCORRECT");
    const [open, login, logout] = planned;
    if (!open || !login || !logout) throw new Error("no calls");
    expect(sameCalls(planned, [open, wrong, open, wrong, open, login, logout])).toBeUndefined();
    expect(sameCalls(planned, [open, wrong, call("C_CloseSession"), open, login, logout])).toBeUndefined();
    expect(sameCalls(planned, [open, wrong, call("C_DestroyObject"), open, login, logout])?.at).toBe(0);
    expect(
      sameCalls(planned, [open, call("C_Login", { user: "so" }, "CKR_PIN_LOCKED"), open, login, logout])?.at,
    ).toBe(2);
    expect(withoutWrongPins([call("C_InitToken", { label: "a" }, "CKR_PIN_INCORRECT"), logout])).toEqual([
      { fn: "C_Logout", args: {} },
    ]);
  });
});

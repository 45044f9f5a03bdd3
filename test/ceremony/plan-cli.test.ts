/** `strongroom ceremony plan` and `print` as somebody types them. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { printScript } from "../../src/ceremony/script.ts";
import { softwareDigest } from "../../src/ceremony/software.ts";
import { STRONGROOM } from "../support/cli.ts";

const PLAN = "hsm-config/ceremonies/three-sites.yaml";
const folder = mkdtempSync(join(tmpdir(), "strongroom-plan-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ceremony = (...args: readonly string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [...STRONGROOM, "ceremony", ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });

test("plan shows hash, words, holders and times, and warns on standard error", () => {
  const { status, stdout, stderr } = ceremony("plan", PLAN);
  expect(status).toBe(0);
  const { sha256 } = readPlan(PLAN);
  expect(stdout.replaceAll(" ", "")).toContain(sha256);
  expect(stdout).toMatch(/share 0 +site-b +site-b site-c spare-b spare-c +site-a/);
  expect(stdout).toMatch(/008 +root +Initialise .*cannot be undone/);
  expect(stdout).toMatch(/one team: \d+ h/);
  expect(stderr).toMatch(/warning: After sealing/);
});

test("plan --json has the digest that anybody calculates from the build's files", () => {
  const { stdout } = ceremony("plan", PLAN, "--json");
  const { sha256, software, steps } = JSON.parse(stdout);
  expect(sha256).toBe(readPlan(PLAN).sha256);
  expect(steps).toHaveLength(79);
  const script = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum";
  const digest = execFileSync("sh", ["-c", script], { cwd: "dist", encoding: "utf8" }).slice(0, 64);
  expect(software.digest).toBe(digest);
  expect(softwareDigest("dist")).toBe(digest);
});

test("a plan that cannot work ends with 2 and says why", () => {
  const file = join(folder, "plan.yaml");
  writeFileSync(file, readFileSync(PLAN, "utf8").replace("threshold: 2", "threshold: 3"));
  for (const args of [
    ["plan", file],
    ["print", file, "--out", join(folder, "none.html")],
  ]) {
    const { status, stdout, stderr } = ceremony(...args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/threshold: 3 sites can have 1 to 2, not 3\nhint: /);
  }
});

test("print writes the script, and does not replace one that may have been annotated", () => {
  const out = join(folder, "script.html");
  expect(ceremony("print", PLAN, "--out", out).status).toBe(0);
  expect(readFileSync(out, "utf8")).toBe(printScript(readPlan(PLAN)));
  writeFileSync(out, "annotated");
  const again = ceremony("print", PLAN, "--out", out);
  expect(again.status).toBe(1);
  expect(again.stderr).toMatch(/hint: .*--force/);
  expect(readFileSync(out, "utf8")).toBe("annotated");
  expect(ceremony("print", PLAN, "--out", out, "--force").status).toBe(0);
  expect(readFileSync(out, "utf8")).not.toBe("annotated");
});

test("a station that takes no step is wrong usage, not a script or a status of nothing", () => {
  const dir = join(folder, "ceremony");
  mkdirSync(dir);
  writeFileSync(join(dir, "plan.yaml"), readFileSync(PLAN));
  for (const args of [
    ["status", dir],
    ["dry-run", PLAN],
    ["print", PLAN, "--out", join(folder, "nowhere.html")],
  ]) {
    const { status, stdout, stderr } = ceremony(...args, "--station", "nowhere");
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("hint: its stations: root, site-a,");
  }
});

test("a plan is put nowhere by a command that refuses it", () => {
  const dir = join(folder, "refused");
  const key = join(folder, "no-key.pem");
  expect(ceremony("sign", dir, "--plan", PLAN, "--officer", "Nobody", "--key", key).status).toBe(2);
  const provision = spawnSync(process.execPath, [...STRONGROOM, "provision", PLAN, "--dir", dir]);
  expect(provision.status).toBe(2);
  expect(existsSync(dir)).toBe(false);
});

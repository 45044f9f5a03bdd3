/** The built program at the edge: wrong usage, help, and an output that takes no more. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { STRONGROOM } from "../support/cli.ts";

const DRY_RUN = [...STRONGROOM, "ceremony", "dry-run", "hsm-config/ceremonies/three-sites.yaml"];

function strongroom(...args: readonly string[]) {
  return spawnSync(process.execPath, [...STRONGROOM, ...args], { encoding: "utf8" });
}

test.each([
  [["frobnicate"], "strongroom --help"],
  [["--frobnicate"], "strongroom --help"],
  [["token", "frobnicate"], "strongroom token --help"],
  [["serve"], "strongroom serve --help"],
  [["serve", "--config"], "strongroom serve --help"],
  [["serve", "--config", "x", "--frobnicate"], "strongroom serve --help"],
  [["client", "recover", "extra"], "strongroom client recover --help"],
  [["token", "init", "--pin-length", "many"], "strongroom token init --help"],
  [["witness", "init", "--data", "x", "--name", "a b"], "strongroom witness init --help"],
] as const)("wrong usage is exit code 2, and names the help: %j", (args, help) => {
  const { status, stdout, stderr } = strongroom(...args);
  expect(status).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^strongroom: .*\n(\(Did you mean .*\)\n)?hint: .*\n$/);
  expect(stderr).toContain(`hint: ${help}\n`);
});

test("a group without a command shows its help and is wrong usage", () => {
  expect(strongroom("token")).toMatchObject({ status: 2, stdout: "" });
});

test("help is done, of commands within commands too, and so is the version", () => {
  for (const args of [
    ["help", "token", "init"],
    ["token", "help", "init"],
    ["token", "init", "--help"],
  ]) {
    const { status, stdout } = strongroom(...args);
    expect(status).toBe(0);
    expect(stdout).toContain("Usage: strongroom token init");
  }
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  expect(strongroom("--version")).toMatchObject({ status: 0, stdout: `${version}\n` });
});

test("help says what is required, and defaults as they are written", () => {
  const { stdout } = strongroom("auditor", "init", "--help");
  expect(stdout).toMatch(/--data <dir> .*directory \(required\)/);
  expect(stdout).toContain("(default: 127.0.0.1:8460)");
  expect(stdout).not.toMatch(/default: [[{]/);
});

test.each([
  ["bundle", "pins"],
  ["fleet", "status", "--config", "none.yaml", "--url", "nonsense"],
])("wrong usage that the options alone show is exit code 2 with a hint: %s %s", (...args) => {
  const { status, stdout, stderr } = strongroom(...args);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^strongroom: .*\nhint: .*\n$/);
});

test("a file that is not what was meant is named, in few lines", () => {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-cli-"));
  try {
    const [binary, empty] = [join(dir, "binary"), join(dir, "empty")];
    writeFileSync(
      binary,
      Uint8Array.from({ length: 65_536 }, (_, i) => (i * i * 7) % 256),
    );
    writeFileSync(empty, "");
    for (const args of [
      ["serve", "--check", "--config"],
      ["ceremony", "plan"],
      ["bundle", "pins"],
      ["bundle", "countersign", "--announcement"],
    ])
      for (const file of [binary, empty]) {
        const { status, stderr } = strongroom(...args, file);
        expect(status).toBeGreaterThan(0);
        expect(stderr).toMatch(/^strongroom: .*\n(?: {2}because: .*\n)?hint: .*\n$/);
        expect(stderr).toContain(file);
      }
    // A file of another kind.
    const { stderr } = strongroom("ceremony", "plan", "hsm-config/sites/example-site.yaml");
    expect(stderr).toMatch(/^strongroom: .*strongroom\/ceremony-plan\/v1\nhint: .*\n$/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a reader that has seen enough ends a command quietly", async () => {
  const child = spawn(process.execPath, DRY_RUN, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  child.stdout.once("data", () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(said).not.toContain("EPIPE");
  expect(code).toBe(0);
});

test.runIf(existsSync("/dev/full"))("a result that could not be written is exit code 1, in one line", () => {
  const full = openSync("/dev/full", "w");
  try {
    const { status, stderr } = spawnSync(process.execPath, DRY_RUN, {
      encoding: "utf8",
      stdio: ["ignore", full, "pipe"],
    });
    expect(status).toBe(1);
    expect(stderr).toContain(
      "strongroom: cannot write the result to standard output: no space left on device\n",
    );
    expect(stderr).not.toContain("    at ");
  } finally {
    closeSync(full);
  }
});

/** What commands write for people, and how they end. */
import { spawnSync } from "node:child_process";
import { afterEach, expect, test, vi } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { printError } from "../../src/cli/terminal.ts";
import { STRONGROOM } from "../support/cli.ts";

afterEach(() => vi.restoreAllMocks());

test("an error that quotes a stranger does not write over the terminal, and keeps its lines", () => {
  let written = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written += text;
    return true;
  });
  const cause = new StrongroomError("decode-failed", "fleet \u009b2Jx");
  printError(
    new StrongroomError("unavailable", "two lines:\n\u001b[2J\u202eevil", { cause, hint: "ask\u0007 again" }),
  );
  expect(written).toBe(
    "strongroom: two lines:\n\ufffd[2J\ufffdevil\n  because: fleet \ufffd2Jx\nhint: ask\ufffd again\n",
  );
});

test.each([
  ["help that is asked for", ["bundle", "key", "--help"], 0, /^$/],
  ["an option that there is not", ["token", "list", "--no-such"], 2, /^error: unknown option '--no-such'/],
  [
    "an option's value",
    ["token", "init", "--pin-length", "3"],
    2,
    /^error: .* a whole number from 4 to 64\n/,
  ],
  ["no command", ["bundle"], 2, /^Usage: /],
] as const)("%s: the exit code", (_, args, status, stderr) => {
  const ended = spawnSync(process.execPath, [...STRONGROOM, ...args], { encoding: "utf8" });
  expect(ended).toMatchObject({ status, stderr: expect.stringMatching(stderr) });
});

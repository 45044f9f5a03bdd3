/** What commands write for people. */
import { afterEach, expect, test, vi } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { fileFailed } from "../../src/cli/client-run.ts";
import { printError } from "../../src/cli/terminal.ts";

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

test("the system's own words are said once, and nothing of what others threw", () => {
  let written = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written += text;
    return true;
  });
  const missing = Object.assign(new Error("ENOENT: no such file or directory, open 'x'"), { code: "ENOENT" });
  printError(new StrongroomError("file-failed", "x cannot be read", { cause: missing }));
  printError(
    new StrongroomError("file-failed", "x cannot be read: no such file or directory", { cause: missing }),
  );
  const directory = Object.assign(new Error("EISDIR: illegal operation on a directory, read"), {
    code: "EISDIR",
  });
  printError(fileFailed("cannot read x", directory));
  printError(
    new StrongroomError("file-failed", "x is no JSON", { cause: new SyntaxError("Unexpected token s3cret") }),
  );
  expect(written).toBe(
    [
      "strongroom: x cannot be read\n  because: no such file or directory\n",
      "strongroom: x cannot be read: no such file or directory\n",
      "strongroom: cannot read x: it is a directory\n",
      "strongroom: x is no JSON\n",
    ].join(""),
  );
});

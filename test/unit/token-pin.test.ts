import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import { pinFor, readPinFile, withPin } from "../../src/token/pin.ts";

let dir: string;
let file: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-pin-"));
  file = join(dir, "pin");
});
afterAll(() => rmSync(dir, { recursive: true }));

function write(content: string | Uint8Array, mode = 0o600): void {
  writeFileSync(file, content);
  chmodSync(file, mode);
}
function failure(run: () => unknown): StrongroomError {
  try {
    run();
  } catch (error) {
    if (isStrongroomError(error)) return error;
  }
  throw new Error("should have been refused");
}

test("one line end goes, everything else is the PIN", () => {
  for (const [content, pin] of [
    ["1234", "1234"],
    ["1234\n", "1234"],
    ["1234\r\n", "1234"],
    [" 12 34 \n", " 12 34 "],
    ["user:pass\n", "user:pass"],
  ] as const) {
    write(content);
    for (const source of [file, `file:${file}`, `file://${file}`])
      expect(readPinFile(source)).toEqual(utf8(pin));
  }
});

test("a file that others can read is refused, with the way to mend it", () => {
  for (const mode of [0o640, 0o604, 0o660, 0o644, 0o620]) {
    write("secret-1234\n", mode);
    const error = failure(() => readPinFile(`file:${file}`));
    expect(error).toMatchObject({ code: "pin-unavailable", hint: `chmod 600 ${file}` });
    expect(`${error.message} ${error.stack}`).not.toContain("secret-1234");
  }
});

test("a credential of systemd may show its access control list as permission of the group, and no more", () => {
  try {
    process.env.CREDENTIALS_DIRECTORY = dir;
    write("1234\n", 0o440);
    expect(readPinFile(`file:${file}`)).toEqual(utf8("1234"));
    for (const mode of [0o444, 0o460, 0o441]) {
      write("1234\n", mode);
      expect(failure(() => readPinFile(file)).code).toBe("pin-unavailable");
    }
    process.env.CREDENTIALS_DIRECTORY = `${dir}-of-another-service`;
    write("1234\n", 0o440);
    expect(failure(() => readPinFile(file)).code).toBe("pin-unavailable");
  } finally {
    delete process.env.CREDENTIALS_DIRECTORY;
  }
});

test("empty and absent files are refused", () => {
  for (const content of ["", "\n", "\r\n"]) {
    write(content);
    expect(failure(() => readPinFile(file)).code).toBe("pin-unavailable");
  }
  expect(failure(() => readPinFile(join(dir, "absent"))).code).toBe("pin-unavailable");
  expect(failure(() => readPinFile(dir)).code).toBe("pin-unavailable");
});

test("what is no file is refused, and not waited for", () => {
  const pipe = join(dir, "pipe");
  execFileSync("bash", ["-c", 'mkfifo -m 600 "$0"', pipe]);
  for (const path of [pipe, "/dev/zero", dir])
    expect(failure(() => readPinFile(path))).toMatchObject({
      code: "pin-unavailable",
      message: `${path} is no file, so no PIN is read from it`,
    });
  write("1".repeat(5000));
  expect(failure(() => readPinFile(file)).message).toContain("too long");
});

test("a pipe that the shell opened gives its PIN once", () => {
  const read = `import { readPinFile } from "./src/token/pin.ts";
    const [source] = process.argv.slice(-1);
    console.log(Buffer.from(readPinFile(source)).toString());
    try { readPinFile(source); } catch ({ code, hint }) { console.log(code, hint); }`;
  const run = (redirection: string): string[] => {
    const shell = `exec "$0" --import tsx --input-type=module -e "$1" ${redirection}`;
    const { stdout, stderr } = spawnSync("bash", ["-c", shell, process.execPath, read], { encoding: "utf8" });
    expect(stderr).toBe("");
    return stdout.trimEnd().split("\n");
  };
  const once = "pin-unavailable a pipe gives its PIN to one login: use a file of mode 0600";
  expect(run("<(sleep 0.1; echo 1234)")).toEqual(["1234", once]);
  expect(run("/dev/stdin < <(echo 1234)")).toEqual(["1234", once]);
  write("5678\n");
  expect(run(`/dev/fd/7 7<${file}`)).toEqual(["5678"]);
});

test("what an editor left in the file is refused before it costs an attempt at the token", () => {
  for (const [content, reason] of [
    ["\ufeff1234\n", "byte order mark"],
    [Buffer.from("\ufeff1234\n", "utf16le"), "UTF-16"],
    ["1234\n\n", "more than one line"],
    ["1234\r\nold: 5678\r\n", "more than one line"],
    ["1234\r\r\n", "control character"],
    ["1234\0", "control character"],
    [Buffer.from([0x31, 0xe4, 0x0a]), "not UTF-8"],
  ] as const) {
    write(content);
    const error = failure(() => readPinFile(file));
    expect(error.code).toBe("pin-unavailable");
    expect(error.message).toContain(reason);
    expect(error.message).not.toContain("1234");
  }
});

test("typed before file, file before keypad, and never a guess", () => {
  write("1234\n");
  const typed = utf8("typed");
  const used = pinFor({ pinSource: file }, false, typed);
  expect(used).toEqual(typed);
  // A copy: it is wiped after the login, what the caller gave is the caller's.
  expect(used).not.toBe(typed);
  expect(pinFor({ pinSource: file }, true)).toEqual(utf8("1234"));
  expect(pinFor({}, true)).toBeUndefined();
  expect(failure(() => pinFor({}, false)).code).toBe("pin-unavailable");
});

test("the bytes are wiped, also when the login fails", () => {
  const pin = utf8("päss");
  expect(withPin(pin, (text) => text)).toBe("päss");
  expect(pin.every((byte) => byte === 0)).toBe(true);
  const other = utf8("1234");
  expect(() =>
    withPin(other, () => {
      throw new Error("refused");
    }),
  ).toThrow("refused");
  expect(other.every((byte) => byte === 0)).toBe(true);
  expect(withPin(undefined, (text) => text)).toBe("");
});

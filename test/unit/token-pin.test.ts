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

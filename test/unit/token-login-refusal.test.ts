/** What a refused login says, and which failures count as one: every further try may be the one that locks the PIN. */
import { expect, test } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { exitCode } from "../../src/cli/terminal.ts";
import { actionFor, tokenError } from "../../src/token/ckr.ts";
import { refusedLogin } from "../../src/token/login-refusal.ts";

const [LOW, FINAL, LOCKED] = [0x10000, 0x20000, 0x40000];
const file = "/etc/strongroom/pin";
const failed = (value: number): StrongroomError =>
  tokenError("C_Login", Object.assign(new Error("as the binding throws"), { code: value }));
const told = (value: number, flags: number | undefined, login: "user" | "so" = "user"): unknown =>
  refusedLogin(failed(value), { login, file, flags });

test("the file of the PIN is named, with what the token says of further tries", () => {
  for (const [flags, words] of [
    [undefined, /in \/etc\/strongroom\/pin$/],
    [0, /does not say how many tries/],
    [LOW, /some tries are left/],
    [LOW | FINAL, /one try is left before the token locks it/],
    [LOCKED, /the token has locked it/],
  ] as const)
    expect(told(0xa0, flags)).toMatchObject({
      code: "pin-incorrect",
      message: expect.stringMatching(words),
      hint: expect.stringContaining(file),
      details: { ckr: "CKR_PIN_INCORRECT", fn: "C_Login" },
    });
  expect(told(0xa0, FINAL << 4, "so")).toMatchObject({
    message: expect.stringMatching(/the security officer's PIN in .*; one try is left/),
  });
  expect(told(0xa4, LOCKED)).toMatchObject({
    code: "pin-locked",
    hint: expect.stringContaining("C_InitPIN"),
  });
  const typed = refusedLogin(failed(0xa0), { login: "user", file: undefined, flags: 0 });
  expect(typed).toMatchObject({ hint: "run the command again with the right PIN" });
});

test("a failure that may have cost a try is not followed by another", () => {
  const stops = (value: number, flags: number | undefined): boolean =>
    actionFor(told(value, flags)) === "stop";
  // A vendor's own code, and refusals for other reasons than the PIN itself.
  for (const value of [0x80000123, 0x7, 0x200]) expect(stops(value, 0)).toBe(true);
  // Nobody may conclude from it that the PIN is another one now, as a ceremony does that replaced it.
  expect(told(0x80000123, 0)).toMatchObject({ code: "token-refused" });
  // Failures that say nothing of the PIN, where the token's own count does.
  for (const value of [0x5, 0x6, 0x30]) {
    expect(stops(value, LOW)).toBe(true);
    expect(stops(value, 0)).toBe(false);
    expect(stops(value, undefined)).toBe(false);
  }
  // A device that is away comes back, and one that is busy is free again.
  for (const value of [0x32, 0xe0, 0xb3, 0xb1, 0x104, 0x190]) expect(stops(value, LOW)).toBe(false);
  const elsewhere = tokenError("C_Sign", Object.assign(new Error(), { code: 0x80000123 }));
  expect(refusedLogin(elsewhere, { login: "user", file, flags: LOW })).toBe(elsewhere);
});

test("a supervisor is told not to start the service again", () => {
  for (const code of ["pin-incorrect", "pin-locked"] as const)
    expect(exitCode(new StrongroomError(code, "refused"))).toBe(2);
});

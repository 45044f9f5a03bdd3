import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { actionFor, ckrOf, isCkr, tokenError } from "../../src/token/ckr.ts";

/** The two shapes in which the binding throws. */
const coded = (name: string, value: number): Error => Object.assign(new Error(name), { code: value });
const plain = (name: string, value: number): Error => new Error(`${name}:${value}`);

test("both shapes of an error become the same", () => {
  for (const thrown of [coded("CKR_PIN_LOCKED", 0xa4), plain("CKR_PIN_LOCKED", 0xa4)]) {
    const error = tokenError("C_Login", thrown);
    expect(error.code).toBe("pin-locked");
    expect(error.details).toEqual({ ckr: "CKR_PIN_LOCKED", fn: "C_Login" });
    expect(isCkr(error, "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED")).toBe(true);
  }
});

/** PKCS#11 3.1: what the driver's design demands for each code. */
const DEMANDED: readonly (readonly [name: string, value: number, action: string])[] = [
  ["CKR_SESSION_HANDLE_INVALID", 0xb3, "reopen"],
  ["CKR_SESSION_CLOSED", 0xb0, "reopen"],
  ["CKR_OPERATION_ACTIVE", 0x90, "reopen"],
  ["CKR_USER_NOT_LOGGED_IN", 0x101, "relogin"],
  ["CKR_SESSION_COUNT", 0xb1, "retry"],
  ["CKR_DEVICE_ERROR", 0x30, "retry"],
  ["CKR_GENERAL_ERROR", 0x5, "retry"],
  ["CKR_FUNCTION_FAILED", 0x6, "retry"],
  ["CKR_DEVICE_REMOVED", 0x32, "recycle"],
  ["CKR_TOKEN_NOT_PRESENT", 0xe0, "recycle"],
  ["CKR_TOKEN_NOT_RECOGNIZED", 0xe1, "recycle"],
  ["CKR_CRYPTOKI_NOT_INITIALIZED", 0x190, "recycle"],
  ["CKR_DEVICE_MEMORY", 0x31, "recycle"],
  ["CKR_HOST_MEMORY", 0x2, "recycle"],
  ["CKR_PIN_INCORRECT", 0xa0, "stop"],
  ["CKR_PIN_LOCKED", 0xa4, "stop"],
  ["CKR_PIN_EXPIRED", 0xa3, "stop"],
  ["CKR_KEY_HANDLE_INVALID", 0x60, "resolve"],
  ["CKR_OBJECT_HANDLE_INVALID", 0x82, "resolve"],
  ["CKR_UNWRAPPING_KEY_HANDLE_INVALID", 0xf0, "resolve"],
  ["CKR_WRAPPING_KEY_HANDLE_INVALID", 0x113, "resolve"],
  ["CKR_WRAPPED_KEY_INVALID", 0x110, "fail"],
  ["CKR_KEY_UNEXTRACTABLE", 0x6a, "fail"],
];

test.each(DEMANDED)("%s (%i): %s", (name, value, action) => {
  expect(ckrOf(coded("anything", value))).toEqual({ name, value });
  expect(actionFor(tokenError("C_X", coded("anything", value)))).toBe(action);
});

test("the binding's names agree with ours", async () => {
  const binding: Record<string, unknown> = { ...(await import("pkcs11js")) };
  const constants = Object(binding.default ?? binding);
  let checked = 0;
  for (const [name, value] of Object.entries(constants)) {
    if (!name.startsWith("CKR_") || typeof value !== "number") continue;
    const found = ckrOf(coded("", value))?.name;
    // Codes that nothing here can get are not in the table and keep their number.
    if (found?.startsWith("CKR_0x") !== false) continue;
    expect(found).toBe(name);
    checked++;
  }
  expect(checked).toBeGreaterThan(60);
});

test("the names are those of the standard's header", () => {
  const header = readFileSync("node_modules/pkcs11js/includes/pkcs11/pkcs11t.h", "utf8");
  const defined = [...header.matchAll(/^#define (CKR_\w+) +0x([0-9A-F]+)UL/gm)];
  expect(defined.length).toBeGreaterThan(90);
  for (const [, name = "", hex = ""] of defined) {
    const value = Number.parseInt(hex, 16);
    if (value === 0) continue;
    expect([name, `CKR_0x${value.toString(16).toUpperCase()}`]).toContain(ckrOf(coded("", value))?.name);
  }
  expect(ckrOf(coded("", 0x1b6))?.name).toBe("CKR_FIPS_SELF_TEST_FAILED");
});

test("vendor codes are asked about again, foreign errors are bugs", () => {
  const vendor = tokenError("C_Sign", coded("CKR_VENDOR_DEFINED", 0x80000123));
  expect(vendor.details).toEqual({ ckr: "CKR_0x80000123", fn: "C_Sign" });
  expect(actionFor(vendor)).toBe("retry");
  expect(tokenError("C_Sign", new TypeError("Argument 2 has wrong type")).code).toBe("internal");
  expect(ckrOf("CKR_OK")).toBeUndefined();
  const own = new StrongroomError("key-drift", "as it was");
  expect(tokenError("C_Sign", own)).toBe(own);
  expect(actionFor(own)).toBe("fail");
  expect(actionFor(new StrongroomError("token-absent", "gone"))).toBe("recycle");
});

/** Profiles: every shipped one parses; a broken one is refused with file, line and fix. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import { driverTraits, requireUsable } from "../../src/token/profile.ts";
import { loadProfile, profileNames } from "../../src/token/profile-file.ts";
import { parseProfile } from "../../src/token/profile-schema.ts";

const softhsm = readFileSync("hsm-config/profiles/softhsm2.yaml", "utf8");

function refusal(text: string): StrongroomError {
  try {
    parseProfile(text, "p.yaml");
  } catch (error) {
    if (isStrongroomError(error, "profile-invalid")) return error;
    throw error;
  }
  throw new Error("accepted");
}

/** The line (from 1) of the first line that contains `needle`. */
const line = (text: string, needle: string): number =>
  text.split("\n").findIndex((candidate) => candidate.includes(needle)) + 1;

describe.each(profileNames())("%s", (name) => {
  test("parses, is named as its file, and unknown or untried facts are not marked verified", () => {
    const profile = loadProfile(name);
    expect(profile.name).toBe(name);
    const tried = ["softhsm2", "nss-softokn", "opencryptoki"].includes(name);
    if (!tried) expect(JSON.stringify(profile)).not.toContain('"verified":true');
    const traits = driverTraits(profile);
    expect(traits.mechanisms.ecdh).toBeGreaterThan(0);
  });
});

test("a device that cannot run the vault is refused with the reason", () => {
  const unusable = profileNames()
    .map(loadProfile)
    .filter((profile) => profile.usable.value === false);
  expect(unusable.map((profile) => profile.name)).toEqual(expect.arrayContaining(["google-kms", "tpm2"]));
  for (const profile of unusable)
    expect(() => requireUsable(profile)).toThrowError(
      expect.objectContaining({ code: "token-unsuitable", message: expect.stringContaining(profile.device) }),
    );
  expect(() => requireUsable(loadProfile("softhsm2"))).not.toThrow();
});

test("a wrong value: file, line, field", () => {
  const text = softhsm.replace("login: { value: pin", "login: { value: pim");
  const error = refusal(text);
  expect(error.message).toMatch(new RegExp(`^p\\.yaml:${line(text, "pim")}:\\d+: login\\.value`));
  expect(error.hint).toContain("login.value");
});

test("a wrong value deep in a list", () => {
  const text = softhsm.replace("format: rfc5649", "format: rfc5650");
  const where = `^p\\.yaml:${line(text, "rfc5650")}:\\d+: mechanisms\\.keyWrap\\.value\\.0\\.format`;
  expect(refusal(text).message).toMatch(new RegExp(where));
});

test("a key wrap mechanism that is listed twice", () => {
  const one = "- { mechanism: 0x210a, format: rfc5649 }";
  const text = softhsm.replace(one, `${one}\n      - { mechanism: 0x210a, format: pkcs7-rfc3394 }`);
  expect(refusal(text).message).toMatch(/mechanisms\.keyWrap\.value: a mechanism is listed twice/);
});

test("an unknown field is named at its place", () => {
  const text = softhsm.replace("points:\n", "points:\n  receive: raw\n");
  const error = refusal(text);
  expect(error.message).toMatch(/^p\.yaml:\d+:\d+: points: .*receive/);
  expect(error.hint).toContain("remove it");
});

test("a missing field says what to add", () => {
  const text = softhsm.replace(/^ {2}hmac: .*\n/m, "");
  const error = refusal(text);
  expect(error.message).toMatch(
    new RegExp(`^p\\.yaml:${line(text, "mechanisms:") + 1}:\\d+: mechanisms\\.hmac: is missing`),
  );
  expect(error.hint).toContain("add mechanisms.hmac");
});

test("unknown cannot be verified, unusable needs a reason", () => {
  expect(
    refusal(softhsm.replace("value: raw, source: token doctor", "value: unknown, source: x")).message,
  ).toContain("points.send.verified");
  expect(refusal(softhsm.replace("usable: { value: true", "usable: { value: false")).message).toContain(
    "usable.reason",
  );
});

test("text that is not YAML names its line", () => {
  const error = refusal(softhsm.replace("device: SoftHSM 2.6.1", "device: [SoftHSM"));
  expect(error.message).toMatch(/^p\.yaml:\d+:\d+: /);
});

test("no such profile: the hint lists the known ones", () => {
  for (const name of ["softhsm3", "./nowhere.yaml", "../softhsm2"])
    expect(() => loadProfile(name)).toThrowError(
      expect.objectContaining({ code: "profile-invalid", hint: expect.stringContaining("softhsm2") }),
    );
});

test("facts nobody knows become the standard's way of doing it", () => {
  const traits = driverTraits(loadProfile("utimaco"));
  expect(traits.pointSend).toBe("raw");
  expect(traits.keyWrap).toEqual([{ mechanism: 0x210b, format: "rfc5649" }]);
  expect(traits.unwrapOmit).toContain(0x161);
});

/** The doctor on a real SoftHSM token: what the profile claims is proved, what is wrong is said. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROVISION_CHECKS } from "../../src/keys/doctor-checks.ts";
import { type CheckReport, type DoctorReport, runDoctor } from "../../src/token/doctor/doctor.ts";
import { openSession } from "../../src/token/open.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

let hsm: SoftHsm;
beforeAll(() => {
  hsm = createSoftHsm();
  hsm.use();
});
afterAll(() => hsm.remove());

const softhsm = readFileSync("hsm-config/profiles/softhsm2.yaml", "utf8");

/** A copy of the SoftHSM profile in which one fact is another. */
function profileWith(from: string, to: string): string {
  if (!softhsm.includes(from)) throw new Error(`the profile has no ${from}`);
  const path = join(hsm.dir, "profile.yaml");
  writeFileSync(path, softhsm.replace(from, to));
  return path;
}
const check = (report: DoctorReport, id: string): CheckReport => {
  const found = report.checks.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`no check ${id}`);
  return found;
};
const quick = (profile: string): Promise<DoctorReport> => runDoctor({ uri: hsm.uri, profile, quick: true });

test("every check passes, with the facts of the profile, and rates are measured", async () => {
  const said: string[] = [];
  const report = await runDoctor({
    uri: hsm.uri,
    profile: "softhsm2",
    progress: (title) => said.push(title),
  });
  expect(report.checks.filter(({ result }) => result !== "pass")).toEqual([]);
  expect(report).toMatchObject({ usable: true, auditor: true });
  expect(report.token?.label).toBe(hsm.label);
  expect(report.host).toEqual({ node: process.versions.node, openssl: process.versions.openssl });
  expect(check(report, "auditor.sign").detail).toBe("4 of 4 verify, the same each time");
  expect(check(report, "auditor.data").detail).toBe("128 bytes, replaced");

  const { points, mechanisms, attributes } = loadProfile("softhsm2");
  expect(check(report, "ec.keygen").detail).toContain(`is ${points.read.value}`);
  expect(mechanisms.keyWrap.value).toEqual([{ mechanism: 0x210a, format: "rfc5649" }]);
  expect(check(report, "wrap.known-answer").detail).toContain("0x210A is RFC 5649; keys imported");
  expect(attributes.enforced).toMatchObject({ value: true, verified: true });
  expect(check(report, "protect.wrap-with-trusted").detail).toContain("CKR_KEY_NOT_WRAPPABLE");
  expect(check(report, "wrap.tampered").detail).toMatch(/^9 of 9 refused: CKR_/);

  expect(report.rates.map(({ id }) => id)).toEqual(["ecdh", "evaluateShare", "createShare", "hmac", "ecdsa"]);
  for (const { perSecond } of report.rates) expect(perSecond).toBeGreaterThan(0);
  expect(said).toContain("rates");
});

test("it leaves nothing on the token and no session object behind", async () => {
  const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  try {
    await quick("softhsm2");
    expect(session.find({})).toEqual([]);
  } finally {
    session.close();
  }
});

test("a profile that names a key wrap which the token lacks", async () => {
  const report = await quick(profileWith("mechanism: 0x210a", "mechanism: 0x210b"));
  expect(report.usable).toBe(false);
  expect(check(report, "wrap.known-answer")).toMatchObject({
    result: "fail",
    detail: "0x210B: CKR_MECHANISM_INVALID",
  });
  for (const id of ["wrap.share", "wrap.tampered", "protect.wrap-unextractable"])
    expect(check(report, id).result).toBe("not supported");
  expect(check(report, "ecdh.value").result).toBe("pass");
  expect(check(report, "token.mechanisms").detail).toContain("0x210B");
});

test("a profile that takes the key wrap for another format", async () => {
  const report = await quick(profileWith("format: rfc5649", "format: pkcs7-rfc3394"));
  expect(report.usable).toBe(false);
  expect(check(report, "wrap.known-answer")).toMatchObject({
    result: "fail",
    detail: "0x210A is RFC 5649, the profile says PKCS#7 padding and RFC 3394",
  });
});

test("a second key wrap in the profile is used where the first does not work", async () => {
  const both = "- { mechanism: 0x210b, format: rfc5649 }\n      - { mechanism: 0x210a, format: rfc5649 }";
  const report = await quick(profileWith("- { mechanism: 0x210a, format: rfc5649 }", both));
  expect(report.usable).toBe(true);
  expect(check(report, "wrap.share").detail).toContain("0x210A");
});

test("what provisioning will ask for is tried too, and an attribute that the token drops is named", async () => {
  const options = { uri: hsm.uri, quick: true, more: PROVISION_CHECKS };
  const well = await runDoctor({ ...options, profile: "softhsm2" });
  expect(check(well, "provision.templates")).toMatchObject({ result: "pass", level: "required" });
  expect(check(well, "provision.travel")).toMatchObject({ detail: "RSA-3072, RSA-OAEP with sha1" });
  const hashes = await runDoctor({ ...options, profile: profileWith("hashes: [sha1]", "hashes: [sha256]") });
  expect(hashes.usable).toBe(true);
  expect(check(hashes, "provision.travel")).toMatchObject({
    result: "not supported",
    detail: "RSA-3072, RSA-OAEP with sha256: CKR_ARGUMENTS_BAD",
  });
  // The token's own numbers: an AES key under the generic secret's mechanism is not what the table says.
  const profile = profileWith("genericKeygen: { value: 0x0350", "genericKeygen: { value: 0x1080");
  const ill = await runDoctor({ ...options, profile });
  expect(check(ill, "provision.templates")).toMatchObject({
    result: "fail",
    detail: expect.stringContaining("record"),
  });
});

test("a key wrap that only has the right length is not passed because another one is right", async () => {
  // RFC 3394 without padding: a key of 32 bytes has 40 in it, as in RFC 5649.
  const both = "- { mechanism: 0x2109, format: rfc5649 }\n      - { mechanism: 0x210a, format: rfc5649 }";
  const report = await quick(profileWith("- { mechanism: 0x210a, format: rfc5649 }", both));
  expect(check(report, "wrap.known-answer")).toMatchObject({
    result: "fail",
    detail: expect.stringContaining("take it out of the profile"),
  });
});

test("a wrong encoding in the profile is found out", async () => {
  const report = await quick(profileWith("read: { value: der", "read: { value: raw"));
  expect(check(report, "ec.keygen")).toMatchObject({ result: "fail", level: "required" });
  expect(report.usable).toBe(false);
});

test("a wrong mechanism number fails the operations that it is for, and only them", async () => {
  const report = await quick(profileWith("hmac: { value: 0x0251", "hmac: { value: 0x9999"));
  expect(check(report, "hmac.known-key")).toMatchObject({
    result: "fail",
    detail: expect.stringContaining("CKR_MECHANISM_INVALID"),
  });
  expect(check(report, "ecdsa").result).toBe("pass");
  expect(report.usable).toBe(false);
});

test("a token without Ed25519 is fit for a vault, and not for an auditor", async () => {
  const noKeys = await quick(profileWith("keygen: { value: 0x1055", "keygen: { value: 0x9999"));
  expect(noKeys).toMatchObject({ usable: true, auditor: false });
  expect(check(noKeys, "auditor.keygen")).toMatchObject({
    result: "not supported",
    level: "auditor",
    detail: "CKR_MECHANISM_INVALID",
  });
  expect(check(noKeys, "auditor.sign").result).toBe("not supported");
  expect(check(noKeys, "auditor.data").result).toBe("pass");
  // ECDSA under the number of EdDSA: a signature that is none.
  const otherSignature = await quick(profileWith("eddsa: { value: 0x1057", "eddsa: { value: 0x1041"));
  expect(otherSignature).toMatchObject({ usable: true, auditor: false });
  expect(check(otherSignature, "auditor.keygen").result).toBe("pass");
  expect(check(otherSignature, "auditor.sign").result).not.toBe("pass");
});

test("a device whose profile says no is not usable, whatever it can do", async () => {
  const report = await quick(
    profileWith("usable: { value: true", "usable: { reason: it is a toy, value: false"),
  );
  expect(check(report, "token.profile")).toMatchObject({ result: "fail", detail: "it is a toy" });
  expect(report.usable).toBe(false);
});

test("no such token, and a PIN file that is not there", async () => {
  const absent = await runDoctor({ uri: hsm.uri.replace(hsm.label, "nobody"), profile: "softhsm2" });
  expect(absent).toMatchObject({ usable: false, token: undefined, rates: [] });
  expect(absent.checks).toEqual([expect.objectContaining({ id: "token.login", result: "fail" })]);
  await expect(
    runDoctor({ uri: hsm.uri.replace(hsm.pinFile, `${hsm.pinFile}-x`), profile: "softhsm2" }),
  ).rejects.toMatchObject({ code: "pin-unavailable" });
  await expect(runDoctor({ uri: "pkcs11:slot-id=0", profile: "softhsm2" })).rejects.toMatchObject({
    code: "uri-invalid",
  });
});

test("a PIN that a person types is asked for once and reaches the child process", async () => {
  let asked = 0;
  const report = await runDoctor({
    uri: `pkcs11:token=${hsm.label}?module-path=${hsm.module}`,
    profile: "softhsm2",
    quick: true,
    prompt: () => {
      asked++;
      return Promise.resolve(Uint8Array.from(readFileSync(hsm.pinFile).subarray(0, -1)));
    },
  });
  expect(report.usable).toBe(true);
  expect(asked).toBe(1);
});

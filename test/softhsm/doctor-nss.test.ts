/**
 * The same doctor on the other PKCS#11 module that every Debian machine can have (libnss3-tools). NSS softokn computes everything rightly and
 * enforces next to nothing: the doctor must show both. It is a second implementation for the driver, too.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DoctorReport, runDoctor } from "../../src/token/doctor/doctor.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import { formatTokenUri } from "../../src/token/uri.ts";

/** Another module that can be run here, and what it is known to get wrong. */
interface OtherModule {
  readonly profile: string;
  readonly fails: readonly string[];
  /** Makes a token in the directory. @returns its URI */
  readonly make: (dir: string) => string;
}

/** A test without the module fails, it is not skipped. */
function installed(profile: string): string {
  const { value } = loadProfile(profile).modules;
  const found = value === "unknown" ? undefined : value.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no module of the profile ${profile}: install libnss3-tools`);
  return found;
}

const MODULES: readonly OtherModule[] = [
  {
    profile: "nss-softokn",
    fails: [
      "token.profile",
      "ec.attributes",
      "protect.wrap-unextractable",
      "protect.copy",
      "protect.seal",
      "protect.wrap-with-trusted",
      "protect.usage",
      "protect.copyable",
    ],
    make: (dir) => {
      const pin = join(dir, "pin");
      writeFileSync(pin, randomBytes(8).toString("hex"), { mode: 0o600 });
      execFileSync("certutil", ["-N", "-d", `sql:${dir}`, "-f", pin]);
      return formatTokenUri({
        token: "nss-test",
        modulePath: installed("nss-softokn"),
        pinSource: `file:${pin}`,
        libraryParameters: `configdir='sql:${dir}' certPrefix='' keyPrefix='' secmod='secmod.db' dbTokenDescription='nss-test' flags=`,
      });
    },
  },
];

describe.each(MODULES)("$profile", ({ profile, fails, make }) => {
  let dir: string;
  let report: DoctorReport;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "strongroom-nss-"));
    report = await runDoctor({ uri: make(dir), profile, quick: true });
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test("what it computes equals software", () => {
    const passed = report.checks.filter(({ result }) => result === "pass").map(({ id }) => id);
    expect(passed).toEqual(
      expect.arrayContaining([
        ...["token.login", "ecdh.value", "ecdh.leading-zero", "ecdh.full-point", "ecdsa", "hmac.known-key"],
        ...["wrap.known-answer", "wrap.share", "wrap.tampered", "token.leftovers"],
      ]),
    );
  });

  test("what it does not enforce is shown, and makes it unusable", () => {
    expect(report.checks.filter(({ result }) => result === "fail").map(({ id }) => id)).toEqual(fails);
    expect(report.usable).toBe(false);
  });

  test("it has nothing that an auditor needs, which is no failure", () => {
    const ofAuditor = report.checks.filter(({ level }) => level === "auditor");
    expect(ofAuditor.map(({ id, result }) => `${id} ${result}`)).toEqual([
      "auditor.keygen not supported",
      "auditor.sign not supported",
      "auditor.data not supported",
    ]);
    expect(report.auditor).toBe(false);
  });
});

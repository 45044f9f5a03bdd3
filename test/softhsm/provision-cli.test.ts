/** The token commands as an operator runs them, from a blank SoftHSM slot to a manifest. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { tokenCommand } from "../../src/cli/token.ts";
import { parseTokenUri } from "../../src/token/uri.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { type Ran, runCommand } from "../support/command.ts";
import { softHsmModule } from "../support/softhsm.ts";

let dir: string;
const file = (name: string): string => join(dir, name);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-cli-"));
  mkdirSync(file("tokens"));
  writeFileSync(
    file("softhsm2.conf"),
    `directories.tokendir = ${file("tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  process.env.SOFTHSM2_CONF = file("softhsm2.conf");
});
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

const run = (...args: string[]): Promise<Ran> => runCommand(tokenCommand(), args);

const module = `pkcs11:?module-path=${softHsmModule()}`;
const uri = (label = "site-a"): string =>
  `pkcs11:token=${label}?module-path=${softHsmModule()}&pin-source=file:${file("pin")}`;
const init = (...more: string[]): Promise<Ran> =>
  run(
    "init",
    "--uri",
    module,
    "--so-pin-source",
    file("so-pin"),
    "--pin-source",
    `file:${file("pin")}`,
    ...more,
  );
const provision = (...more: string[]): Promise<Ran> =>
  run("provision", "--uri", uri(), "--fleet", "demo", ...more);
const manifest = (name = "fleet.json"): string[] => [
  ...["--site", "site-a", "--url", "https://site-a.example", "--manifest", file(name)],
];

describe.sequential("from a blank token to a fleet of one", () => {
  test("a module without tokens", async () => {
    const { stdout, stderr, code } = await run("list", "--profile", "softhsm2", "--uri", module);
    expect(code).toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("no initialised token");
  });

  test("PIN files that do not exist are an error, unless PINs are to be generated", async () => {
    expect((await init("--label", "site-a")).error).toMatchObject({ code: "pin-unavailable" });
    const made = await init("--label", "site-a", "--generate-pins");
    expect(made.code).toBe(0);
    const parsed = parseTokenUri(made.stdout.trim());
    expect(parsed).toMatchObject({
      token: "site-a",
      modulePath: softHsmModule(),
      pinSource: `file:${file("pin")}`,
    });
    for (const name of ["pin", "so-pin"]) {
      expect(statSync(file(name)).mode & 0o777).toBe(0o600);
      const pin = readFileSync(file(name), "utf8");
      expect(pin).toMatch(/^[A-Za-z0-9_-]{16}$/);
      expect(made.stdout + made.stderr).not.toContain(pin);
    }
    expect(readFileSync(file("pin"))).not.toEqual(readFileSync(file("so-pin")));
  });

  test("a token that is initialised is not touched again", async () => {
    const again = await init("--label", "site-a", "--generate-pins");
    expect(again.error).toMatchObject({
      code: "usage",
      hint: expect.stringContaining("--force-erase site-a"),
    });
    const missing = await init("--label", "site-a", "--generate-pins", "--if-missing", "--json");
    expect(missing.code).toBe(0);
    expect(JSON.parse(missing.stdout)).toMatchObject({ state: "present", label: "site-a" });
    const { stdout } = await run("list", "--uri", module, "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      tokens: [{ label: "site-a", userPin: "set" }],
      uninitialised: 1,
    });
  });

  test("nothing is made with names that no manifest can hold, or half a manifest's facts", async () => {
    expect((await run("provision", "--uri", uri(), "--fleet", "De mo")).error).toMatchObject({
      code: "usage",
    });
    expect((await provision("--manifest", file("x.json"))).error).toMatchObject({ code: "usage" });
    expect((await provision("--profile", "tpm2")).error).toMatchObject({ code: "token-unsuitable" });
    const { stdout } = await run("inventory", "--uri", uri(), "--json");
    expect(JSON.parse(stdout)).toMatchObject({ objects: [] });
  });

  test("dry run, run, run again", async () => {
    const dry = await provision("--dry-run", ...manifest());
    expect(dry.code).toBe(0);
    expect(dry.stdout.match(/missing/g)).toHaveLength(6);
    expect(existsSync(file("fleet.json"))).toBe(false);

    const first = await provision(...manifest());
    expect(first.code).toBe(0);
    expect(first.stdout.match(/created/g)).toHaveLength(6);
    const bytes = readFileSync(file("fleet.json"));
    const sha256 = sha256HexOf(bytes);
    expect(first.stderr).toContain(sha256);
    expect(decodeManifest(bytes)).toMatchObject({
      fleet: "demo",
      policy: { threshold: 1, maxAttempts: 10 },
      sites: [{ name: "site-a", url: "https://site-a.example" }],
    });

    const second = await provision(...manifest(), "--json");
    expect(second.code).toBe(0);
    const result: unknown = JSON.parse(second.stdout);
    expect(result).toMatchObject({ manifest: { state: "unchanged", sha256 }, dryRun: false });
    expect(JSON.stringify(result).match(/"state":"ok"/g)).toHaveLength(6);
    expect(readFileSync(file("fleet.json"))).toEqual(bytes);
  });

  test("a manifest of other keys stops everything before a key is made", async () => {
    const { error } = await run("provision", "--uri", uri(), "--fleet", "other", ...manifest());
    expect(error).toMatchObject({ code: "manifest-invalid", hint: expect.stringContaining("right token") });
    const { stdout } = await run("inventory", "--uri", uri(), "--json");
    expect(stdout).not.toContain("strongroom/other");
  });

  test("the inventory: quiet about its own fleet, loud about others", async () => {
    const own = await run("inventory", "--uri", uri(), "--fleet", "demo");
    expect(own.code).toBe(0);
    expect(own.stdout.match(/ expected/g)).toHaveLength(9);
    const other = await run("inventory", "--uri", uri(), "--fleet", "other");
    expect(other.error).toMatchObject({ details: { unexpected: 9, wrong: 0, missing: 9 } });
    expect(other.code).toBe(1);
    const both = await run("inventory", "--uri", uri(), "--fleet", "demo", "other");
    expect(both.error).toMatchObject({ code: "key-missing" });
  });

  test("the doctor's verdict is the exit code", async () => {
    const well = await run("doctor", "--uri", uri(), "--quick", "--json");
    expect(well.code).toBe(0);
    expect(JSON.parse(well.stdout)).toMatchObject({ usable: true, auditor: true, profile: "softhsm2" });

    const profile = file("crippled.yaml");
    const text = readFileSync("hsm-config/profiles/softhsm2.yaml", "utf8");
    writeFileSync(profile, text.replace("eddsa: { value: 0x1057", "eddsa: { value: 0x9999"));
    const forVaults = await run("doctor", "--uri", uri(), "--quick", "--profile", profile);
    expect(forVaults).toMatchObject({ code: 0, error: undefined });
    expect(forVaults.stdout).toMatch(/CKM_EDDSA .* not supported +CKR_MECHANISM_INVALID/);
    expect(forVaults.stderr).toMatch(/note: an auditor or a witness cannot run on this token/);

    writeFileSync(profile, text.replace("mechanism: 0x210a", "mechanism: 0x210b"));
    const ill = await run("doctor", "--uri", uri(), "--quick", "--profile", profile);
    expect(ill.code).toBe(1);
    expect(ill.stdout).toMatch(/AES key wrap .* fail +0x210B: CKR_MECHANISM_INVALID/);
    expect(ill.error).toMatchObject({ message: expect.stringContaining("0x210B") });
  });

  test("a wrong PIN is said and not tried twice", async () => {
    writeFileSync(file("wrong"), randomBytes(6).toString("hex"), { mode: 0o600 });
    const wrong = uri().replace(file("pin"), file("wrong"));
    expect((await run("inventory", "--uri", wrong)).error).toMatchObject({ code: "pin-incorrect" });
    expect((await run("doctor", "--uri", wrong)).error).toMatchObject({
      message: expect.stringContaining("CKR_PIN_INCORRECT"),
    });
    expect((await run("inventory", "--uri", uri())).code).toBe(0);
  });

  test("without a pin-source and without a terminal nobody is asked", async () => {
    const { error } = await run("inventory", "--uri", `pkcs11:token=site-a?module-path=${softHsmModule()}`);
    expect(error).toMatchObject({ code: "pin-unavailable", hint: expect.stringContaining("pin-source") });
  });

  test("a token that is erased gets no other one's label, nor another one its user PIN", async () => {
    const second = [
      ...["--so-pin-source", file("so-pin-2"), "--pin-source", file("pin-2")],
      ...["--generate-pins", "--json"],
    ];
    const made = await run("init", "--uri", module, "--label", "second", ...second);
    const { serial } = JSON.parse(made.stdout) as { readonly serial: string };
    const taken = await run(
      "init",
      "--uri",
      module,
      "--label",
      "site-a",
      "--force-erase",
      "second",
      ...second,
    );
    expect(taken.error).toMatchObject({ code: "usage", hint: expect.stringContaining("nothing was erased") });
    // By its serial number there is no doubt which one is meant.
    const one = module.replace("pkcs11:", `pkcs11:serial=${serial}`);
    const again = await run("init", "--uri", one, "--label", "site-a", "--force-erase", "second", ...second);
    expect(again.error).toBeUndefined();
    const left = await run("init", "--uri", one, "--label", "second", "--force-erase", "site-a", ...second);
    expect(left.error).toBeUndefined();
    expect((await run("inventory", "--uri", uri(), "--fleet", "demo")).code).toBe(0);
  });

  test("erasing needs the label typed and the officer's PIN", async () => {
    const wrongLabel = await init("--label", "site-b", "--force-erase", "site-x");
    expect(wrongLabel.error).toMatchObject({ code: "token-absent" });
    const wrongPin = await run(
      ...["init", "--uri", module, "--label", "site-b", "--force-erase", "site-a"],
      ...["--so-pin-source", file("wrong"), "--pin-source", file("pin")],
    );
    expect(wrongPin.error).toMatchObject({ code: "pin-incorrect" });
    const noPin = await run(
      ...["init", "--uri", module, "--label", "site-b", "--force-erase", "site-a"],
      ...["--so-pin-source", file("so-pin"), "--pin-source", file("nowhere")],
    );
    expect(noPin.error).toMatchObject({ code: "pin-unavailable" });
    expect((await run("inventory", "--uri", uri(), "--fleet", "demo")).code).toBe(0);

    const erased = await init("--label", "site-b", "--force-erase", "site-a");
    expect(erased.code).toBe(0);
    expect((await run("inventory", "--uri", uri())).error).toMatchObject({ code: "token-absent" });
    const { stdout } = await run("inventory", "--uri", uri("site-b"), "--json");
    expect(JSON.parse(stdout)).toMatchObject({ objects: [] });
  });

  test("the fleet's keys can then be made anew, but not under the old manifest", async () => {
    const old = await run("provision", "--uri", uri("site-b"), "--fleet", "demo", ...manifest());
    expect(old.error).toMatchObject({ code: "manifest-invalid" });
    const fresh = await run("provision", "--uri", uri("site-b"), "--fleet", "demo", ...manifest("new.json"));
    expect(fresh.code).toBe(0);
  });
});

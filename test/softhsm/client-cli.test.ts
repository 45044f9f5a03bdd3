/** `strongroom client` as a person and as a script runs it, against a real service on SoftHSM. */
import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { STRONGROOM } from "../support/cli.ts";
import { startTestService, TENANT, type TestService } from "../support/service.ts";

let service: TestService;
let dir = "";
const here = (name: string): string => join(dir, name);

beforeAll(async () => {
  service = await startTestService();
  dir = mkdtempSync(join(tmpdir(), "strongroom-cli-"));
  writeFileSync(here("fleet.json"), service.manifestBytes);
  writeFileSync(here("right"), "tram lamp river\n", { mode: 0o600 });
  writeFileSync(here("wrong"), "tram lamp rivet\n", { mode: 0o600 });
  mkdirSync(here("photos"));
  writeFileSync(here("photos/one"), "one");
});
afterAll(async () => {
  await service?.close();
  rmSync(dir, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What --json printed. */
  readonly json: () => Record<string, unknown>;
}
async function client(subject: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const token = await service.issueToken(subject);
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...STRONGROOM, "client", ...args],
      { cwd: dir, env: { ...process.env, STRONGROOM_ACCOUNT_TOKEN: token, ...env } },
      (error, out, err) => {
        const code = error ? Number(error.code ?? -1) : 0;
        resolve({ code, out, err, json: () => JSON.parse(out) });
      },
    );
  });
}
function configure(name: string, more: object): string {
  writeFileSync(here(name), stringify({ manifest: "fleet.json", tenant: TENANT, ...more }));
  return name;
}

test("a person's way: register, back up, lose the phone, restore with the code", async () => {
  const config = ["--config", configure("anna.yaml", { subject: "anna" })];
  const registered = await client("anna", [
    "register",
    ...config,
    "--code-file",
    "right",
    "--identity-out",
    "key",
  ]);
  expect(registered).toMatchObject({ code: 0, out: "" });
  expect(registered.err).toContain("registered app/anna with fleet test-fleet, generation 1");
  expect(statSync(here("key")).mode & 0o777).toBe(0o600);
  const backup = ["backup", "photos", "-o", "photos.age"];
  expect((await client("anna", [...backup, "--identity", "key"])).code).toBe(0);

  const wrong = await client("anna", [
    "restore",
    "photos.age",
    "-o",
    "new",
    ...config,
    "--code-file",
    "wrong",
  ]);
  expect(wrong.code).toBe(3);
  expect(wrong.err).toMatch(/^strongroom: wrong recovery code, 9 attempts left\nhint: /);
  expect(existsSync(here("new"))).toBe(false);
  const restored = await client("anna", [
    "restore",
    "photos.age",
    "-o",
    "new",
    ...config,
    "--code-file",
    "right",
  ]);
  expect(restored.code).toBe(0);
  execFileSync("diff", ["-r", here("photos"), here("new")]);

  expect(
    (await client("anna", ["recover", ...config, "--code-file", "right", "--identity-out", "key2"])).code,
  ).toBe(0);
  expect(readFileSync(here("key2"))).toEqual(readFileSync(here("key")));
  expect(execFileSync("age", ["-d", "-i", here("key2"), here("photos.age")]).includes("one")).toBe(true);
  for (const { err, out } of [registered, wrong, restored])
    expect(`${out}${err}`).not.toMatch(/tram|river|AGE-SECRET-KEY/);
});

test("the record goes from attempt to attempt, is destroyed, and can be registered anew", async () => {
  const config = ["--config", configure("ben.yaml", { subject: "ben" }), "--json"];
  const none = await client("ben", ["status", ...config]);
  expect([none.code, none.json()]).toEqual([
    1,
    { error: expect.objectContaining({ code: "not-registered" }) },
  ]);
  await client("ben", ["register", ...config, "--code-file", "right"]);
  for (let attemptsLeft = 9; attemptsLeft >= 0; attemptsLeft--) {
    const { code, json } = await client("ben", ["recover", ...config, "--code-file", "wrong"]);
    expect(code).toBe(3);
    expect(json()).toEqual({ error: expect.objectContaining({ code: "wrong-recovery-code", attemptsLeft }) });
  }
  const gone = await client("ben", ["recover", ...config, "--code-file", "right"]);
  expect([gone.code, gone.json()]).toEqual([
    4,
    { error: expect.objectContaining({ code: "destroyed", attemptsLeft: 0 }) },
  ]);
  expect(gone.err).toMatch(/^strongroom: the record is destroyed: no attempt is left\nhint: /);
  const status = await client("ben", ["status", ...config]);
  expect(status.json()).toMatchObject({
    state: "destroyed",
    attemptsLeft: 0,
    tenant: TENANT,
    subject: "ben",
  });
  const again = await client("ben", ["register", ...config, "--code-file", "right"]);
  expect(again.json()).toMatchObject({ generation: 2, codeKind: "password" });
});

test("a new code for the same key; and no key is replaced by accident", async () => {
  const config = ["--config", configure("cleo.yaml", { subject: "cleo" })];
  const made = await client("cleo", [
    "register",
    ...config,
    "--generate",
    "--code-file",
    "made",
    "--identity-out",
    "k1",
  ]);
  expect(made.code).toBe(0);
  expect(readFileSync(here("made"), "utf8")).toMatch(/^SR(-[0-9A-Z]{4}){5}\n$/);
  expect(statSync(here("made")).mode & 0o777).toBe(0o600);
  expect(`${made.out}${made.err}`).not.toContain(readFileSync(here("made"), "utf8").trim());

  const refused = await client("cleo", ["register", ...config, "--code-file", "right"]);
  expect(refused).toMatchObject({
    code: 2,
    err: expect.stringContaining("is registered already, generation 1"),
  });
  const change = ["register", ...config, "--replace", "--code-file", "right", "--identity-file", "k1"];
  expect((await client("cleo", change)).code).toBe(0);
  expect((await client("cleo", ["recover", ...config, "--code-file", "made"])).code).toBe(3);
  await client("cleo", ["recover", ...config, "--code-file", "right", "--identity-out", "k2"]);
  expect(readFileSync(here("k2"))).toEqual(readFileSync(here("k1")));

  const ask = await client("cleo", ["delete", ...config]);
  expect(ask).toMatchObject({ code: 2, err: expect.stringContaining("--yes") });
  expect((await client("cleo", ["delete", ...config, "--yes"])).code).toBe(0);
  expect((await client("cleo", ["recover", ...config, "--code-file", "right"])).code).toBe(1);
});

describe("what is told before anything is sent", () => {
  test("a code file that others can read, a weak code, a typo, no terminal", async () => {
    const config = ["--config", configure("dora.yaml", { subject: "dora" })];
    writeFileSync(here("open"), "tram lamp river\n", { mode: 0o644 });
    chmodSync(here("open"), 0o644);
    writeFileSync(here("weak"), "password1\n", { mode: 0o600 });
    writeFileSync(here("typo"), "SR-AAAA-BBBB-CCCC-DDDD-EEEE\n", { mode: 0o600 });
    const cases: [readonly string[], number, string][] = [
      [["register", "--code-file", "open"], 1, "can be read by others\nhint: chmod 600 open"],
      [["register", "--code-file", "weak"], 1, "this password is too weak"],
      [["recover", "--code-file", "typo"], 1, "has a typo"],
      [["recover"], 2, "there is no terminal to ask on\nhint: --code-file"],
      [["register", "--generate"], 2, "there is no terminal to ask on\nhint: --generate --code-file"],
      [["recover", "--code-file", "right", "--identity-out", "right"], 2, "right exists already"],
      [["register", "--code-file", "right", "--identity-file", "wrong"], 1, "holds no strongroom backup key"],
    ];
    for (const [args, code, message] of cases) {
      const ended = await client("dora", [...args, ...config]);
      expect(ended.err).toContain(message);
      expect(ended.code).toBe(code);
      expect(ended.err).not.toMatch(/password1|AAAA|river/);
    }
  });

  test("a PIN that anybody tries first is warned of", async () => {
    const config = ["--config", configure("emma.yaml", { subject: "emma" })];
    writeFileSync(here("pin"), "123456", { mode: 0o600 });
    const { code, err } = await client("emma", ["register", ...config, "--code-file", "pin"]);
    expect(code).toBe(0);
    expect(err).toContain("warning: this PIN is among the first");
    expect((await client("emma", ["recover", ...config, "--code-file", "pin"])).err).not.toContain("warning");
  });

  test("what is wrong with the configuration", async () => {
    const cases: [object, string][] = [
      [{}, "subject: is missing"],
      [{ subject: "x", tokenfile: "t" }, "tokenfile"],
      [{ subject: "x", manifestSha256: "ab" }, "manifestSha256: must be a SHA-256 in lower-case hex"],
      [{ subject: "x", manifestSha256: "0".repeat(64) }, "the manifest is not the one that is pinned"],
      [{ subject: "x", manifest: "nowhere.json" }, "cannot read the manifest"],
      [{ subject: "x", manifest: "right" }, "manifest: not JSON"],
      [{ subject: "x", tokenFile: "a", tokenCommand: "b" }, "write either tokenFile or tokenCommand"],
      [{ subject: "x", tokenFile: "right" }, "right holds no account token"],
      [{ subject: "x", tokenCommand: "exit 7" }, "tokenCommand failed with exit code 7"],
    ];
    for (const [config, message] of cases) {
      const ended = await client("x", ["status", "--config", configure("bad.yaml", config)]);
      expect(ended.err).toContain(message);
      expect(ended.code).toBe(2);
    }
    expect(await client("x", ["status", "--config", "nowhere.yaml"])).toMatchObject({ code: 2 });
    expect(await client("x", ["recover", "--no-such-option"])).toMatchObject({ code: 2 });
  });
});

describe("account tokens", () => {
  test("come from a file or a command that is told whose", async () => {
    writeFileSync(here("token"), `${await service.issueToken("finn")}\n`);
    const sha256 = sha256HexOf(service.manifestBytes);
    const common = { subject: "finn", manifestSha256: sha256 };
    const none = { STRONGROOM_ACCOUNT_TOKEN: "" };
    const script =
      'test "$STRONGROOM_FLEET/$STRONGROOM_TENANT/$STRONGROOM_SUBJECT" = test-fleet/app/finn && cat token';
    const sources = [{ tokenFile: "token" }, { tokenCommand: script }, { tokenCommand: ["cat", "token"] }];
    for (const source of sources) {
      const args = ["status", "--json", "--config", configure("finn.yaml", { ...common, ...source })];
      expect((await client("finn", args, none)).json()).toEqual({
        error: expect.objectContaining({ code: "not-registered" }),
      });
    }
    const args = ["status", "--config", configure("finn.yaml", common)];
    expect(await client("finn", args, none)).toMatchObject({
      code: 2,
      err: expect.stringContaining("no account token"),
    });
  });

  test("that the vault refuses are told as such", async () => {
    const config = ["--config", configure("gil.yaml", { subject: "gil" })];
    const expired = await service.issueToken("gil", ["status"], { exp: Math.floor(Date.now() / 1000) - 600 });
    const { code, err } = await client("gil", ["status", ...config], { STRONGROOM_ACCOUNT_TOKEN: expired });
    expect(code).toBe(1);
    expect(err).toContain("the vault does not accept the account token\nhint: sign in again");
  });
});

test("a service that is down is unavailable, not a wrong code", async () => {
  const config = [
    "--config",
    configure("hugo.yaml", { subject: "hugo", url: "http://127.0.0.1:1", retrySeconds: 2 }),
    "--json",
  ];
  const { code, json, err } = await client("hugo", ["recover", ...config, "--code-file", "right"]);
  expect(json()).toEqual({ error: expect.objectContaining({ code: "unavailable" }) });
  expect(code).toBe(1);
  expect(err).toContain("cannot reach site-a at http://127.0.0.1:1; trying again for 2 seconds");
  expect(err).toContain("strongroom: cannot reach site-a at http://127.0.0.1:1\nhint: ");
});

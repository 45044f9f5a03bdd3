/** `strongroom fleet init` as somebody types it: what it says, what it refuses, and what it leaves alone. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { parse, stringify } from "yaml";
import { fleetCommand } from "../../src/cli/fleet.ts";
import { EXAMPLE, loadFleetConfig } from "../../src/cli/fleet-config.ts";
import { tokenCommand } from "../../src/cli/token.ts";
import { type Ran, runCommand } from "../support/command.ts";
import { blankFleetTokens } from "../support/fleet-tokens.ts";

let blank: Awaited<ReturnType<typeof blankFleetTokens>>;
let file: string;

beforeAll(async () => {
  blank = await blankFleetTokens({ sites: 3, threshold: 2, fleet: "cli" });
  file = join(blank.dir, "fleet.yaml");
});
afterAll(() => blank.remove());
afterEach(() => vi.restoreAllMocks());

const run = (command: "fleet" | "token", ...args: string[]): Promise<Ran> =>
  runCommand(command === "fleet" ? fleetCommand() : tokenCommand(), args);
const init = (...more: string[]): Promise<Ran> => run("fleet", "init", "--config", file, ...more);

/** The fleet's file with changes: a function of what it says otherwise. */
function write(change: (config: ReturnType<typeof plain>) => object = (config) => config): void {
  writeFileSync(file, stringify(change(plain())));
}
const plain = (): typeof blank.config => structuredClone(blank.config);
const site = (index: number): (typeof blank.config)["sites"][number] => {
  const found = plain().sites[index];
  if (!found) throw new Error(`no site ${index}`);
  return found;
};

describe.sequential("from blank tokens to a fleet", () => {
  test("a dry run says what would be made, and makes nothing", async () => {
    write();
    const { stdout, stderr, code } = await init("--dry-run", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ fleet: "cli", threshold: 2, dryRun: true, state: "planned" });
    expect(stderr).toContain("3 sites would get keys of their own; 8 fleet keys would be made, 18 copies");
    expect(existsSync(blank.config.manifest)).toBe(false);
  });

  test("makes the fleet: a table of keys and sites on stdout, what is done on stderr, no PIN anywhere", async () => {
    const { stdout, stderr, code } = await init();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^key +site-a +site-b +site-c$/m);
    expect(stdout).toMatch(/^ake +sealed +sealed +sealed$/m);
    expect(stdout).toMatch(/^share-kek\.0 +no holder +sealed +sealed$/m);
    expect(stdout).toMatch(/^share-mac\.2 +sealed +sealed +no holder$/m);
    expect(stderr).toContain("site-b: unwrapping fleet keys");
    expect(stderr).toMatch(/manifest .*manifest\.json: written\nSHA-256 [0-9a-f]{64}\n$/);
    for (const { pinFile, soPinFile } of blank.tokens)
      for (const secret of [pinFile, soPinFile])
        expect(stdout + stderr).not.toContain(readFileSync(secret, "utf8").trim());
  });

  test("again: all is where it belongs, nothing is changed", async () => {
    const bytes = readFileSync(blank.config.manifest);
    const { stdout, stderr, code } = await init("--json");
    expect(code).toBe(0);
    const said: { sites: { keys: { state: string }[]; refusals: object[]; temporary: string[] }[] } =
      JSON.parse(stdout);
    expect(said).toMatchObject({ state: "unchanged", manifest: { state: "unchanged" } });
    for (const one of said.sites) {
      expect(one.keys.every(({ state }) => state === "ok")).toBe(true);
      expect(one.refusals).toHaveLength(one.keys.length);
      expect(one.temporary).toEqual([]);
    }
    expect(stderr).toContain("nothing was changed");
    expect(readFileSync(blank.config.manifest)).toEqual(bytes);
  });

  test("the manifest and the tokens have to agree", async () => {
    write((config) => ({ ...config, maxAttempts: 9 }));
    expect(await init()).toMatchObject({ code: 2, error: { code: "manifest-invalid" } });
    // Another order of sites or another threshold is another fleet.
    write((config) => ({ ...config, sites: [...config.sites].reverse() }));
    expect(await init()).toMatchObject({ error: { code: "key-drift" } });
    write((config) => ({ ...config, threshold: 1 }));
    expect(await init()).toMatchObject({ error: { code: "key-drift" } });
    // A new fleet under a manifest that exists: its keys are not made.
    write((config) => ({ ...config, fleet: "other" }));
    expect(await init()).toMatchObject({ code: 2, error: { code: "manifest-invalid" } });
    write();
  });

  test("`token inventory` and `token provision --dry-run` know the token of a site by the manifest", async () => {
    const [hsm] = blank.tokens;
    if (!hsm) throw new Error("no token");
    hsm.use();
    const member = ["--uri", hsm.uri, "--manifest", blank.config.manifest];
    const shown = await run("token", "inventory", ...member, "--site", "site-a", "--json");
    expect(shown.code).toBe(0);
    expect(JSON.parse(shown.stdout)).toMatchObject({ missing: [] });
    expect((await run("token", "inventory", ...member, "--site", "site-b")).error).toMatchObject({
      code: "key-drift",
    });
    expect((await run("token", "inventory", ...member)).error).toMatchObject({ code: "usage" });

    const provision = ["provision", ...member, "--fleet", "cli", "--site", "site-a"];
    const checked = await run("token", ...provision, "--dry-run", "--json");
    expect(checked.code).toBe(0);
    expect(new Set(JSON.parse(checked.stdout).keys.map((key: { state: string }) => key.state))).toEqual(
      new Set(["ok"]),
    );
    expect((await run("token", ...provision)).error).toMatchObject({ code: "usage" });
  });
});

describe("refused before a token is touched", () => {
  test("hardware", async () => {
    write((config) => ({
      ...config,
      sites: config.sites.map((one, i) =>
        i === 1 ? { ...one, token: { ...one.token, profile: "luna7" } } : one,
      ),
    }));
    const { error } = await init();
    expect(error).toMatchObject({ code: "token-unsuitable", hint: expect.stringContaining("ceremony") });
  });

  test.each<[string, (config: ReturnType<typeof plain>) => object, RegExp]>([
    ["two sites", (c) => ({ ...c, sites: c.sites.slice(0, 2) }), /sites: not 1, 3, 5 or 7 sites/],
    ["more than a majority", (c) => ({ ...c, threshold: 3 }), /:\d+:\d+: threshold: .*from 1 to 2/],
    ["one name twice", (c) => ({ ...c, sites: [site(0), site(0), site(2)] }), /two sites have one name/],
    [
      "a key that is none",
      (c) => ({ ...c, treshold: 2 }),
      /unknown key "treshold" — did you mean "threshold"/,
    ],
    ["no manifest", (c) => ({ ...c, manifest: undefined }), /manifest: is missing — write the path/],
    [
      "a PIN in the file",
      (c) => ({ ...c, sites: [{ ...site(0), token: { ...site(0).token, pin: "1234" } }, site(1), site(2)] }),
      /sites\.0\.token: unknown key "pin"/,
    ],
    [
      "a URI without the PIN's file",
      (c) => ({
        ...c,
        sites: [
          { ...site(0), token: { ...site(0).token, uri: "pkcs11:token=a?module-path=/lib/a.so" } },
          site(1),
          site(2),
        ],
      }),
      /sites\.0\.token\.uri: the URI names no pin-source/,
    ],
  ])("%s: file, line, column and fix", (_, change, message) => {
    write(change);
    expect(() => loadFleetConfig(file)).toThrowError(
      expect.objectContaining({ code: "config-invalid", message: expect.stringMatching(message) }),
    );
    expect(() => loadFleetConfig(file)).toThrowError(/fleet\.yaml:\d+:\d+: /);
  });
});

test("the file that --help shows can be read, the majority being the threshold where none is given", () => {
  const [first] = parse(EXAMPLE).sites;
  const three = ["a", "b", "c"].map((name) => ({ ...first, name, url: `https://${name}.example` }));
  const { threshold: _, ...rest } = parse(EXAMPLE);
  writeFileSync(file, stringify({ ...rest, sites: three }));
  expect(loadFleetConfig(file)).toMatchObject({ threshold: 2, manifest: join(blank.dir, "manifest.json") });
});

test("a security officer's PIN that is nowhere is asked for by name, not at a terminal", async () => {
  const bare = await blankFleetTokens({ sites: 3, threshold: 2 });
  try {
    const sites = bare.config.sites.map(({ token, ...one }) => ({
      ...one,
      token: { ...token, soPinSource: undefined },
    }));
    writeFileSync(file, stringify({ ...bare.config, sites }));
    const { error } = await init();
    expect(error).toMatchObject({ code: "pin-unavailable", hint: expect.stringContaining("soPinSource") });
    // The officer's PIN was all that was missing: the next run goes on.
    writeFileSync(file, stringify(bare.config));
    expect((await init()).code).toBe(0);
  } finally {
    bare.remove();
  }
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import { loadServiceConfig } from "../../src/service/config.ts";
import { configKeys } from "../../src/service/config-schema.ts";
import { locateKey } from "../../src/token/yaml-config.ts";

const EXAMPLE = resolve("hsm-config/sites/example-site.yaml");
const example = readFileSync(EXAMPLE, "utf8");
const dir = mkdtempSync(join(tmpdir(), "strongroom-config-"));
const file = join(dir, "site.yaml");
afterAll(() => rmSync(dir, { recursive: true }));

/** The problems of a file, each without the file's name. */
function problems(text: string): string[] {
  writeFileSync(file, text);
  try {
    loadServiceConfig(file);
  } catch (error) {
    if (!isStrongroomError(error, "config-invalid")) throw error;
    return error.message.split("\n").map((line) => line.replace(`${file}:`, ""));
  }
  return [];
}

/** The example with one line replaced, and the number of that line. */
function changed(from: string, to: string): { text: string; line: number } {
  expect(example.split(from).length - 1, `"${from}" occurs once`).toBe(1);
  return {
    text: example.replace(from, to),
    line: example.slice(0, example.indexOf(from)).split("\n").length,
  };
}

describe("the example", () => {
  test("loads, with paths relative to itself and every default filled in", () => {
    const config = loadServiceConfig(EXAMPLE);
    expect(config.manifest).toBe(resolve("hsm-config/sites/manifest.json"));
    expect(config.store.lmdb?.path).toBe(resolve("hsm-config/sites/records"));
    expect(config.issuers[0]?.jwksFile).toBe(resolve("hsm-config/sites/app-issuer.jwks.json"));
    expect(config.token.profile).toBe("softhsm2");
    expect(config.policy).toEqual({ maxAttempts: 10, evaluationBurst: 30, evaluationsPerDay: 30 });
  });

  test("explains every key that exists", () => {
    const store = readFileSync(resolve("hsm-config/etcd/store.yaml"), "utf8");
    for (const key of configKeys()) {
      const name = key.split(".").at(-1);
      const file = key.startsWith("store.etcd.") ? store : example;
      expect(file, key).toMatch(new RegExp(`^[# -]*${name}:|^[# -].*[{ ]${name}:`, "m"));
    }
    expect(configKeys()).toContain("store.etcd.shards.ranges");
  });

  test("names the true defaults in what it has commented out", () => {
    // Every comment that is a line of YAML, uncommented, leaves the configuration as it was.
    const uncommented = example.replace(/^# ( *)((?:#)|(?:[a-zA-Z]+:(?: [\w.]+)?$))/gm, "$1$2");
    expect(uncommented).toMatch(/^ {2}requestTimeoutMs: 10000$/m);
    writeFileSync(
      file,
      uncommented.replace(/^ {2}# (workers|queueLimit|deadlineMs|evaluation\w+):/gm, "  $1:"),
    );
    const { operations, ...rest } = loadServiceConfig(file);
    expect(operations).toEqual({ host: "127.0.0.1", port: 8441 });
    // Paths differ, for the copy is in another directory.
    const { fleet, site, listen, token, policy, limits, trustProxy, browserOrigins, log, drain } =
      loadServiceConfig(EXAMPLE);
    expect(rest).toMatchObject({ fleet, site, listen, token, policy, limits, trustProxy, log, drain });
    expect(rest.browserOrigins).toBe(browserOrigins);
  });
});

describe("what is wrong is said with its place and its fix", () => {
  test("an unknown key: the nearest known one", () => {
    const { text, line } = changed("  port: 8440\n", "  port: 8440\n  hots: ::1\n");
    expect(problems(text)).toEqual([`${line + 1}:3: listen: unknown key "hots" — did you mean "host"?`]);
  });

  test("an unknown key like no other: the known ones", () => {
    expect(problems(`${example}\nzzzzzzzzzz: 1\n`)[0]).toMatch(
      /^\d+:1: unknown key "zzzzzzzzzz" — known keys: fleet, /,
    );
  });

  test("a wrong type", () => {
    const { text, line } = changed("  maxAttempts: 10\n", "  maxAttempts: ten\n");
    expect(problems(text)).toEqual([
      `${line}:16: policy.maxAttempts: expected number, received string — write a whole number of wrong codes from 1 to 100`,
    ]);
  });

  test("a missing key: the place where it belongs", () => {
    const { text, line } = changed("  port: 8440\n", "");
    expect(problems(text)).toEqual([
      `${line - 1}:3: listen.port: is missing — write a TCP port, e.g. 8440; 0 takes any free one`,
    ]);
  });

  test.each([
    ["a value out of bounds", "  port: 8440\n", "  port: 84400\n", /listen\.port: .*65535/],
    [
      "a secret algorithm",
      "algorithms: [EdDSA]",
      "algorithms: [EdDSA, HS256]",
      /issuers\.0\.algorithms\.1: .*EdDSA, ES256, RS256/,
    ],
    ["no signature at all", "algorithms: [EdDSA]", "algorithms: [none]", /issuers\.0\.algorithms\.0: /],
    ["keys over plain http", "jwksUrl: https:", "jwksUrl: http:", /issuers\.1\.jwksUrl: not an https: URL/],
    [
      "two sources of keys",
      "jwksFile: ./app-issuer.jwks.json",
      "jwksFile: a\n    jwksUrl: https://a.example",
      /issuers\.0: needs exactly one/,
    ],
    [
      "an issuer twice",
      "issuer: https://accounts.other.example",
      "issuer: https://accounts.app.example",
      /issuers: an issuer occurs twice/,
    ],
    [
      "a PIN in the URI",
      "pin-source=file:/etc/strongroom/site-a.pin",
      "pin-value=271828",
      /token\.uri: .*pin-value is refused — .*mode 0600/,
    ],
    [
      "a URI without module",
      "module-path=/usr/lib/softhsm/libsofthsm2.so&",
      "",
      /token\.uri: the URI names no module-path/,
    ],
    ["trust in everybody", "# trustProxy: false", "trustProxy: true", /trustProxy: .*the number of proxies/],
    ["trust in no address", "# trustProxy: false", "trustProxy: [10.0.0.0/33]", /trustProxy/],
    ["a key of JavaScript objects", "# trustProxy: false", "__proto__: {}", /unknown key "__proto__"/],
  ])("%s", (_, from, to, expected) => {
    const { text } = changed(from, to);
    const found = problems(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
    expect(found[0]).toMatch(/^\d+:\d+: /);
    expect(found[0]).not.toContain("271828");
  });

  test("several things at once: a line for each", () => {
    const { text } = changed("  port: 8440\n", "  port: x\n  hots: ::1\n");
    expect(problems(text)).toHaveLength(2);
  });

  test("YAML that is none, a key given twice, an empty file, no file", () => {
    expect(problems("fleet: [\n")[0]).toMatch(/^\d+:\d+: /);
    expect(problems(`${example}\nfleet: other\n`)[0]).toMatch(/^\d+:1: .*unique/i);
    expect(problems("")[0]).toMatch(/ is empty$/);
    expect(() => loadServiceConfig(join(dir, "absent.yaml"))).toThrow(
      expect.objectContaining({ code: "config-invalid" }),
    );
  });

  test("aliases cannot be made to explode", () => {
    const bomb = [
      "a: &a [x]",
      ...Array.from("bcdefghij", (n, i) => `${n}: &${n} [${`*${"abcdefghij"[i]},`.repeat(9)}]`),
    ];
    expect(() => problems(bomb.join("\n"))).not.toThrow();
    expect(problems(bomb.join("\n")).length).toBeGreaterThan(0);
  });
});

test("a key is found again when what it names turns out wrong", () => {
  const line = example.split("\n").findIndex((text) => text.startsWith("manifest:")) + 1;
  expect(locateKey(EXAMPLE, "manifest")).toBe(`${EXAMPLE}:${line}:11`);
});

test.each([[1], [["10.0.0.0/8", "::1", "loopback"]]])("trustProxy: %j", (value) => {
  writeFileSync(file, changed("# trustProxy: false", `trustProxy: ${JSON.stringify(value)}`).text);
  expect(loadServiceConfig(file).trustProxy).toEqual(value);
});

describe("browserOrigins", () => {
  const withOrigins = (value: unknown): string =>
    changed('# browserOrigins: "*"', `browserOrigins: ${JSON.stringify(value)}`).text;

  test.each([
    ["*"],
    [[]],
    [["https://app.example", "http://localhost:5173", "https://[::1]:8443", "capacitor://localhost"]],
  ])("%j", (value) => {
    writeFileSync(file, withOrigins(value));
    expect(loadServiceConfig(file).browserOrigins).toEqual(value);
  });

  // Browsers write origins in one way, and what they write is compared.
  test.each([
    ["app.example"],
    ["https://app.example/"],
    ["https://app.example/page"],
    ["https://App.example"],
    ["https://app.example:443"],
    ["https://*.app.example"],
    ["https://user@app.example"],
    ["file://"],
    ["null"],
    ["*"],
  ])("no origin in a list: %s", (origin) => {
    expect(problems(withOrigins([origin]))).toEqual([
      expect.stringMatching(/browserOrigins.*list of origins/),
    ]);
  });
});

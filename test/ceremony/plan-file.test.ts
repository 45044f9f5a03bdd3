/** Reading a plan: its bytes as they are, every fault with line, column and what to write. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { afterAll, describe, expect, test } from "vitest";
import { concat, toHex, utf8 } from "../../src/base/bytes.ts";
import { isStrongroomError, type StrongroomError } from "../../src/base/errors.ts";
import { checkPlan } from "../../src/ceremony/plan-check.ts";
import { decodePlan, planSchema } from "../../src/ceremony/plan-file.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { schemaKeys } from "../../src/token/yaml-config.ts";

const EXAMPLES = "hsm-config/ceremonies";
const three = readFileSync(join(EXAMPLES, "three-sites.yaml"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "strongroom-plan-"));
afterAll(() => rmSync(folder, { recursive: true }));

function refused(text: string | Uint8Array): StrongroomError {
  try {
    decodePlan(typeof text === "string" ? utf8(text) : text, "plan.yaml");
  } catch (error) {
    if (isStrongroomError(error, "plan-invalid")) return error;
    throw error;
  }
  throw new Error("the plan was accepted");
}

describe("the examples", () => {
  const files = readdirSync(EXAMPLES).filter((file) => file.endsWith(".yaml"));

  test("are there for one, three and five sites, and for what comes later", () => {
    expect(files).toEqual([
      "five-sites.yaml",
      "one-site.yaml",
      "replace.yaml",
      "retire.yaml",
      "three-sites.yaml",
    ]);
  });

  test.each(files)("%s can work, and is in the form of production", (file) => {
    const { plan, bytes, sha256: hash } = readPlan(join(EXAMPLES, file));
    expect(checkPlan(plan).warnings.length).toBeGreaterThan(0);
    expect(plan.mode).toBe("production");
    expect(hash).toBe(toHex(sha256(bytes)));
    expect(bytes).toEqual(new Uint8Array(readFileSync(join(EXAMPLES, file))));
  });

  test("the one with three sites explains every key", () => {
    for (const key of schemaKeys(planSchema)) {
      const last =
        key
          .split(".")
          .filter((part) => part !== "[]")
          .at(-1) ?? "";
      expect(three, key).toMatch(new RegExp(`^[ #-]*${last}:`, "m"));
    }
  });
});

describe("a fault is named with its place and what to write", () => {
  test.each([
    [
      "an unknown key",
      three.replace("threshold: 2", "treshold: 2"),
      /plan\.yaml:\d+:1: .*did you mean "threshold"/,
    ],
    [
      "a missing key",
      three.replace(/^maxAttempts.*$/m, ""),
      /plan\.yaml:\d+:\d+: maxAttempts: is missing — write/,
    ],
    [
      "a wrong kind",
      three.replace("kind: create", "kind: make"),
      /plan\.yaml:\d+:7: kind: .*create, replace or retire/,
    ],
    ["a day that is none", three.replace("2027-03-01", "2027-02-30"), /date: .* — write the day/],
    ["a PIN in a URI", three.replace("?module-path", "?pin-value=1234&module-path"), /pin-value is refused/],
    ["a URI without module", three.replace(/\?module-path=\S+/, ""), /the URI names no module-path/],
    ["a serial that is a number", three.replace('serial: "1000001"', "serial: 1000001"), /serial.*in quotes/],
    ["a serial that no token has", three.replace('"1000001"', '"12345678901234567"'), /root\.token\.serial/],
    [
      "a key that is none",
      three.replace(/publicKey: "0f/, 'publicKey: "0F'),
      /members\.0\.publicKey: not an Ed25519/,
    ],
    [
      "a name with a line break",
      three.replace("Officer One", '"Officer\\nOne"'),
      /members\.0\.name: not a name/,
    ],
    [
      "a name that reads backwards",
      three.replace("Officer One", '"\\u202EenO"'),
      /members\.0\.name: not a name/,
    ],
    ["a name that is a path", three.replace("Officer One", "../../Officer"), /members\.0\.name: not a name/],
    ["a name with a folder", three.replace("Officer One", "One/Two"), /members\.0\.name: not a name/],
    [
      "a name that not every file system can have",
      three.replace("Officer One", '"Ade\\u0301"'),
      /members\.0\.name: not a name/,
    ],
    ["a title with a line break", three.replace(/^title: .*$/m, 'title: "a\\nb"'), /title: .*do not print/],
    ["an unknown policy", three.replace("soPin: split", "soPin: keep"), /credentials/],
    [
      "evidence with an absolute path",
      `${three}\npredecessor: {manifest: "${"ab".repeat(32)}", evidence: /x}`,
      /relative/,
    ],
    ["a key twice", `${three}\nfleet: other\n`, /plan\.yaml:\d+:\d+: .*unique/i],
    ["a second document", `${three}\n---\nfleet: other\n`, /plan\.yaml:\d+/],
  ])("%s", (_, text, message) => {
    expect(text).not.toBe(three);
    expect(refused(text).message).toMatch(message);
  });

  test("bytes that are no text, too many bytes, a bomb of aliases, and nothing at all", () => {
    refused(concat(utf8(three), Uint8Array.of(0xff)));
    refused(`${three}\n# ${"x".repeat(300_000)}`);
    const bomb = [
      "a: &a [x, x]",
      ...Array.from({ length: 12 }, (_, i) => `b${i}: &b${i} [${`*${i ? `b${i - 1}` : "a"}, `.repeat(9)}]`),
    ];
    refused(bomb.join("\n"));
    refused("");
  });

  test("a file that is not there", () => {
    expect(() => readPlan(join(folder, "none.yaml"))).toThrow(
      expect.objectContaining({ code: "plan-invalid" }),
    );
  });
});

test("one byte more is another plan with the same content", () => {
  const file = join(folder, "plan.yaml");
  writeFileSync(file, three);
  const first = readPlan(file);
  writeFileSync(file, `${three}\n`);
  const second = readPlan(file);
  expect(second.plan).toEqual(first.plan);
  expect(second.sha256).not.toBe(first.sha256);
});

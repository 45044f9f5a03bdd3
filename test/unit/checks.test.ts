/** Each check that guards the code base is proved able to fail: a violation is planted in a copy, and found. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const copied = [
  "src",
  "test",
  "scripts",
  "package.json",
  "tsconfig.json",
  "biome.json",
  ".oxlintrc.json",
  "knip.json",
  "vitest.config.ts",
];
let copy = "";

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "strongroom-checks-"));
  for (const name of copied) cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  execFileSync("git", ["init", "-q"], { cwd: copy });
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** Runs a check in the copy with the given files planted; returns its output, or undefined if it passed. */
function check(command: readonly string[], planted: Readonly<Record<string, string>>): string | undefined {
  for (const [name, text] of Object.entries(planted)) writeFileSync(join(copy, name), text);
  try {
    execFileSync("npx", ["--no-install", ...command], { cwd: copy, stdio: "pipe" });
    return undefined;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    return stdout.toString() + stderr.toString();
  } finally {
    for (const name of Object.keys(planted)) rmSync(join(copy, name));
  }
}

const biome = ["biome", "lint", "--max-diagnostics=200", "src"];

const forbidden: readonly (readonly [file: string, specifier: string])[] = [
  ["src/base/planted.ts", "../wire/cbor.ts"],
  ["src/base/planted.ts", "./node/durable-file.ts"],
  ["src/base/node/planted.ts", "../../store/reserved-space.ts"],
  ["src/wire/planted.ts", "../vault/record.ts"],
  ["src/wire/planted.ts", "../base/node/durable-file.ts"],
  ["src/crypto/planted.ts", "../token/token.ts"],
  ["src/crypto/planted.ts", "node:crypto"],
  ["src/crypto/planted.ts", "./node/p256.ts"],
  ["src/token/planted.ts", "../keys/roles.ts"],
  ["src/keys/planted.ts", "../vault/record.ts"],
  ["src/store/planted.ts", "../vault/record.ts"],
  ["src/vault/planted.ts", "../service/config.ts"],
  ["src/fleet/planted.ts", "../service/config.ts"],
  ["src/fleet/planted.ts", "../ceremony/plan.ts"],
  ["src/ceremony/planted.ts", "../service/config.ts"],
  ["src/ceremony/planted.ts", "../cli/terminal.ts"],
  ["src/service/planted.ts", "../cli/terminal.ts"],
  ["src/client/planted.ts", "../crypto/node/p256.ts"],
  ["src/client/planted.ts", "../vault/record.ts"],
  ["src/client/planted.ts", "node:fs"],
  ["src/crypto/planted.ts", "../merkle/tree.ts"],
  ["src/merkle/planted.ts", "../trust/pins.ts"],
  ["src/merkle/planted.ts", "node:crypto"],
  ["src/trust/planted.ts", "../token/token.ts"],
  ["src/trust/planted.ts", "node:fs"],
  ["src/ceremony/planted.ts", "../auditor/log.ts"],
  ["src/auditor/planted.ts", "../service/config.ts"],
  ["src/auditor/planted.ts", "../client/index.ts"],
  ["src/auditor/planted.ts", "express"],
  ["src/client/planted.ts", "../auditor/log.ts"],
  ["src/web/planted.ts", "../auditor/log.ts"],
  ["src/web/planted.ts", "../client/index.ts"],
  ["src/web/planted.ts", "node:crypto"],
  ["src/cli/planted.ts", "../web/words.ts"],
  ["src/vault/planted.ts", "pkcs11js"],
  ["src/keys/planted.ts", "graphene-pk11"],
  ["src/vault/planted.ts", "lmdb"],
  ["src/cli/planted.ts", "express"],
];

test("biome refuses every import that a folder must not have", () => {
  const planted = forbidden.map(
    ([file, specifier], i) => [file.replace("planted", `planted-${i}`), specifier] as const,
  );
  const output = check(
    [...biome, "--reporter=github"],
    Object.fromEntries(
      planted.map(([file, specifier]) => [
        file,
        `import * as planted from "${specifier}";\nexport const x: unknown = planted;\n`,
      ]),
    ),
  );
  for (const [file] of planted)
    expect(output).toMatch(new RegExp(`title=lint/style/noRestrictedImports,file=${join(copy, file)},`));
});

test("biome finds an import cycle", () => {
  const output = check(biome, {
    "src/base/planted-a.ts": 'import { b } from "./planted-b.ts";\nexport const a = (): unknown => b;\n',
    "src/base/planted-b.ts": 'import { a } from "./planted-a.ts";\nexport const b = (): unknown => a;\n',
  });
  expect(output).toMatch(/src\/base\/planted-a\.ts\S* lint\/suspicious\/noImportCycles/);
});

test("oxlint finds a floating promise", () => {
  const output = check(["oxlint", "--type-aware", "--format=unix", "src"], {
    "src/base/planted.ts":
      "async function work(): Promise<void> {}\nexport function planted(): void {\n  work();\n}\n",
  });
  expect(output).toMatch(/^src\/base\/planted\.ts:.*no-floating-promises/m);
});

test("knip finds an unused export, an unused file and an unused dependency", () => {
  const unusedExport = check(["knip", "--no-config-hints"], {
    "src/base/planted.ts": "export const planted = 1;\n",
  });
  expect(unusedExport).toContain("src/base/planted.ts");
  const manifest = JSON.parse(execFileSync("cat", [join(root, "package.json")], { encoding: "utf8" }));
  manifest.dependencies["left-over"] = "1.0.0";
  const unusedDependency = check(["knip", "--no-config-hints"], { "package.json": JSON.stringify(manifest) });
  cpSync(join(root, "package.json"), join(copy, "package.json"));
  expect(unusedDependency).toContain("left-over");
});

test("tsc finds a type error, and an export without a type", () => {
  const output = check(["tsc"], { "src/base/planted.ts": 'export const planted: number = "text";\n' });
  expect(output).toMatch(/^src\/base\/planted\.ts\(.*TS2322/m);
});

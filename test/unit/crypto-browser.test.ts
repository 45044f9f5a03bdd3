/** The files at the root of src/crypto run in browsers: none reaches for a Node module, on any path. */
import { readdirSync } from "node:fs";
import { build } from "esbuild";
import { expect, test } from "vitest";

const ROOT = "src/crypto";
const files = readdirSync(ROOT).filter((name) => name.endsWith(".ts"));

/** The bundle's inputs; throws where one of them is a Node module. */
async function bundle(entry: string): Promise<string[]> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "browser",
    format: "esm",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  expect(Object.values(result.metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
  return Object.keys(result.metafile.inputs);
}

test("there are browser-safe files to look at", () => {
  expect(files).toEqual(expect.arrayContaining(["client-keys.ts", "hpke-sender.ts", "key-id.ts"]));
});

test.each(files)("%s", async (name) => {
  const inputs = await bundle(`${ROOT}/${name}`);
  expect(inputs.filter((input) => /^node:|crypto\/node\//.test(input))).toEqual([]);
});

test("a file that does reach for one is found", async () => {
  await expect(bundle(`${ROOT}/node/seal.ts`)).rejects.toThrow(/node:crypto/);
});

/** The SDK is what a browser loads: no Node module in it, and no more bytes than it must have. */
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

test("the SDK bundles for browsers without any Node module", async () => {
  const result = await build({
    entryPoints: ["src/client/index.ts"],
    bundle: true,
    minify: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  expect(result.warnings).toEqual([]);
  const inputs = Object.keys(result.metafile.inputs);
  expect(inputs).toContain("src/client/vault-client.ts");
  expect(
    inputs.filter((name) => /^(?:node:|src\/(?!base|wire|crypto\/[^/]+\.ts|merkle|trust|client))/.test(name)),
  ).toEqual([]);
  const imported = Object.values(result.metafile.outputs).flatMap(({ imports }) => imports);
  expect(imported).toEqual([]);

  const [output] = result.outputFiles;
  const bytes = output?.contents ?? new Uint8Array(0);
  const packed = gzipSync(bytes).length;
  process.stderr.write(`client SDK for browsers: ${bytes.length} bytes, ${packed} gzipped\n`);
  // zod's messages in fifty languages come along where anybody imports `{ z }`.
  expect(packed).toBeLessThan(300_000);
});

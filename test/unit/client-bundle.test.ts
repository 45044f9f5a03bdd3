/** The SDK is what a browser loads: no Node module in it, and no more bytes than it must have. */
import { gzipSync } from "node:zlib";
import { type BuildResult, build } from "esbuild";
import { expect, test } from "vitest";

const bundled = (entry: string): Promise<BuildResult<{ metafile: true; write: false }>> =>
  build({
    stdin: { contents: entry, resolveDir: "." },
    bundle: true,
    minify: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });

test("the SDK bundles for browsers without any Node module", async () => {
  const result = await bundled('export * from "./src/client/index.ts"');
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

test("an error is known in another bundle than it comes from", async () => {
  const { outputFiles } = await bundled(
    'export { isStrongroomError, parseRecoveryCode } from "./src/client/index.ts"',
  );
  const text = Buffer.from(outputFiles[0]?.contents ?? []).toString("base64");
  const [one, other] = await Promise.all(
    ["one", "other"].map((name) => import(`data:text/javascript;base64,${text}#${name}`)),
  );
  let thrown: unknown;
  try {
    one.parseRecoveryCode("");
  } catch (error) {
    thrown = error;
  }
  for (const { isStrongroomError } of [one, other]) {
    expect(isStrongroomError(thrown, "recovery-code-invalid")).toBe(true);
    expect(isStrongroomError(thrown, "destroyed")).toBe(false);
    expect(isStrongroomError(new Error("other"))).toBe(false);
  }
});

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

/**
 * Starts the built children of tokens, stations and auditors: from source every one of the thousand that the suite starts would
 * be compiled anew. test/support/built.ts sees to it that the build is that of the sources.
 */
const PARENTS = [
  "token/worker-process",
  "keys/site-process",
  "ceremony/station-process",
  "auditor/evidence-process",
] as const;
const builtChildren = {
  name: "built-children",
  enforce: "pre",
  transform(code: string, id: string): string | undefined {
    const parent = PARENTS.find((name) => id.endsWith(`/src/${name}.ts`));
    if (parent === undefined) return undefined;
    const built = pathToFileURL(join(process.cwd(), `dist/${parent}.js`)).href;
    return code.replaceAll("import.meta.url", JSON.stringify(built));
  },
} as const;

const config: ViteUserConfig = defineConfig({
  plugins: [builtChildren],
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/built.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
export default config;

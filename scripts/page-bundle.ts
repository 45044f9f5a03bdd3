/** Bundles for the verification page: code that judges evidence names Node's modules, and gets what browsers have instead. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type BuildOptions, type BuildResult, build, type Plugin } from "esbuild";

const PLATFORM = resolve("src/web/platform");
const PROFILES = "hsm-config/profiles";

const inPlatform = (name: string): string => join(PLATFORM, `${name}.ts`);

/** Node's modules. What is not here fails the build. */
const MODULES: Readonly<Record<string, string>> = {
  "node:crypto": inPlatform("crypto"),
  "node:util": inPlatform("util"),
  "node:fs": inPlatform("absent"),
  "node:module": inPlatform("absent"),
  "node:path": inPlatform("absent"),
};

/** Files of ours that have another form in browsers. */
const FILES: Readonly<Record<string, string>> = {
  [resolve("src/token/profile-file.ts")]: inPlatform("profile-file"),
  [resolve("src/token/paper-crypto.ts")]: inPlatform("paper-crypto"),
};

const platform: Plugin = {
  name: "platform",
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path }) => {
      const found = MODULES[path];
      return found === undefined
        ? { errors: [{ text: `${path} has no form in browsers` }] }
        : { path: found };
    });
    // zod's messages in fifty languages are a third of the page.
    bundler.onResolve({ filter: /\/locales\/index\.js$/ }, ({ path, resolveDir }) => ({
      path: resolve(resolveDir, path.replace("index.js", "en.js")),
    }));
    bundler.onResolve({ filter: /\/(?:profile-file|paper-crypto)\.ts$/ }, ({ path, resolveDir }) => {
      const found = FILES[resolve(resolveDir, path)];
      return found === undefined ? undefined : { path: found };
    });
  },
};

function profiles(): Readonly<Record<string, string>> {
  const files = readdirSync(PROFILES).filter((file) => file.endsWith(".yaml"));
  return Object.fromEntries(
    files.map((file) => [basename(file, ".yaml"), readFileSync(join(PROFILES, file), "utf8")]),
  );
}

/** One script for a browser, without any module of Node. @param options besides entries and output */
export function bundleForPage(options: BuildOptions): Promise<BuildResult<{ metafile: true; write: false }>> {
  return build({
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    legalComments: "none",
    // Native modules, which are not there, are what is looked for beside a file.
    define: { STRONGROOM_PROFILES: JSON.stringify(profiles()), "import.meta.url": '""' },
    inject: [inPlatform("buffer")],
    plugins: [platform],
    ...options,
    metafile: true,
    write: false,
  });
}

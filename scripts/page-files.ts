/** The files of the verification page: two scripts, and what src/web has beside its sources. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { bundleForPage } from "./page-bundle.ts";

/** By name. */
export async function pageFiles(): Promise<ReadonlyMap<string, Uint8Array>> {
  // Classic scripts: a page that was saved and opened from a disk may not load modules.
  const { outputFiles } = await bundleForPage({
    entryPoints: { app: "src/web/app.ts", evidence: "src/web/evidence-entry.ts" },
    outdir: "dist/web",
    format: "iife",
    minify: true,
  });
  return new Map([
    ...["index.html", "style.css"].map((name) => [name, readFileSync(join("src/web", name))] as const),
    ...outputFiles.map(({ path, contents }) => [basename(path), contents] as const),
  ]);
}

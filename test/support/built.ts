/** What the tests start is built from the sources that they import. */
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const BUILT = "dist/cli/main.js";

function newest(directory: string): number {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return Math.max(...files.map((file) => statSync(join(directory, file)).mtimeMs));
}

/** Before the first test file. */
export default function setup(): void {
  const built = statSync(BUILT, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (built >= Math.max(newest("src"), statSync("tsconfig.build.json").mtimeMs)) return;
  rmSync("dist", { recursive: true, force: true });
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
}

/** Puts the verification page together, where the auditor serves it from. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pageFiles } from "./page-files.ts";

const OUT = "dist/web";

mkdirSync(OUT, { recursive: true });
for (const [name, bytes] of await pageFiles()) writeFileSync(join(OUT, name), bytes);

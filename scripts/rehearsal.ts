/**
 * What `scripts/rehearse` shows once the machine is set up. Every command is the one that a person would type; the
 * plans are the examples for security teams, with addresses of this machine.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { sha256HexOf } from "../src/base/node/sha256.ts";
import { green, say } from "../src/cli/terminal.ts";
import { demoFleetOn } from "./lib/demo-fleet.ts";
import { rehearsedDemo } from "./lib/rehearsed.ts";
import { chapter, root, strongroom, Unexpected } from "./lib/show.ts";

const { values } = parseArgs({ options: { sites: { type: "string" }, state: { type: "string" } } });
const EXAMPLES: Readonly<Record<string, string>> = { 3: "three-sites.yaml", 5: "five-sites.yaml" };

function clientConfig(dir: string): string {
  const file = join(dir, "alice.yaml");
  const issuer = join(root, "scripts/demo-issuer.mjs");
  const tokenCommand = [process.execPath, issuer, "token", join(dir, "issuer"), "demo", "alice"];
  writeFileSync(
    file,
    stringify({ manifest: "./manifest.json", tenant: "demo-app", subject: "alice", tokenCommand }),
  );
  return file;
}

async function rehearse(count: string, dir: string): Promise<void> {
  const example = EXAMPLES[count];
  if (example === undefined) throw new Unexpected("--sites takes 3 or 5");
  rmSync(dir, { recursive: true, force: true });
  chapter(`A ceremony of ${count} sites, from plan to evidence`);
  const { ceremony, sites } = await rehearsedDemo(example, "demo", dir);
  const hash = sha256HexOf(readFileSync(join(ceremony, "plan.yaml")));
  strongroom(["evidence", "verify", ceremony, "--expect-plan", hash]);

  const demo = await demoFleetOn(dir, sites);
  try {
    demo.show();
    chapter("A backup through the fleet, and back");
    const alice = clientConfig(dir);
    const [code, backup, restored] = ["alice.code", "letters.age", "restored"].map((name) =>
      join(dir, name),
    ) as [string, string, string];
    const folder = join(dir, "letters");
    mkdirSync(folder);
    writeFileSync(join(folder, "letter.txt"), "Dear Alice,\n\nkeep this safe.\n");
    strongroom(["client", "register", "--config", alice, "--generate", "--code-file", code]);
    strongroom(["client", "backup", folder, "--config", alice, "--code-file", code, "--out", backup]);
    strongroom(["client", "restore", backup, "--config", alice, "--code-file", code, "--out", restored]);
    const found = readFileSync(join(restored, "letter.txt"), "utf8");
    if (!found.includes("keep this safe")) throw new Unexpected("what came back is something else");
  } finally {
    await demo.stop();
  }
  say(green(`${count} sites: the ceremony, its evidence and its fleet work\n`));
}

try {
  const state = resolve(values.state ?? join(root, ".strongroom/rehearsal"));
  for (const count of values.sites === undefined ? ["3", "5"] : [values.sites])
    await rehearse(count, join(state, `${count}-sites`));
} catch (error) {
  if (!(error instanceof Unexpected)) throw error;
  say(`strongroom: ${error.message}`);
  process.exitCode = 1;
}

/**
 * What `scripts/rehearse` shows once the machine is set up. Every command is the one that a person would type; the
 * plans are the examples for security teams, with addresses of this machine.
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import { green, say } from "../src/cli/terminal.ts";
import { type DemoSite, demoFleetOn } from "./lib/demo-fleet.ts";
import { freePort } from "./lib/free-ports.ts";
import { chapter, root, strongroom, Unexpected } from "./lib/show.ts";

const { values } = parseArgs({ options: { sites: { type: "string" }, state: { type: "string" } } });
const EXAMPLES: Readonly<Record<string, string>> = { 3: "three-sites.yaml", 5: "five-sites.yaml" };

interface ExamplePlan {
  readonly fleet: string;
  readonly sites: readonly { readonly name: string; readonly url: string }[];
}

/** The example, with addresses on which its sites can listen here. */
async function localPlan(example: string, file: string): Promise<ExamplePlan> {
  const plan = parse(readFileSync(join(root, "hsm-config/ceremonies", example), "utf8")) as ExamplePlan;
  const local = {
    ...plan,
    fleet: "demo",
    sites: await Promise.all(
      plan.sites.map(async (site) => ({ ...site, url: `http://127.0.0.1:${await freePort()}` })),
    ),
  };
  writeFileSync(file, stringify(local));
  return local;
}

/** What a site needs of the rehearsal's directory. */
function demoSites(dir: string, ceremony: string, { sites }: ExamplePlan): readonly DemoSite[] {
  const rehearsed = parse(readFileSync(join(ceremony, "plan.yaml"), "utf8")) as {
    sites: { name: string; token: { uri: string; env: DemoSite["env"] } }[];
  };
  return sites.map(({ name, url }) => {
    const token = rehearsed.sites.find((site) => site.name === name)?.token;
    if (!token) throw new Unexpected(`the rehearsal has no site ${name}`);
    const home = join(dir, name);
    mkdirSync(home, { recursive: true, mode: 0o700 });
    return { name, url, dir: home, uri: token.uri, env: token.env };
  });
}

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
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const [file, ceremony] = [join(dir, "plan.yaml"), join(dir, "ceremony")];
  const plan = await localPlan(example, file);

  chapter(`A ceremony of ${count} sites, from plan to evidence`);
  strongroom(["ceremony", "rehearse", file, "--dir", ceremony]);
  const hash = createHash("sha256")
    .update(readFileSync(join(ceremony, "plan.yaml")))
    .digest("hex");
  strongroom(["evidence", "verify", ceremony, "--expect-plan", hash]);

  copyFileSync(join(ceremony, "manifest.json"), join(dir, "manifest.json"));
  const demo = await demoFleetOn(dir, demoSites(dir, ceremony, plan));
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

/** Fleets whose keys a rehearsed ceremony makes: from the examples for security teams, with addresses of this machine. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import type { DemoSite } from "./demo-fleet.ts";
import { freePort } from "./free-ports.ts";
import { root, strongroom, Unexpected } from "./show.ts";

interface ExamplePlan {
  readonly fleet: string;
  readonly sites: readonly { readonly name: string; readonly url: string }[];
}

export interface RehearsedDemo {
  /** The ceremony's folder, with its evidence. */
  readonly ceremony: string;
  readonly sites: readonly DemoSite[];
}

/** The example, with addresses on which its sites can listen here. */
async function localPlan(example: string, fleet: string, file: string): Promise<ExamplePlan> {
  const plan = parse(readFileSync(join(root, "hsm-config/ceremonies", example), "utf8")) as ExamplePlan;
  const local = {
    ...plan,
    fleet,
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

/**
 * Rehearses the ceremony of a plan of hsm-config/ceremonies.
 * @param dir gets the ceremony, the manifest, and a folder for each site
 */
export async function rehearsedDemo(example: string, fleet: string, dir: string): Promise<RehearsedDemo> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const [file, ceremony] = [join(dir, "plan.yaml"), join(dir, "ceremony")];
  const plan = await localPlan(example, fleet, file);
  strongroom(["ceremony", "rehearse", file, "--dir", ceremony]);
  copyFileSync(join(ceremony, "manifest.json"), join(dir, "manifest.json"));
  return { ceremony, sites: demoSites(dir, ceremony, plan) };
}

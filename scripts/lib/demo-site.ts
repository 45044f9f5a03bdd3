/** A fleet of one for the walk-through: a site on a SoftHSM token with its records in LMDB. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dim, say } from "../../src/cli/terminal.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import type { Demo } from "./demo.ts";
import { freePort } from "./free-ports.ts";
import { chapter, readyz, root, serve, Unexpected } from "./show.ts";

/** A new site, or the one of an earlier run, on the port that its manifest names. */
export async function demoSite(dir: string, wantedPort: number): Promise<Demo> {
  chapter("A site: a token with its PINs, proved fit, its keys, the fleet's manifest");
  const manifest = join(dir, "manifest.json");
  const known = existsSync(manifest)
    ? decodeManifest(Uint8Array.from(readFileSync(manifest))).sites[0]
    : undefined;
  const port = known ? new URL(known.url).port : String(wantedPort === 0 ? await freePort() : wantedPort);
  const made = spawnSync(join(root, "scripts/softhsm-site"), [dir, "--port", port], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (made.status !== 0) throw new Unexpected("the site could not be made");

  chapter("The vault");
  const url = `http://127.0.0.1:${port}`;
  const env = { SOFTHSM2_CONF: join(dir, "softhsm2.conf") };
  const child: ChildProcess = await serve(join(dir, "site.yaml"), join(dir, "service.log"), url, env);
  say(dim(`$ curl ${url}/readyz`));
  say((await readyz(url))?.text);
  const exit = once(child, "exit").then(([code]) => code as number | null);
  return {
    dir,
    fleet: "demo",
    manifest,
    spare: 0,
    urls: [url],
    show: () => undefined,
    kill: async () => undefined,
    revive: async () => undefined,
    ended: () => exit,
    async stop() {
      child.kill("SIGTERM");
      await exit;
    },
  };
}

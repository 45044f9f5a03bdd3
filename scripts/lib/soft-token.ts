/** A SoftHSM token in a directory of its own; one that is there stays. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root, Unexpected } from "./show.ts";

export interface SoftToken {
  readonly uri: string;
  readonly env: { readonly SOFTHSM2_CONF: string };
}

export function softToken(home: string, name: string): SoftToken {
  const made = spawnSync(join(root, "scripts/softhsm-site"), [home, "--site", name, "--only", "token"], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  const [uri = ""] = made.stdout.split("\n");
  if (made.status !== 0 || !uri.startsWith("pkcs11:")) throw new Unexpected(`no token for ${name}`);
  return { uri, env: { SOFTHSM2_CONF: join(home, "softhsm2.conf") } };
}

/** Where things are in an auditor's data directory. */
import { join } from "node:path";

/** What is served and mirrored of a namespace: `public/log/<ns>`. */
export function publicDirOf(dir: string, namespace: string): string {
  return join(dir, "public", "log", namespace);
}

/** What only the auditor needs: `state/<ns>`. */
export function stateDirOf(dir: string, namespace: string): string {
  return join(dir, "state", namespace);
}

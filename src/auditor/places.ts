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

export const CHECKPOINT_FILE = "checkpoint";
export const INDEX_FILE = "index.json";
/** What the auditor asks before it signs, as it applies it now; `strongroom audit verify --policy` takes it as it is. */
export const POLICY_FILE = "policy.json";

/** What is published and changes; everything else is written once. */
export const CHANGING_FILES: readonly string[] = [CHECKPOINT_FILE, INDEX_FILE, POLICY_FILE];

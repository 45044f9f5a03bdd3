/**
 * A mirror of what an auditor publishes: plain files that any web server can serve, and that the page and
 * `strongroom audit verify` read like the auditor itself. A mirror only grows: a file that is there and differs is
 * never overwritten, for one of the two is not what others were shown. The checkpoint goes last, so that whoever reads
 * the mirror meanwhile finds everything that it speaks of.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { equal, fromUtf8, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { type Checkpoint, verifyCheckpoint } from "../merkle/checkpoint.ts";
import { leafHash, rootOf } from "../merkle/tree.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "../wire/announcement.ts";
import { decodeBundle, logEntry, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import type { AuditorConfig, NamespaceConfig } from "./config.ts";
import { logKeyOf } from "./namespace-keys.ts";
import { CHANGING_FILES, CHECKPOINT_FILE, INDEX_FILE, POLICY_FILE, publicDirOf } from "./places.ts";

export interface ExportedNamespace {
  readonly namespace: string;
  readonly epochs: number;
  /** Files that were new in the mirror. */
  readonly copied: number;
}

const MAX_CHECKPOINT_BYTES = 64 * 1024;
const MAX_POLICY_BYTES = 1 << 20;

function refuse(message: string, hint?: string): StrongroomError {
  return new StrongroomError("auditor-refused", message, hint === undefined ? {} : { hint });
}

/** Paths of files below a folder, with slashes; no temporary ones. @throws file-failed for links */
function filesBelow(root: string, folder: string = root): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.startsWith(".")) return [];
    const stat = lstatSync(path);
    if (stat.isDirectory()) return filesBelow(root, path);
    if (!stat.isFile()) throw new StrongroomError("file-failed", `${path} is neither a file nor a folder`);
    return [relative(root, path).split(sep).join("/")];
  });
}

/** @returns whether the file was new @throws auditor-refused where another one is there */
async function copyUnchanging(from: string, to: string): Promise<boolean> {
  const bytes = await readIfThere(from);
  // A partial tile goes when the full one is there, which is copied too.
  if (!bytes) return false;
  if (existsSync(to)) {
    if (statSync(to).size === bytes.length && equal(Uint8Array.from(readFileSync(to)), bytes)) return false;
    throw refuse(`the mirror has another ${to}`, "keep both: one of them is not what others were shown");
  }
  await writeDurably(to, bytes);
  return true;
}

/** Everything that the checkpoint speaks of is in the mirror, and says the same. @throws auditor-refused */
async function requireWhole(mirror: string, { size: epochs, root }: Checkpoint): Promise<void> {
  let previous: string | undefined;
  const leaves: Uint8Array[] = [];
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const bytes = await readIfThere(join(mirror, "bundles", `${epoch}.json`), MAX_BUNDLE_BYTES);
    if (!bytes) throw refuse(`epoch ${epoch} has no bundle yet`, "ask again in a moment");
    const { announcement, audit, countersignature } = decodeBundle(bytes);
    const digest = sha256HexOf(utf8(announcement));
    const stored = await readIfThere(join(mirror, "announcements", `${digest}.json`), MAX_ANNOUNCEMENT_BYTES);
    if (audit.epoch !== epoch || audit.digest !== digest || !stored || fromUtf8(stored) !== announcement)
      throw refuse(`the mirror's files of epoch ${epoch} do not belong together`);
    const named = /"previous": "([0-9a-f]{64})"/.exec(announcement)?.[1];
    if (named !== previous) throw refuse(`epoch ${epoch} does not follow from the one before`);
    previous = digest;
    leaves.push(leafHash(logEntry(audit, countersignature)));
  }
  if (!equal(rootOf(leaves), root)) throw refuse("the bundles are not the entries of the checkpoint's tree");
}

async function exportNamespace(
  from: string,
  to: string,
  config: NamespaceConfig,
): Promise<ExportedNamespace> {
  // Read first: what is published after it is not waited for, what is before it is all there.
  const note = await readIfThere(join(from, CHECKPOINT_FILE), MAX_CHECKPOINT_BYTES);
  const index = await readIfThere(join(from, INDEX_FILE), MAX_CHECKPOINT_BYTES);
  if (!index) throw refuse(`the log of ${config.name} is not there yet`, "start the auditor once");
  const checkpoint = note && checkpointIn(note, config);
  const epochs = checkpoint?.size ?? 0;
  const old = await readIfThere(join(to, CHECKPOINT_FILE), MAX_CHECKPOINT_BYTES);
  if (old && checkpointIn(old, config).size > epochs)
    throw refuse(
      `the mirror of ${config.name} is ahead of this directory`,
      "which of the two is an old copy?",
    );
  let copied = 0;
  for (const path of filesBelow(from)) {
    if (CHANGING_FILES.includes(path) || isLater(path, epochs)) continue;
    if (await copyUnchanging(join(from, path), join(to, path))) copied++;
  }
  if (checkpoint) await requireWhole(to, checkpoint);
  const policy = await readIfThere(join(from, POLICY_FILE), MAX_POLICY_BYTES);
  if (policy) await writeDurably(join(to, POLICY_FILE), policy);
  await writeDurably(join(to, INDEX_FILE), index);
  if (note) await writeDurably(join(to, CHECKPOINT_FILE), note);
  return { namespace: config.name, epochs, copied };
}

/** @throws log-invalid for one that this auditor did not sign */
function checkpointIn(note: Uint8Array, config: NamespaceConfig): Checkpoint {
  return verifyCheckpoint(fromUtf8(note), { logs: [logKeyOf(config)] }).checkpoint;
}

/** A bundle whose epoch the checkpoint does not know yet: the next export brings both. */
function isLater(path: string, epochs: number): boolean {
  const epoch = /^bundles\/(\d+)\.json$/.exec(path)?.[1];
  return epoch !== undefined && Number(epoch) > epochs;
}

/**
 * @param to the mirror: new, or one made before
 * @param web the page's files, where they were built
 * @throws auditor-refused where the two are not of one history; file-failed, store-full
 */
export async function exportMirror(
  { dir, namespaces }: Pick<AuditorConfig, "dir" | "namespaces">,
  to: string,
  web: string,
): Promise<readonly ExportedNamespace[]> {
  const exported: ExportedNamespace[] = [];
  for (const config of namespaces)
    exported.push(await exportNamespace(publicDirOf(dir, config.name), join(to, "log", config.name), config));
  for (const path of filesBelow(web)) {
    const bytes = Uint8Array.from(readFileSync(join(web, path)));
    await writeDurably(join(to, path), bytes);
  }
  return exported;
}

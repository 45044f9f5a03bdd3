/**
 * What a log has published, as the disk says, against what the token remembers: only where the two agree may anything
 * more be signed. A disk can be set back, copied and edited; the token is asked.
 */
import { join } from "node:path";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere } from "../base/node/durable-file.ts";
import { parseCheckpoint } from "../merkle/checkpoint.ts";
import { logInvalid } from "../merkle/fault.ts";
import { type LogEdge, readEdge } from "../merkle/growth.ts";
import { textOf } from "../merkle/lines.ts";
import { MAX_NOTE_CHARACTERS, parseNote, type SignedNote } from "../merkle/note.ts";
import type { TileReader } from "../merkle/tiles.ts";
import type { Head } from "./anchor.ts";

/** The newest checkpoint's name below the log's prefix (C2SP tlog-tiles). */
export const CHECKPOINT = "checkpoint";

export interface Published {
  readonly edge: LogEdge;
  readonly note: SignedNote;
}

/**
 * The published checkpoint and the tiles' edge, which must have its root. Its signature is not looked at: the token
 * knows better (`requireAnchored`), and the key may be an older one.
 * @returns undefined before the first checkpoint
 * @throws log-invalid: not-canonical, wrong-origin, wrong-root, wrong-entry, missing; file-failed
 */
export async function readPublished(
  { dir, origin }: { readonly dir: string; readonly origin: string },
  read: TileReader,
): Promise<Published | undefined> {
  const bytes = await readIfThere(join(dir, CHECKPOINT), 4 * MAX_NOTE_CHARACTERS);
  if (!bytes) return undefined;
  const note = parseNote(textOf(bytes, "the checkpoint"));
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.origin !== origin) throw logInvalid("wrong-origin", checkpoint.origin);
  const edge = await readEdge(checkpoint.size, read);
  if (!equal(edge.frontier.root(), checkpoint.root))
    throw logInvalid("wrong-root", `the tiles on the disk are not those of ${checkpoint.size} entries`);
  return { edge, note };
}

/**
 * That the token remembers exactly what is published.
 * @throws auditor-refused; `details.reason` is log-behind, token-behind or forked-log
 */
export function requireAnchored(origin: string, published: Published | undefined, head: Head): void {
  const size = published?.edge.frontier.size ?? 0;
  const refused = (reason: string, message: string, hint: string): StrongroomError =>
    new StrongroomError("auditor-refused", message, { hint, details: { reason } });
  if (head.size > size)
    throw refused(
      "log-behind",
      `the token remembers ${head.size} entries of ${origin}, the disk has ${size}`,
      "this is an old copy of the data directory, or another auditor uses the token; bring back the newest copy",
    );
  if (head.size < size)
    throw refused(
      "token-behind",
      `the disk has ${size} entries of ${origin}, the token remembers ${head.size}`,
      "is it the right token? one that was set back must not sign",
    );
  if (published && !equal(head.root, published.edge.frontier.root()))
    throw refused(
      "forked-log",
      `the token remembers another root of ${size} entries of ${origin} than the disk has`,
      "two auditors used the token; find out what each of them published",
    );
}

/** Where `strongroom audit` reads what was published: an auditor or a mirror by its URL, or the files in a directory. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere } from "../base/node/durable-file.ts";
import { httpSource, MAX_PUBLISHED_BYTES, type TrustSource, tooLarge } from "../trust/source.ts";

export interface AuditPlace {
  /** As it was named. */
  readonly from: string;
  readonly source: TrustSource;
  /** What has `log/` in it, where it is a directory; else an auditor may answer questions there too. */
  readonly dir: string | undefined;
}

/** @param dir what has `log/` in it */
function directorySource(dir: string): TrustSource {
  return {
    async get(path, maxBytes = MAX_PUBLISHED_BYTES) {
      const file = join(dir, path);
      const found = statSync(file, { throwIfNoEntry: false });
      if (!found?.isFile()) return undefined;
      if (found.size > maxBytes) throw tooLarge(path);
      return readIfThere(file, maxBytes);
    },
  };
}

/** @throws usage */
export function auditPlace(from: string): AuditPlace {
  if (/^https?:\/\//.test(from)) return { from, source: httpSource(from), dir: undefined };
  if (!statSync(from, { throwIfNoEntry: false })?.isDirectory())
    throw new StrongroomError("usage", `${from} is neither a URL nor a directory`);
  // The data directory of an auditor has the tree one level down.
  const inside = join(from, "public", "log");
  const dir = statSync(inside, { throwIfNoEntry: false })?.isDirectory() ? join(from, "public") : from;
  return { from, source: directorySource(dir), dir };
}

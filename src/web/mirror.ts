/** A mirror of what an auditor publishes, that a visitor let fall on the page: read from memory, as a server's files are. */
import { type TrustSource, tooLarge } from "../trust/source.ts";
import type { FoundFile } from "./evidence.ts";

/** Evidence has files of this size at most, and attachments, which may be any. */
const MAX_BYTES = 64 << 20;
const IN_LOG = /(?:^|\/)(?<path>log\/(?<namespace>[^/]+)\/.+)$/;

/** A folder that has `log/` in it. */
export function mirrorOf(found: readonly FoundFile[]): TrustSource {
  const files = new Map<string, Blob>();
  for (const { path, blob } of found) {
    const at = IN_LOG.exec(path)?.groups?.path;
    if (at !== undefined) files.set(at, blob);
  }
  return {
    async get(path, maxBytes = MAX_BYTES) {
      const blob = files.get(path);
      if (!blob) return undefined;
      if (blob.size > maxBytes) throw tooLarge(path);
      return new Uint8Array(await blob.arrayBuffer());
    },
  };
}

/** Namespaces that a mirror has. */
export function namespacesOf(found: readonly FoundFile[]): readonly string[] {
  const names = found.flatMap(({ path }) =>
    path.endsWith("/checkpoint") ? (IN_LOG.exec(path)?.groups?.namespace ?? []) : [],
  );
  return [...new Set(names)];
}

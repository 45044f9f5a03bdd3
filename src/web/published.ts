/** The public files of an auditor (design §10): from the server that the page came from, or from a mirror that was dropped on it. */
import type { FoundFile } from "./evidence.ts";

/** Files by their paths below the page: `log/<namespace>/…`. */
export interface Published {
  /** Undefined where there is no such file. @throws TypeError where the server cannot be reached */
  get(path: string): Promise<Uint8Array | undefined>;
}

/** Nothing that is read is larger; evidence is fetched on demand, and has its own limit. */
const MAX_BYTES = 64 << 20;
const TIMEOUT_MS = 20_000;

export const fromServer: Published = {
  async get(path) {
    const response = await fetch(path, {
      cache: path.endsWith("checkpoint") || path.endsWith("index.json") ? "no-store" : "default",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    return bytes.length > MAX_BYTES ? undefined : bytes;
  },
};

/** A folder that has `log/` in it, or is one. */
export function fromFiles(found: readonly FoundFile[]): Published | undefined {
  const files = new Map<string, Blob>();
  for (const { path, blob } of found) {
    const at = /(?:^|\/)(?<path>log\/[^/]+\/.+)$/.exec(path)?.groups?.path;
    if (at !== undefined) files.set(at, blob);
  }
  if (files.size === 0) return undefined;
  return {
    async get(path) {
      const blob = files.get(path);
      return blob && blob.size <= MAX_BYTES ? new Uint8Array(await blob.arrayBuffer()) : undefined;
    },
  };
}

/** Namespaces of dropped files. */
export function namespacesOf(found: readonly FoundFile[]): readonly string[] {
  const names = found.flatMap(
    ({ path }) => /(?:^|\/)log\/(?<name>[^/]+)\/index\.json$/.exec(path)?.groups?.name ?? [],
  );
  return [...new Set(names)];
}

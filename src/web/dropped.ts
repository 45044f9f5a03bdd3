/** What a visitor lets fall on the page, or chooses: files, and folders with all that is in them. */
import { fromUtf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import type { FoundFile } from "./evidence.ts";
import { namespacesOf } from "./mirror.ts";

/** A visitor's whole disk is not read. */
const MAX_FILES = 50_000;
const MAX_DEPTH = 24;
/** Of a file that is looked into to find out what it is. */
const MAX_JSON_BYTES = 4 << 20;

export type Dropped =
  | { readonly kind: "pins" | "bundle"; readonly name: string; readonly bytes: Uint8Array }
  /** A mirror of what an auditor publishes. */
  | { readonly kind: "mirror" | "evidence"; readonly files: readonly FoundFile[] }
  | { readonly kind: "unknown"; readonly name: string };

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** A directory tells its entries in portions, the last of which is empty. */
async function entriesOf(entry: FileSystemDirectoryEntry): Promise<readonly FileSystemEntry[]> {
  const reader = entry.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<readonly FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) return all;
    all.push(...some);
  }
}

async function walk(entry: FileSystemEntry, path: string, found: FoundFile[], depth: number): Promise<void> {
  if (found.length >= MAX_FILES || depth > MAX_DEPTH) return;
  if (entry.isFile) found.push({ path, blob: await fileOf(entry as FileSystemFileEntry) });
  if (!entry.isDirectory) return;
  for (const child of await entriesOf(entry as FileSystemDirectoryEntry))
    await walk(child, `${path}/${child.name}`, found, depth + 1);
}

/** To be called while the event is handled: its items are gone afterwards. */
export async function filesOfDrop(transfer: DataTransfer): Promise<readonly FoundFile[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const files = [...transfer.files];
  const found: FoundFile[] = [];
  try {
    for (const entry of entries) if (entry) await walk(entry, entry.name, found, 0);
  } catch (cause) {
    if (!(cause instanceof DOMException)) throw cause;
    if (entries.some((entry) => entry?.isDirectory))
      throw new TypeError(
        "this browser does not let the page read a dropped folder: choose it by the button",
        {
          cause,
        },
      );
    return plainFiles(files);
  }
  return found.length > 0 ? found : plainFiles(files);
}

const plainFiles = (files: readonly File[]): readonly FoundFile[] =>
  files.map((file) => ({ path: file.name, blob: file }));

export function filesOfInput({ files }: HTMLInputElement): readonly FoundFile[] {
  return [...(files ?? [])].slice(0, MAX_FILES).map((file) => ({
    path: file.webkitRelativePath === "" ? file.name : file.webkitRelativePath,
    blob: file,
  }));
}

async function typeOf(bytes: Uint8Array): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(fromUtf8(bytes));
    return typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isStrongroomError(error)) return undefined;
    throw error;
  }
}

/** What it is, by what is in it. */
export async function recognise(found: readonly FoundFile[]): Promise<readonly Dropped[]> {
  if (namespacesOf(found).length > 0) return [{ kind: "mirror", files: found }];
  if (found.some(({ path }) => /(?:^|\/)(?:plan\.yaml|evidence\.dsse\.json)$/.test(path)))
    return [{ kind: "evidence", files: found }];
  const all: Dropped[] = [];
  for (const { path, blob } of found.slice(0, 16)) {
    const bytes = blob.size <= MAX_JSON_BYTES ? new Uint8Array(await blob.arrayBuffer()) : new Uint8Array();
    const type = await typeOf(bytes);
    if (type === "strongroom/pins/v1") all.push({ kind: "pins", name: path, bytes });
    // Anything else is taken for an announcement, and refused as one: that says more than silence.
    else if (type === "strongroom/validation-bundle/v1" || path.endsWith(".json"))
      all.push({ kind: "bundle", name: path, bytes });
    else all.push({ kind: "unknown", name: path });
  }
  return all;
}

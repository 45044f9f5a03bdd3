/**
 * Files that must be there after a power failure once somebody was told so: a reader sees the whole file or none, and
 * its name is on the disk before the call returns. Until a file is whole its name begins with a dot; whoever lists or
 * copies a folder leaves such names out.
 *
 * The functions that end in Sync do the same for code that must not be interleaved: the steps of a ceremony.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, isOutOfSpace } from "../errno.ts";
import { StrongroomError } from "../errors.ts";

function failed(what: "make" | "write" | "move", path: string, cause: unknown): StrongroomError {
  return isOutOfSpace(cause)
    ? new StrongroomError("store-full", `no room left to ${what} ${basename(path)}`, {
        cause,
        hint: "make room and ask again; nothing that was there is lost",
      })
    : new StrongroomError("file-failed", `cannot ${what} ${path}`, {
        cause,
        hint: "its folder must be there, and writable",
      });
}

function unread(path: string, cause: unknown): undefined {
  if (errnoOf(cause) === "ENOENT") return undefined;
  throw new StrongroomError("file-failed", `cannot read ${path}`, { cause });
}

/** In the same folder, so that renaming stays within one file system. */
const temporaryBeside = (path: string): string =>
  join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);

/** The folders whose entries are new after `first` and all down to `path` were made. */
function* parentsOf(path: string, first: string): Iterable<string> {
  for (let at = path; ; at = dirname(at)) {
    yield dirname(at);
    if (at.length <= first.length) return;
  }
}

/** Makes the name of a new file or folder durable. @throws the system's error */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** @throws the system's error, also where there is something of that name */
async function create(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

/** The folder and those above it, each name durable. @throws file-failed, store-full */
export async function makeFolder(path: string): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true });
    if (first !== undefined) for (const parent of parentsOf(path, first)) await syncFolder(parent);
  } catch (cause) {
    throw failed("make", path, cause);
  }
}

/** Writes or replaces a file; its folder is made. @throws file-failed, store-full */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await makeFolder(dirname(path));
  const temporary = temporaryBeside(path);
  try {
    await create(temporary, bytes, 0o644);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw failed("write", path, cause);
  }
}

/**
 * A new file that its owner alone can read; one that is there stays. It has its name from the start, so after a power
 * failure it may be empty: readers of PINs and tokens refuse that.
 * @throws file-failed, store-full
 */
export async function createPrivate(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await create(path, bytes, 0o600);
    await syncFolder(dirname(path));
  } catch (cause) {
    throw failed("write", path, cause);
  }
}

/** @returns undefined where there is no such file @throws file-failed, also for one that is larger than `limit` bytes */
export async function readIfThere(
  path: string,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<Uint8Array | undefined> {
  try {
    const { size } = await stat(path);
    if (size > limit) throw new Error(`${size} bytes are too many`);
    return Uint8Array.from(await readFile(path));
  } catch (cause) {
    return unread(path, cause);
  }
}

/** Moves a folder to a name that is not there; both are on the same disk. @throws file-failed, store-full */
export async function moveFolder(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to));
  try {
    await rename(from, to);
    await syncFolder(dirname(to));
  } catch (cause) {
    throw failed("move", from, cause);
  }
}

/** Makes the name of a new file or folder durable. @throws the system's error */
export function syncFolderSync(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function makeFolderSync(path: string, mode: number): void {
  try {
    const first = mkdirSync(path, { recursive: true, mode });
    if (first !== undefined) for (const parent of parentsOf(path, first)) syncFolderSync(parent);
  } catch (cause) {
    throw failed("make", path, cause);
  }
}

/** @param mode of the file; folders that are made are as private as it is @throws file-failed, store-full */
export function writeDurablySync(path: string, bytes: Uint8Array, mode: 0o600 | 0o644 = 0o644): void {
  makeFolderSync(dirname(path), mode === 0o600 ? 0o700 : 0o755);
  const temporary = temporaryBeside(path);
  try {
    const file = openSync(temporary, "wx", mode);
    try {
      writeFileSync(file, bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    syncFolderSync(dirname(path));
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw failed("write", path, cause);
  }
}

/** @returns undefined where there is no such file @throws file-failed */
export function readIfThereSync(path: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (cause) {
    return unread(path, cause);
  }
}

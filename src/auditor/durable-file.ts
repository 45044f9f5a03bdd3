/**
 * Files that must be there after a power failure once somebody was told so: a reader sees the whole file or none, and
 * its name is on the disk before the call returns.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { isOutOfSpace } from "../store/reserved-space.ts";

/** Temporary files end so; whoever copies or lists a folder leaves them out. */
export const TEMPORARY = ".tmp";

function failed(what: string, path: string, cause: unknown): StrongroomError {
  return isOutOfSpace(cause)
    ? new StrongroomError("store-full", `no room left to ${what} ${basename(path)}`, {
        cause,
        hint: "make room and ask again; nothing that was there is lost",
      })
    : new StrongroomError("file-failed", `cannot ${what} ${path}`, { cause });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The folder and those above it, each name durable. @throws file-failed, store-full */
export async function makeFolder(path: string): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    for (let at = path; at.length >= first.length; at = dirname(at)) await syncFolder(dirname(at));
  } catch (cause) {
    throw failed("make", path, cause);
  }
}

/** Writes or replaces a file; its folder is made. @throws file-failed, store-full */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await makeFolder(dirname(path));
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}${TEMPORARY}`);
  try {
    const file = await open(temporary, "wx", 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw failed("write", path, cause);
  }
}

/** @returns undefined where there is no such file @throws file-failed, also for one that is larger than `limit` bytes */
export async function readIfThere(path: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    const { size } = await stat(path);
    if (size > limit) throw new Error(`${size} bytes are too many`);
    return Uint8Array.from(await readFile(path));
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw failed("read", path, cause);
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

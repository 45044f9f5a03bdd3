/**
 * Results appear under their final name only when they are whole and durable. Until then they live beside it under
 * a name of their own, which is removed on failure and on Ctrl-C.
 */
import { spawn } from "node:child_process";
import { rmSync, type Stats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { toHex } from "../base/bytes.ts";
import { systemRandom } from "../base/clock.ts";
import { errnoOf } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";
import { fileFailed } from "./client-run.ts";

/** What an interrupt undoes before the process ends. */
const pending = new Set<() => void>();
let listening = false;

function onInterrupt(undo: () => void): () => void {
  pending.add(undo);
  if (!listening) {
    listening = true;
    for (const [signal, number] of [
      ["SIGINT", 2],
      ["SIGTERM", 15],
      ["SIGHUP", 1],
    ] as const)
      process.on(signal, () => {
        for (const each of pending) each();
        process.exit(128 + number);
      });
  }
  return () => pending.delete(undo);
}

async function found(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fileFailed(`cannot look at ${path}`, error);
  }
}

/** @throws usage where something is there and `force` is not given */
export async function requireFree(path: string, force: boolean | undefined, hint: string): Promise<void> {
  if (!force && (await found(path))) throw new StrongroomError("usage", `${path} exists already`, { hint });
}

/** As `requireFree`, for what can only be a file: whoever names a folder means a file in it, not to lose the folder. */
export async function requireFreeFile(path: string, force: boolean | undefined, hint: string): Promise<void> {
  if ((await found(path))?.isDirectory())
    throw new StrongroomError("usage", `${path} is a folder`, {
      hint: "name the file to write, with the folder",
    });
  await requireFree(path, force, hint);
}

/** Whether `path` is that folder or lies in it; both real paths. */
export function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`);
}

/** A folder is replaced with all that is in it. @throws usage where that would be one of the `files` too */
export async function requireOutside(path: string, files: readonly string[]): Promise<void> {
  if (!(await found(path))?.isDirectory()) return;
  const folder = await realpath(path);
  for (const file of files)
    if (isWithin(folder, await realpath(file)))
      throw new StrongroomError("usage", `${path} would be replaced, and ${file} is in it`, {
        hint: "restore to somewhere else",
      });
}

/** A file or folder in the making. */
interface Output {
  /** Makes it durable and gives it its name; whatever had that name is gone. @throws file-failed */
  commit(): Promise<void>;
  /** Removes it unless it was committed. */
  discard(): Promise<void>;
}
export interface OutputFile extends Output {
  /** @throws file-failed */
  write(bytes: Uint8Array): Promise<void>;
}
export interface OutputFolder extends Output {
  /** Where to put its content. */
  readonly path: string;
  /** Runs on an interrupt before the folder is removed. */
  stopFirst(stop: () => void): void;
}

/** A name in the same folder, so that renaming stays within one file system and changes no parent. */
function beside(target: string, what: "partial" | "replaced"): string {
  return join(dirname(target), `.${basename(target)}.${what}-${toHex(systemRandom(6))}`);
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    // Some network file systems refuse this, and are as durable as they are.
    await folder.sync().catch(() => undefined);
  } finally {
    await folder.close();
  }
}

/** Everything on the file system of `path`: for a tree of many files faster than one by one. */
function syncFileSystem(path: string): Promise<void> {
  return new Promise((done) => {
    const child = spawn("sync", ["--file-system", path], { stdio: "ignore" });
    // Where there is no such command the system writes in its own time.
    child.once("error", () => done());
    child.once("close", () => done());
  });
}

/** Gives `made` its name. A folder cannot be renamed over, so what was there steps aside, and back on failure. */
async function replace(made: string, target: string): Promise<void> {
  const old = await lstat(target).catch(() => undefined);
  const isFolder = (await lstat(made)).isDirectory();
  if (!old || (!isFolder && !old.isDirectory())) {
    await rename(made, target);
  } else {
    const aside = beside(target, "replaced");
    await rename(target, aside);
    try {
      await rename(made, target);
    } catch (error) {
      await rename(aside, target);
      throw error;
    }
    await rm(aside, { recursive: true, force: true });
  }
  await syncFolder(dirname(target));
}

/** A new file, mode 0600. @throws file-failed */
export async function createOutputFile(name: string): Promise<OutputFile> {
  const target = resolve(name);
  const path = beside(target, "partial");
  const failed = (error: unknown): StrongroomError => fileFailed(`cannot write ${name}`, error);
  const file: FileHandle = await open(path, "wx", 0o600).catch((error: unknown) => {
    throw failed(error);
  });
  const forget = onInterrupt(() => rmSync(path, { force: true }));
  let isOpen = true;
  return {
    async write(bytes) {
      try {
        for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
      } catch (error) {
        throw failed(error);
      }
    },
    async commit() {
      try {
        await file.sync();
        isOpen = false;
        await file.close();
        await replace(path, target);
      } catch (error) {
        throw failed(error);
      }
    },
    async discard() {
      if (isOpen) await file.close().catch(() => undefined);
      isOpen = false;
      await rm(path, { force: true });
      forget();
    },
  };
}

/** A new folder, mode 0700 until something else is put into its place. @throws file-failed */
export async function createOutputFolder(name: string): Promise<OutputFolder> {
  const target = resolve(name);
  const path = beside(target, "partial");
  const failed = (error: unknown): StrongroomError => fileFailed(`cannot write ${name}`, error);
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    throw failed(error);
  });
  let stop = (): void => undefined;
  const forget = onInterrupt(() => {
    stop();
    rmSync(path, { recursive: true, force: true });
  });
  return {
    path,
    stopFirst: (how) => {
      stop = how;
    },
    async commit() {
      try {
        await syncFileSystem(path);
        // From here on an interrupt must not remove what may already be the only copy.
        forget();
        await replace(path, target);
      } catch (error) {
        throw failed(error);
      }
    },
    async discard() {
      await rm(path, { recursive: true, force: true });
      forget();
    },
  };
}

/** `strongroom client backup` and `restore`: files and folders as age files under the recovered key. */
import { type FileHandle, open, opendir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { concat, wipe } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { ageIdentity, decryptBackup, encryptBackup } from "../client/backup.ts";
import { FOLDER_MARK, isPackedFolder, packFolder, unpackFolder } from "./client-archive.ts";
import { askCode } from "./client-code.ts";
import { loadClient } from "./client-config.ts";
import { readIdentity } from "./client-key-file.ts";
import {
  createOutputFile,
  createOutputFolder,
  isWithin,
  requireFree,
  requireFreeFile,
  requireOutside,
} from "./client-output.ts";
import { formatBytes, formatElapsed, showProgress } from "./client-progress.ts";
import { type CommonOptions, fileFailed, type Outcome } from "./client-run.ts";

export interface BackupOptions extends CommonOptions {
  readonly out: string;
  readonly identity?: string;
  readonly force?: boolean;
}

const READ_BYTES = 1 << 20;

/** The key, from its file, or recovered with the code: nothing of it then touches the disk. */
async function identityOf(options: BackupOptions): Promise<string> {
  if (options.identity !== undefined) return readIdentity(options.identity);
  const { client } = loadClient(options.config);
  const { backupKey } = await client.recover(await askCode(options.codeFile));
  try {
    return ageIdentity(backupKey);
  } finally {
    wipe(backupKey);
  }
}

function fileStream(file: FileHandle, name: string): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { bytesRead, buffer } = await file.read(new Uint8Array(READ_BYTES), 0, READ_BYTES);
          if (bytesRead === 0) controller.close();
          else controller.enqueue(buffer.subarray(0, bytesRead));
        } catch (error) {
          throw fileFailed(`cannot read ${name}`, error);
        }
      },
    },
    { highWaterMark: 0 },
  );
}

interface Source {
  readonly folder: boolean;
  /** Real paths. */
  readonly paths: readonly string[];
}

/** @throws usage, file-failed */
async function examine(names: readonly string[], out: string): Promise<Source> {
  const paths: string[] = [];
  let folders = 0;
  for (const name of names) {
    try {
      const path = await realpath(name);
      const found = await stat(path);
      if (found.isDirectory()) folders++;
      else if (!found.isFile()) throw new StrongroomError("usage", `${name} is neither a file nor a folder`);
      paths.push(path);
    } catch (error) {
      throw fileFailed(`cannot back up ${name}`, error);
    }
  }
  const folder = folders > 0 || paths.length > 1;
  if (new Set(paths.map((path) => basename(path))).size < paths.length)
    throw new StrongroomError("usage", "two of them have the same name", {
      hint: "back up the folder they are in",
    });
  const outFolder = await realpath(dirname(resolve(out))).catch((error: unknown) => {
    throw fileFailed(`cannot write ${out}`, error);
  });
  for (const path of paths)
    if (isWithin(path, join(outFolder, basename(out))))
      throw new StrongroomError("usage", `${out} would become a part of its own backup`, {
        hint: "write the backup somewhere outside",
      });
  return { folder, paths };
}

/** Only for the progress line, so what cannot be looked at counts nothing. */
async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.size ?? 0;
  let total = 0;
  try {
    for await (const entry of await opendir(path))
      if (entry.isDirectory() || entry.isFile()) total += await sizeOf(join(path, entry.name));
  } catch {
    // tar will say it.
  }
  return total;
}

export async function backup(names: readonly string[], options: BackupOptions): Promise<Outcome> {
  await requireFreeFile(options.out, options.force, "--force replaces it");
  const source = await examine(names, options.out);
  const identity = await identityOf(options);
  const started = Date.now();
  const total = process.stderr.isTTY
    ? (await Promise.all(source.paths.map(sizeOf))).reduce((sum, size) => sum + size, 0)
    : undefined;
  const progress = showProgress("backing up", total);
  let read = 0;
  let written = 0;
  const watch = (bytes: number): void => {
    read = bytes;
    progress.update(bytes);
  };
  const output = await createOutputFile(options.out);
  const [path = ""] = source.paths;
  const packed = source.folder ? packFolder(source.paths) : undefined;
  let file: FileHandle | undefined;
  let warnings: readonly string[] = [];
  try {
    if (!packed)
      file = await open(path, "r").catch((error: unknown) => {
        throw fileFailed(`cannot read ${path}`, error);
      });
    const before = await file?.stat();
    const plaintext = packed?.stream ?? (file && fileStream(file, path));
    if (!plaintext) throw new StrongroomError("internal", "nothing to read");
    for await (const chunk of await encryptBackup(identity, plaintext, watch)) {
      written += chunk.length;
      await output.write(chunk);
    }
    if (packed) warnings = await packed.finish();
    const after = await file?.stat();
    if (after?.mtimeMs !== before?.mtimeMs || after?.size !== before?.size)
      warnings = [`${path} changed while it was read`];
    await output.commit();
  } finally {
    progress.clear();
    packed?.stop();
    await file?.close();
    await output.discard();
  }
  const seconds = (Date.now() - started) / 1000;
  return {
    json: {
      out: options.out,
      kind: source.folder ? "folder" : "file",
      bytesRead: read,
      bytesWritten: written,
      warnings,
    },
    lines: [
      ...warnings.map((warning) => `warning: ${warning}`),
      `backed up ${names.join(", ")}: ${formatBytes(read)} in ${formatElapsed(seconds)}`,
      `  to ${options.out}, ${source.folder ? "a packed folder" : "a file"} that any age tool opens with the key`,
    ],
  };
}

interface Target {
  write(bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

async function folderTarget(out: string): Promise<Target> {
  const folder = await createOutputFolder(out);
  const tar = unpackFolder(folder.path);
  folder.stopFirst(tar.stop);
  return {
    write: tar.write,
    async commit() {
      await tar.finish();
      await folder.commit();
    },
    async discard() {
      tar.stop();
      await folder.discard();
    },
  };
}

/** Reads as much as tells a folder from a file. */
async function readStart(plaintext: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array> {
  let start: Uint8Array = new Uint8Array(0);
  while (start.length < FOLDER_MARK.length) {
    const { done, value } = await plaintext.read();
    if (done) break;
    start = concat(start, value);
  }
  return start;
}

export async function restore(name: string, options: BackupOptions): Promise<Outcome> {
  await requireFree(options.out, options.force, "--force replaces it, with all that is in it");
  const file = await open(name, "r").catch((error: unknown) => {
    throw fileFailed(`cannot read ${name}`, error);
  });
  try {
    await requireOutside(options.out, [name, ...(options.identity === undefined ? [] : [options.identity])]);
    const identity = await identityOf(options);
    const started = Date.now();
    const progress = showProgress("restoring", (await file.stat()).size);
    let target: Target | undefined;
    let written = 0;
    let folder = false;
    try {
      const plaintext = (await decryptBackup(identity, fileStream(file, name), progress.update)).getReader();
      const start = await readStart(plaintext);
      folder = isPackedFolder(start);
      target = folder ? await folderTarget(options.out) : await createOutputFile(options.out);
      for (let chunk: Uint8Array | undefined = start; chunk; chunk = (await plaintext.read()).value) {
        written += chunk.length;
        await target.write(chunk);
      }
      await target.commit();
    } finally {
      progress.clear();
      await target?.discard();
    }
    const seconds = (Date.now() - started) / 1000;
    const kind = folder ? "folder" : "file";
    return {
      json: { out: options.out, kind, bytesWritten: written },
      lines: [
        `restored ${name}: ${formatBytes(written)} in ${formatElapsed(seconds)}`,
        `  to the ${kind} ${options.out}`,
      ],
    };
  } finally {
    await file.close();
  }
}

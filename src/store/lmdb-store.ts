/**
 * Records in LMDB on one disk: the store of a fleet of one.
 *
 * Durable before acknowledged. With `overlappingSync: false` a commit writes its pages, calls fdatasync, and only
 * then writes the meta page that makes them visible, through a descriptor opened with O_DSYNC (seen under strace;
 * mdb_txn_commit, mdb_env_write_meta). The promise of a put settles after that. Writes that arrive while a commit
 * is under way share the next one, so many clients cost few flushes.
 *
 * No reader sees a write before it is durable: between writing the meta page and its flush the page cache already
 * shows it, so a read of a key waits for this process's write to that key, and no other process has the store open.
 *
 * The version of an entry is its revision: 1 when created, one more with each swap; entries are never removed.
 */
import { closeSync, mkdirSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type FileHandle, open as openFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { toHex } from "../base/bytes.ts";
import { isOutOfSpace } from "../base/errno.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { syncFolder } from "../base/node/durable-file.ts";
import type { RecordId, RecordStore, SwapResult, Versioned } from "./record-store.ts";
import { type ReservedSpace, reservedSpace } from "./reserved-space.ts";
import { lockStore } from "./single-writer.ts";

const FORMAT = 1;
/** Address space, not memory or disk: large enough that LMDB need not remap while it serves. */
const MAP_BYTES = 2 ** 36;
/** LMDB's lock file is used through a memory map; a hole in it on a full disk would be a SIGBUS. */
const LMDB_LOCK_BYTES = 16_384;

const FIRST_BYTES = 262_144;
/** Of each of the two meta pages at the file's beginning: `MDB_page_header` and `MDB_meta` of mdb.c, on 64 bits. */
const META = { magic: 24, pageSize: 48, lastPage: 144, transaction: 152, bytes: 160 } as const;
const MAGIC = 0xbeefc0de;

const CHECK_KEY = Buffer.from("check");
const FORMAT_KEY = Buffer.from("format");

interface Lmdb {
  readonly root: RootDatabase<Buffer, Buffer>;
  readonly records: Database<Buffer, Buffer>;
  readonly meta: Database<Buffer, Buffer>;
}

/**
 * lmdb 3.5.6 crashes on a file that LMDB did not write, and without a word on one that is shorter than it was: a copy
 * that was broken off, a disk that lost its end. So its meta pages are looked at first.
 * @throws store-unavailable; file system errors as they are
 */
function assertStoreOrNothing(path: string): void {
  const file = join(path, "data.mdb");
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return;
  const refuse = (problem: string): StrongroomError =>
    new StrongroomError("store-unavailable", `${file} ${problem}`, {
      hint: "restore the store from its backup, or name an empty directory",
    });
  const descriptor = openSync(file, "r");
  try {
    const metaAt = (position: number): DataView => {
      const meta = new DataView(new ArrayBuffer(META.bytes));
      readSync(descriptor, meta, 0, META.bytes, position);
      return meta;
    };
    const first = metaAt(0);
    if (first.getUint32(META.magic, true) !== MAGIC) throw refuse("is not a store");
    const pageSize = first.getUint32(META.pageSize, true);
    const second = metaAt(pageSize);
    const transaction = (meta: DataView): bigint => meta.getBigUint64(META.transaction, true);
    const newest = transaction(second) > transaction(first) ? second : first;
    const needed = (newest.getBigUint64(META.lastPage, true) + 1n) * BigInt(pageSize);
    if (BigInt(size) < needed) throw refuse(`is cut off: it has ${size} of ${needed} bytes`);
  } finally {
    closeSync(descriptor);
  }
}

function openDatabases(path: string): Lmdb {
  assertStoreOrNothing(path);
  const lockFile = join(path, "lock.mdb");
  if ((statSync(lockFile, { throwIfNoEntry: false })?.size ?? 0) < LMDB_LOCK_BYTES) {
    writeFileSync(lockFile, new Uint8Array(LMDB_LOCK_BYTES));
    // LMDB makes its first pages by itself, before any space can be reserved in its file: try the disk first.
    const probe = join(path, "probe");
    try {
      writeFileSync(probe, new Uint8Array(FIRST_BYTES), { flush: true });
    } finally {
      rmSync(probe, { force: true });
    }
  }
  const binary = { encoding: "binary", keyEncoding: "binary" } as const;
  const root = open<Buffer, Buffer>({
    ...binary,
    path,
    noSubdir: false,
    mapSize: MAP_BYTES,
    overlappingSync: false,
    // With it, a failed commit rejects a promise of lmdb's own that nobody can catch.
    eventTurnBatching: false,
    maxDbs: 4,
  });
  const records = root.openDB<Buffer, Buffer>({ ...binary, name: "records", useVersions: true });
  const meta = root.openDB<Buffer, Buffer>({ ...binary, name: "meta" });
  return { root, records, meta };
}

/**
 * Opens the store in the directory `path`, creating it if needed, for this process alone.
 * @throws store-unavailable (in use, unreadable, not a store), store-full
 */
export async function openLmdbStore(options: { path: string }): Promise<RecordStore> {
  const { path } = options;
  let unlock: (() => void) | undefined;
  let databases: Lmdb | undefined;
  let file: FileHandle | undefined;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    unlock = lockStore(path);
    databases = openDatabases(path);
    file = await openFile(join(path, "data.mdb"), "r+");
    const { meta, records } = databases;
    const space = reservedSpace(file, () => {
      const stats = records.getStats() as { root: { pageSize: number }; lastPageNumber: number };
      return { pageSize: stats.root.pageSize, lastPage: stats.lastPageNumber };
    });
    const store = new LmdbStore(path, databases, file, (await file.stat()).ino, space, unlock);
    const format = meta.get(FORMAT_KEY);
    if (format === undefined) await store.putMeta(FORMAT_KEY, Buffer.of(FORMAT));
    else if (format[0] !== FORMAT || format.length !== 1)
      throw new StrongroomError("store-unavailable", `the store has format ${format[0]}, not ${FORMAT}`, {
        hint: "use the version of strongroom that wrote it",
      });
    await syncFolder(path);
    await syncFolder(dirname(path));
    return store;
  } catch (cause) {
    await file?.close();
    await databases?.root.close();
    unlock?.();
    throw asStoreError(cause, `cannot open the store in ${path}`);
  }
}

function asStoreError(cause: unknown, message: string): StrongroomError {
  if (isStrongroomError(cause)) return cause;
  return isOutOfSpace(cause)
    ? new StrongroomError("store-full", message, { cause, hint: "free disk space where the store is" })
    : new StrongroomError("store-unavailable", message, {
        cause,
        hint: "check that the directory exists, is writable, and holds nothing but a store",
      });
}

class LmdbStore implements RecordStore {
  readonly #path: string;
  readonly #databases: Lmdb;
  readonly #file: FileHandle;
  readonly #inode: number;
  readonly #space: ReservedSpace;
  readonly #unlock: () => void;
  /** The last write to each key that is not yet durable. */
  readonly #pending: Map<string, Promise<unknown>> = new Map();
  #closed = false;

  constructor(
    path: string,
    databases: Lmdb,
    file: FileHandle,
    inode: number,
    space: ReservedSpace,
    unlock: () => void,
  ) {
    this.#path = path;
    this.#databases = databases;
    this.#file = file;
    this.#inode = inode;
    this.#space = space;
    this.#unlock = unlock;
  }

  async get(id: RecordId): Promise<Versioned | undefined> {
    this.#assertOpen();
    this.#assertInPlace("store-unavailable");
    const key = toHex(id);
    for (let write = this.#pending.get(key); write; write = this.#pending.get(key)) await write;
    return this.#read(id);
  }

  async compareAndSwap(id: RecordId, expected: bigint | undefined, value: Uint8Array): Promise<SwapResult> {
    const key = toHex(id);
    const earlier = this.#pending.get(key);
    const swap = (async (): Promise<SwapResult> => {
      await earlier?.catch(() => undefined);
      const revision = (expected ?? 0n) + 1n;
      // ifVersion null means: only where no entry exists; the type of `put` forgets it.
      const ifVersion = (expected === undefined ? null : Number(expected)) as number;
      const swapped = await this.#write(() =>
        this.#databases.records.put(Buffer.from(id), Buffer.from(value), Number(revision), ifVersion),
      );
      return swapped ? { swapped: true, revision } : { swapped: false, current: this.#read(id) };
    })();
    const settled = swap.then(
      () => undefined,
      () => undefined,
    );
    this.#pending.set(key, settled);
    try {
      return await swap;
    } finally {
      if (this.#pending.get(key) === settled) this.#pending.delete(key);
    }
  }

  async check(): Promise<void> {
    await this.putMeta(CHECK_KEY, Buffer.from(new Date().toISOString()));
  }

  /** A durable write beside the records. */
  async putMeta(key: Buffer, value: Buffer): Promise<void> {
    await this.#write(() => this.#databases.meta.put(key, value));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#pending.values());
    await this.#databases.root.close();
    await this.#file.close();
    this.#unlock();
  }

  #read(id: RecordId): Versioned | undefined {
    let entry: { value: Buffer; version?: number } | undefined;
    try {
      entry = this.#databases.records.getEntry(Buffer.from(id));
    } catch (cause) {
      throw new StrongroomError("store-unavailable", "the store cannot be read", { cause });
    }
    return entry && { value: Uint8Array.from(entry.value), revision: BigInt(entry.version ?? 0) };
  }

  /** @throws store-unavailable, store-full before anything was written; store-ambiguous afterwards */
  async #write(put: () => Promise<boolean>): Promise<boolean> {
    this.#assertOpen();
    this.#assertInPlace("store-unavailable");
    const settled = await this.#space.reserve();
    let written: boolean;
    try {
      written = await put();
    } catch (cause) {
      // The cause travels in a promise of its own, which must not stay unhandled.
      const reason = cause instanceof Error && "commitError" in cause ? cause.commitError : undefined;
      const detail = await Promise.resolve(reason).catch((error: unknown) => error);
      throw new StrongroomError("store-ambiguous", "a commit failed", { cause: detail ?? cause });
    } finally {
      settled();
    }
    this.#assertInPlace("store-ambiguous");
    return written;
  }

  #assertOpen(): void {
    if (this.#closed) throw new StrongroomError("store-unavailable", "the store is closed");
  }

  /**
   * A directory that was moved away or replaced leaves LMDB writing happily to a file that nobody will find
   * again. Nothing of that may be acknowledged.
   */
  #assertInPlace(code: "store-unavailable" | "store-ambiguous"): void {
    let found: number | undefined;
    try {
      found = statSync(join(this.#path, "data.mdb"), { throwIfNoEntry: false })?.ino;
    } catch (cause) {
      throw new StrongroomError(code, `the store's file in ${this.#path} is out of reach`, { cause });
    }
    if (found === this.#inode) return;
    throw new StrongroomError(
      code,
      `the store's file in ${this.#path} is ${found ? "another one" : "gone"}`,
      {
        hint: found ? "restart the service" : "put the directory back; the service goes on by itself",
      },
    );
  }
}

/**
 * One service per store. LMDB itself would allow several processes, but the store's reservation of disk space
 * and its rule that no reader sees a write before it is durable are kept by one process; and an operator who
 * starts a second service by mistake should be told, not served by two.
 *
 * A lock file names its owner by pid, start time and boot, so that a lock left by kill -9, by a reboot or by an
 * earlier container whose pids repeat is recognised as stale without anybody's help.
 */
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StrongroomError } from "../base/errors.ts";

const held = new Set<string>();

/** What a pid alone cannot say: field 22 of /proc/pid/stat (the start, in ticks since boot) and the boot's id. */
function incarnation(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined; // dead, only not yet collected by its parent
    const started = fields[18] ?? "";
    return `${pid} ${started} ${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}`;
  } catch {
    return undefined;
  }
}

function readOwner(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Takes the lock of the store in `directory` until the returned function is called.
 * @throws store-unavailable if another living process (or this one) has it; file system errors as they are
 */
export function lockStore(directory: string): () => void {
  return lockFile(
    join(directory, "writer.pid"),
    (pid) =>
      new StrongroomError("store-unavailable", `the store is in use by process ${pid}`, {
        hint: `stop process ${pid} first, or give this service its own store path`,
      }),
  );
}

/**
 * The same for anything else that has one writer: takes the lock file `path` until the returned function is called.
 * @param inUse the error where a living process has it
 * @throws what `inUse` gives; store-unavailable; file system errors as they are
 */
export function lockFile(path: string, inUse: (pid: number) => StrongroomError): () => void {
  const own = incarnation(process.pid) ?? `${process.pid}`;
  const candidate = join(dirname(path), `.writer.${randomUUID()}`);
  writeFileSync(candidate, own);
  try {
    for (let round = 0; round < 5; round++) {
      try {
        // link() creates the name with its content at once and fails if it exists: no half-written lock.
        linkSync(candidate, path);
        held.add(path);
        return () => {
          held.delete(path);
          if (readOwner(path) === own) rmSync(path, { force: true });
        };
      } catch (cause) {
        if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw cause;
      }
      const owner = readOwner(path);
      if (owner === undefined) continue;
      const pid = Number.parseInt(owner, 10);
      const alive = owner === own ? held.has(path) : Number.isInteger(pid) && incarnation(pid) === owner;
      if (alive) throw inUse(pid);
      setAside(path, owner);
    }
    throw new StrongroomError("store-unavailable", `other processes keep taking the lock ${path}`);
  } finally {
    rmSync(candidate, { force: true });
  }
}

/** Removes a stale lock, but puts back one that a competitor took in between. */
function setAside(path: string, stale: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
    if (readOwner(aside) !== stale) linkSync(aside, path);
  } catch {
    // A competitor was faster; the next round sees what it left.
  } finally {
    rmSync(aside, { force: true });
  }
}

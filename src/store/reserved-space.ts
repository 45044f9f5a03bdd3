/**
 * Disk space for LMDB, taken in advance.
 *
 * LMDB appends pages to its file while it commits, and a disk that fills up right there is the worst moment:
 * the failed commit is answered late, and lmdb 3.5.6 formats its error text into a buffer that is too small for
 * it, which corrupts the heap. So the file is lengthened here, with zeros and before each write that might need
 * it. ENOSPC then shows up in this module, as a plain error before anything was written, and never in LMDB.
 * Pages beyond LMDB's last one mean nothing to it; it overwrites them as it grows.
 *
 * This holds on file systems that overwrite in place (ext4, xfs, tmpfs, …), not on copy-on-write ones.
 */
import type { FileHandle } from "node:fs/promises";
import { isOutOfSpace } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";

const MIB = 1 << 20;
/** What one commit may take however little it writes: tree roots, the free list, a split of every level. */
const SLACK_PAGES = 64;
/** What one more record in a commit may take: its leaf, the pages above it, and what the free list says of them. */
const PAGES_PER_WRITE = 8;

/** Below this many writes the file is lengthened: measuring before every write would cost more than the space. */
const WORTH_MEASURING = 16;

export interface ReservedSpace {
  /**
   * Makes sure that one more write cannot run out of space; call the returned function once it has settled.
   * @throws store-full, store-unavailable
   */
  reserve(): Promise<() => void>;
}

/**
 * @param file  LMDB's data file, open for writing
 * @param usage LMDB's page size and last used page, now
 */
export function reservedSpace(
  file: FileHandle,
  usage: () => { pageSize: number; lastPage: number },
): ReservedSpace {
  /** Writes that the space at hand still covers, counted down so that most writes need not measure. */
  let covered = 0;
  /** Writes that took their share and whose pages `usage` may not show yet. */
  let inFlight = 0;
  let measuring: Promise<void> | undefined;

  async function measure(): Promise<void> {
    // Asked anew each time: while the file is lengthened, writes settle, and what they took is no longer in flight.
    const coverage = (size: number): number => {
      const { pageSize, lastPage } = usage();
      return Math.floor((size / pageSize - (lastPage + 1 + SLACK_PAGES)) / PAGES_PER_WRITE) - inFlight;
    };
    let { size } = await file.stat();
    if (coverage(size) < WORTH_MEASURING) {
      const more =
        Math.min(64 * MIB, Math.max(MIB, Math.floor(size / 16))) +
        inFlight * PAGES_PER_WRITE * usage().pageSize;
      const target = Math.ceil((size + more) / MIB) * MIB;
      try {
        size = await lengthen(size, target);
      } catch (cause) {
        ({ size } = await file.stat());
        if (coverage(size) < 1) throw full(cause);
      }
    }
    covered = coverage(size);
  }

  async function lengthen(from: number, to: number): Promise<number> {
    const zeros = new Uint8Array(MIB);
    for (let at = from; at < to; ) {
      const { bytesWritten } = await file.write(zeros, 0, Math.min(MIB, to - at), at);
      at += bytesWritten;
    }
    // Delayed allocation and network file systems report a lack of space only here.
    await file.datasync();
    return to;
  }

  return {
    async reserve() {
      while (covered < 1) {
        measuring ??= measure().finally(() => {
          measuring = undefined;
        });
        await measuring;
      }
      covered--;
      inFlight++;
      return () => {
        inFlight--;
      };
    },
  };
}

function full(cause: unknown): StrongroomError {
  return isOutOfSpace(cause)
    ? new StrongroomError("store-full", "no space left for the store", {
        cause,
        hint: "free disk space where the store is; the service goes on by itself",
      })
    : new StrongroomError("store-unavailable", "the store's file cannot be lengthened", { cause });
}

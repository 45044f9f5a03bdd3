/**
 * Standard output as the way out of log lines. It may lead to a full disk, to a reader that has stopped reading, or to
 * nobody: none of that may end the service, fill its memory, or keep it from ending. Lines wait, in bounded memory, and
 * are written when that is possible again; those for which there was no room are counted.
 */
import { write } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { errnoOf } from "../base/errno.ts";
import type { LogOutput } from "./log.ts";

const writeTo = promisify(write);

const MAX_WAITING_CHARACTERS = 4 * 2 ** 20;
const BATCH_CHARACTERS = 2 ** 16;
const RETRY_MS = 20;
const FLUSH_MS = 1_000;
/** Nobody will ever read there again. */
const GONE = ["EPIPE", "EBADF", "EINVAL", "ECONNRESET"];

export interface StandardOutput extends LogOutput {
  /**
   * Resolves when nothing waits any more, or when waiting has been of no use. False: a call to the operating system has
   * not come back, and `process.exit` would wait for it.
   */
  flush(): Promise<boolean>;
}

/** @param lost told how many lines had no room, before the next one that has */
export function standardOutput(lost: (lines: number) => void, fd = 1): StandardOutput {
  const waiting: string[] = [];
  let characters = 0;
  let missed = 0;
  let gone = false;
  let calling = false;
  let writing: Promise<void> | undefined;

  function nextBatch(): Buffer {
    let batch = "";
    for (let line = waiting.shift(); line !== undefined; line = waiting.shift()) {
      batch += line;
      if (batch.length >= BATCH_CHARACTERS) break;
    }
    return Buffer.from(batch);
  }

  /** How many bytes it took. */
  async function taken(bytes: Buffer): Promise<number> {
    calling = true;
    try {
      return (await writeTo(fd, bytes)).bytesWritten;
    } catch (error) {
      if (GONE.includes(errnoOf(error) ?? "")) gone = true;
      return 0;
    } finally {
      calling = false;
    }
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0 && !gone) {
      let batch = nextBatch();
      while (batch.length > 0 && !gone) {
        const count = await taken(batch);
        batch = batch.subarray(count);
        characters = Math.max(0, characters - count);
        if (count === 0 && !gone) await sleep(RETRY_MS);
      }
    }
    waiting.length = 0;
    characters = 0;
    writing = undefined;
  }

  return {
    write(line) {
      if (gone) return;
      if (characters + line.length > MAX_WAITING_CHARACTERS) {
        missed++;
        return;
      }
      if (missed > 0) {
        const lines = missed;
        missed = 0;
        lost(lines);
      }
      waiting.push(line);
      characters += line.length;
      writing ??= writeAll();
    },
    async flush() {
      const late = new AbortController();
      const patience = sleep(FLUSH_MS, undefined, { signal: late.signal }).catch(() => undefined);
      await Promise.race([writing, patience]);
      late.abort();
      return !calling;
    },
  };
}

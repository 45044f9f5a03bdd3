/**
 * The transcript of one station while it is written. It only grows: a line is written after the last whole one, and
 * what follows that (half a line, after the power went) is overwritten and cut off, which `torn` tells whoever
 * resumes, for the record. One process writes it at a time.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { utf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { syncFolderSync } from "../base/node/durable-file.ts";
import { lockFile } from "../store/single-writer.ts";
import {
  encodeLine,
  lineHash,
  readTranscript,
  type TranscriptEntry,
  type TranscriptHead,
  type TranscriptLine,
  wholeLines,
} from "./transcript-lines.ts";

/** Hours of calls; more than that was not written by a ceremony. */
const MAX_TRANSCRIPT_BYTES = 256 * 2 ** 20;

const failed = (doing: string, path: string, cause: unknown): StrongroomError =>
  new StrongroomError("file-failed", `cannot ${doing} the transcript ${path}`, {
    cause,
    hint: "nothing that was written is lost; make room on the disk, or repair it, and resume",
  });

/**
 * Opens the transcript of a station, or begins one.
 *
 * @param planHash SHA-256 of the plan's bytes, hex
 * @param now      milliseconds since 1970
 * @throws ceremony-stopped where another process writes it; evidence-invalid where a line was changed; file-failed
 */
export function openTranscript(path: string, planHash: string, now: () => number = Date.now): Transcript {
  const unlock = lock(path);
  try {
    return new Transcript(path, planHash, now, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

function lock(path: string): () => void {
  try {
    return lockFile(
      `${path}.lock`,
      (pid) =>
        new StrongroomError("ceremony-stopped", `process ${pid} is at work with ${path}`, {
          hint: `let process ${pid} finish; a station has one transcript, and one hand that writes it`,
        }),
    );
  } catch (cause) {
    throw isStrongroomError(cause) ? cause : failed("lock", path, cause);
  }
}

export class Transcript {
  readonly path: string;
  /** What was in it when it was opened. */
  readonly before: readonly TranscriptLine[];
  /** Bytes after the last whole line when it was opened. */
  readonly torn: number;
  readonly #now: () => number;
  readonly #unlock: () => void;
  readonly #file: number;
  #head: TranscriptHead;
  /** Where the next line goes. */
  #end: number;
  /** Something may be behind `#end`. */
  #isRagged: boolean;
  /**
   * A write or an fsync failed. Whoever writes down calls may be in a place where errors are passed over; a transcript
   * that went on after one would lack a line.
   */
  #isLost = false;

  /** Use `openTranscript`. */
  constructor(path: string, planHash: string, now: () => number, unlock: () => void) {
    this.path = path;
    this.#now = now;
    this.#unlock = unlock;
    try {
      this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
    } catch (cause) {
      throw failed("open", path, cause);
    }
    try {
      const bytes = this.#read();
      this.#end = wholeLines(bytes);
      this.torn = bytes.length - this.#end;
      this.#isRagged = this.torn > 0;
      const { lines, head } = readTranscript(bytes.subarray(0, this.#end), planHash);
      this.before = lines;
      this.#head = head;
      if (bytes.length === 0) syncFolderSync(dirname(path));
    } catch (error) {
      closeSync(this.#file);
      throw isStrongroomError(error) ? error : failed("read", path, error);
    }
  }

  get head(): TranscriptHead {
    return this.#head;
  }

  /**
   * Writes one line; it is durable after `sync`.
   * @throws file-failed, and the transcript is what it was before; it has to be opened again to go on
   */
  append(entry: TranscriptEntry): void {
    if (this.#isLost) throw failed("write", this.path, "an earlier write failed");
    const line = utf8(encodeLine(entry, this.#head, this.#now()));
    const bytes = Uint8Array.of(...line, 0x0a);
    try {
      let written = 0;
      while (written < bytes.length) {
        written += writeSync(this.#file, bytes, written, bytes.length - written, this.#end + written);
      }
      if (this.#isRagged) ftruncateSync(this.#file, this.#end + bytes.length);
      this.#isRagged = false;
    } catch (cause) {
      this.#isLost = true;
      throw failed("write", this.path, cause);
    }
    this.#end += bytes.length;
    this.#head = { lines: this.#head.lines + 1, head: lineHash(line) };
  }

  /** What was appended survives a power failure from here on. @throws file-failed */
  sync(): void {
    try {
      fsyncSync(this.#file);
    } catch (cause) {
      this.#isLost = true;
      throw failed("sync", this.path, cause);
    }
  }

  /** Syncs it and lets others write. @throws file-failed */
  close(): void {
    try {
      this.sync();
    } finally {
      closeSync(this.#file);
      this.#unlock();
    }
  }

  #read(): Uint8Array {
    const { size } = fstatSync(this.#file);
    if (size > MAX_TRANSCRIPT_BYTES) throw new RangeError(`${size} bytes are too many`);
    const bytes = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const got = readSync(this.#file, bytes, at, size - at, at);
      if (got === 0) break;
      at += got;
    }
    return bytes.subarray(0, at);
  }
}

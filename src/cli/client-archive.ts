/**
 * Folders as tar streams, by the system's tar. In front stands a pax header with a comment, which every tar skips
 * and by which a restore knows a folder from a file that happens to be a tar archive.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { basename, dirname, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { concat, equal, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

const BLOCK_BYTES = 512;

/** POSIX.1-2001 pax: a global extended header (type g) of one record, "LENGTH KEY=VALUE\n". */
function globalHeader(comment: string): Uint8Array {
  const rest = ` comment=${comment}\n`;
  const record = `${rest.length + 2}${rest}`;
  const header = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string): void => header.set(utf8(text), at);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  put(0, "pax_global_header");
  put(100, octal(0o644, 7)); // mode
  put(108, octal(0, 7)); // uid
  put(116, octal(0, 7)); // gid
  put(124, octal(record.length, 11)); // size
  put(136, octal(0, 11)); // mtime
  put(148, "        "); // the checksum counts itself as spaces
  put(156, "g");
  put(257, "ustar\u000000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${octal(sum, 6)} `);
  const data = new Uint8Array(BLOCK_BYTES);
  data.set(utf8(record));
  return concat(header, data);
}

/** What a packed folder starts with. */
export const FOLDER_MARK: Uint8Array = globalHeader("strongroom folder backup v1");

/** Output of tar on stderr that is worth keeping: the reason is in the first lines. */
const MAX_COMPLAINTS = 4_096;

function startTar(args: readonly string[]): { readonly child: ChildProcess; ended(): Promise<TarEnd> } {
  const { TAR_OPTIONS: _, ...env } = process.env;
  const child = spawn("tar", args, { stdio: ["pipe", "pipe", "pipe"], env: { ...env, LC_ALL: "C" } });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (complaints.length < MAX_COMPLAINTS) complaints += chunk;
  });
  const end = new Promise<TarEnd>((done, failed) => {
    child.once("error", (cause) =>
      failed(new StrongroomError("file-failed", "tar cannot be run", { cause, hint: "install tar" })),
    );
    child.once("close", (code, signal) => {
      const lines = complaints
        .split("\n")
        .flatMap((line) => (line === "" ? [] : [line.replace(/^tar: /, "")]));
      done({ code, signal, lines });
    });
  });
  // Whoever waits gets the failure; until then it is not an unhandled one.
  end.catch(() => undefined);
  return { child, ended: () => end };
}

interface TarEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly string[];
}

function tarFailed(doing: string, hint: string, { code, signal, lines }: TarEnd): StrongroomError {
  const full = lines.some((line) => /No space left|quota exceeded|Wrote only/i.test(line));
  const told = lines[0] ?? (signal ? `killed by ${signal}` : `exit code ${code}`);
  const why = full ? "no space left on the device" : told;
  return new StrongroomError("file-failed", `${doing}: ${why}`, {
    hint: full ? "free some space or write elsewhere; nothing partial was left" : hint,
  });
}

export interface PackedFolder {
  readonly stream: ReadableStream<Uint8Array>;
  /** After the stream has ended: what changed while it was read. @throws file-failed */
  finish(): Promise<readonly string[]>;
  stop(): void;
}

/** One folder becomes its content; several things become entries by their names. */
export function packFolder(paths: readonly string[]): PackedFolder {
  const [only = ""] = paths;
  const what =
    paths.length === 1
      ? [`--directory=${resolve(only)}`, "."]
      : paths.flatMap((path) => [`--directory=${dirname(resolve(path))}`, `./${basename(resolve(path))}`]);
  const { child, ended } = startTar(["--create", "--format=pax", "--file=-", ...what]);
  child.stdin?.end();
  // Piped at once: when a child ends, Node throws away what nobody has begun to read.
  const output = child.stdout?.pipe(new PassThrough())[Symbol.asyncIterator]();
  let marked = false;
  let packedBytes = 0;
  return {
    stream: new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (!marked) {
            marked = true;
            return controller.enqueue(FOLDER_MARK);
          }
          const next = await output?.next();
          if (!next || next.done) return controller.close();
          const chunk: Uint8Array = next.value;
          packedBytes += chunk.length;
          controller.enqueue(chunk);
        },
        cancel: () => {
          child.kill();
        },
      },
      { highWaterMark: 0 },
    ),
    async finish() {
      const end = await ended();
      // Two blocks of zeros end even an empty archive.
      if ((end.code ?? 2) < 2 && (packedBytes < 2 * BLOCK_BYTES || packedBytes % BLOCK_BYTES !== 0))
        throw new StrongroomError("internal", "a part of what tar packed was lost");
      // 1: some files changed while they were read. They are in the archive, as they were at some moment.
      if (end.code === 1) return end.lines;
      if (end.code !== 0)
        throw tarFailed("cannot read everything", "make it readable, or back up what is", end);
      return [];
    },
    stop: () => {
      child.kill();
    },
  };
}

export interface Unpacking {
  /** @throws file-failed */
  write(bytes: Uint8Array): Promise<void>;
  /** After everything was written. @throws file-failed */
  finish(): Promise<void>;
  stop(): void;
}

/**
 * Unpacks into a new folder. tar keeps every member inside: it strips leading slashes, refuses `..`, and makes
 * symbolic links that lead outside only after everything else.
 */
export function unpackFolder(into: string): Unpacking {
  const { child, ended } = startTar([
    "--extract",
    "--preserve-permissions",
    // A time before 1970 is no complaint, and must not be told as the reason where there is one.
    "--warning=no-timestamp",
    "--file=-",
    `--directory=${into}`,
  ]);
  const { stdin, stdout } = child;
  stdout?.resume();
  let closed = false;
  // tar stops reading at the archive's end mark or when it fails; its exit code tells which.
  const unread = new Promise<void>((done) => {
    const stop = (): void => {
      closed = true;
      done();
    };
    stdin?.once("error", stop).once("close", stop);
  });
  return {
    async write(bytes) {
      if (closed || !stdin) return;
      if (!stdin.write(bytes)) await Promise.race([once(stdin, "drain").catch(() => undefined), unread]);
    },
    async finish() {
      stdin?.end();
      const end = await ended();
      if (end.code !== 0) {
        const hint = "nothing was left; age --decrypt -i KEY-FILE and tar --extract take out what can be";
        throw tarFailed("cannot unpack the folder", hint, end);
      }
    },
    stop: () => {
      child.kill("SIGKILL");
    },
  };
}

export function isPackedFolder(start: Uint8Array): boolean {
  return equal(start.subarray(0, FOLDER_MARK.length), FOLDER_MARK);
}

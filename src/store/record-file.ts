/**
 * Records on their way from one cluster to another, as a file of JSON lines:
 *
 *     {"format":"strongroom-records/v2","cluster":…,"prefix":…,"shards":"80-8f","fenced":true,"revision":"1234"}
 *     {"id":"<64 hex digits>","revision":"1200","value":"<base64url>"}           ascending ids
 *     {"records":1,"content":"<SHA-256>","sha256":"<SHA-256>"}
 *
 * `sha256` is over every byte above the last line; `content` is over ids and values alone, so that it can be
 * compared with what a cluster holds. They find accidents. They are no signature: each record is sealed under its
 * id (design §5), but an old file brings back old attempt counters, so a file is kept as carefully as a backup of
 * the store and deleted after the move.
 */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { framed, fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { syncFolder } from "../base/node/durable-file.ts";
import type { RecordId, Versioned } from "./record-store.ts";
import { formatShardRange, parseShardRange, type ShardRange } from "./shard-map.ts";

const FORMAT = "strongroom-records/v2";
/** A record of 1 MiB in base64url, with room for its id. */
const MAX_LINE_BYTES = 1.5 * 2 ** 20;

export interface RecordFileHeader {
  readonly cluster: string;
  readonly prefix: string;
  readonly shards: ShardRange;
  /** Whether all of them were closed when the records were read; if not, more may have been written since. */
  readonly fenced: boolean;
  /** The cluster's revision that the records were read at. */
  readonly revision: bigint;
}

export interface StoredRecord extends Versioned {
  readonly id: RecordId;
}

/** What a file's last line says. */
export interface RecordFileSummary {
  readonly records: number;
  /** SHA-256 over ids and values, hex. */
  readonly content: string;
}

/** SHA-256 over ids and values in ascending order of ids. */
export interface ContentDigest {
  add(record: StoredRecord): void;
  summary(): RecordFileSummary;
}

export function contentDigest(): ContentDigest {
  const hash = createHash("sha256");
  let records = 0;
  return {
    add({ id, value }) {
      hash.update(framed(id, value));
      records++;
    },
    summary: () => ({ records, content: toHex(hash.copy().digest()) }),
  };
}

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const decimal = z.string().regex(/^[1-9][0-9]{0,18}$/);
const headerLine = z.strictObject({
  format: z.literal(FORMAT),
  cluster: z.string().max(63),
  prefix: z.string().max(1024),
  shards: z.string().max(5),
  fenced: z.boolean(),
  revision: decimal,
});
/** What any version begins with. */
const anyHeader = z.looseObject({ format: z.string().max(63) });
const recordLine = z.strictObject({ id: hex32, revision: decimal, value: z.string() });
const lastLine = z.strictObject({ records: z.number().int().min(0), content: hex32, sha256: hex32 });

/**
 * Writes a file that did not exist, with mode 0600, durable when the promise resolves; nothing is left of it if
 * the records cannot be read to their end.
 * @throws file-failed; whatever `records` throws
 */
export async function writeRecordFile(
  path: string,
  header: RecordFileHeader,
  records: AsyncIterable<StoredRecord>,
): Promise<RecordFileSummary> {
  const part = `${path}.part`;
  let file: FileHandle | undefined;
  try {
    file = await open(part, "wx", 0o600);
    const hash = createHash("sha256");
    const content = contentDigest();
    let buffer: Uint8Array[] = [];
    let buffered = 0;
    const flush = async (): Promise<void> => {
      await file?.writev(buffer);
      buffer = [];
      buffered = 0;
    };
    const write = async (line: unknown): Promise<void> => {
      const bytes = utf8(`${JSON.stringify(line)}\n`);
      hash.update(bytes);
      buffer.push(bytes);
      buffered += bytes.length;
      if (buffered > 2 ** 20) await flush();
    };
    const { cluster, prefix, shards, fenced, revision } = header;
    await write({
      format: FORMAT,
      cluster,
      prefix,
      shards: formatShardRange(shards),
      fenced,
      revision: `${revision}`,
    });
    for await (const record of records) {
      content.add(record);
      await write({
        id: toHex(record.id),
        revision: `${record.revision}`,
        value: toBase64Url(record.value),
      });
    }
    const summary = content.summary();
    await write({ ...summary, sha256: toHex(hash.copy().digest()) });
    await flush();
    await file.sync();
    // link() refuses to replace a file that has appeared meanwhile.
    await link(part, path);
    await syncFolder(dirname(path));
    return summary;
  } catch (cause) {
    if (isStrongroomError(cause)) throw cause;
    throw new StrongroomError("file-failed", `${path} cannot be written`, {
      cause,
      hint: "name a file that does not exist, in a directory with room for it; an old .part file may be deleted",
    });
  } finally {
    if (file !== undefined) {
      await file.close();
      await rm(part, { force: true });
    }
  }
}

/** A file that was found whole, open for reading it again. */
export interface RecordFile {
  readonly header: RecordFileHeader;
  readonly summary: RecordFileSummary;
  records(): AsyncGenerator<StoredRecord>;
  close(): Promise<void>;
}

/**
 * Opens a file and reads all of it once, so that nothing of a broken one is ever used.
 * @throws file-failed, decode-failed
 */
export async function openRecordFile(path: string): Promise<RecordFile> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new StrongroomError("file-failed", `${path} cannot be read`, {
      cause,
      hint: "name with --in what `strongroom store export` wrote",
    });
  }
  try {
    const { header, summary } = await verify(file);
    return { header, summary, records: () => recordsOf(file), close: () => file.close() };
  } catch (cause) {
    await file.close();
    if (isStrongroomError(cause, "file-failed")) throw cause;
    const known = isStrongroomError(cause) ? cause : undefined;
    throw new StrongroomError(
      "decode-failed",
      `${path} is no whole export of records${known ? `: ${known.message}` : ""}`,
      { cause, hint: known?.hint ?? "export again; nothing was written" },
    );
  }
}

function broken(problem: string): StrongroomError {
  return new StrongroomError("decode-failed", problem);
}

/** Lines with their line feeds; the last one must have its own. */
async function* lines(file: FileHandle): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(2 ** 18);
  let rest = new Uint8Array();
  for (let position = 0; ; ) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.read(block, 0, block.length, position));
    } catch (cause) {
      throw new StrongroomError("file-failed", "the file cannot be read to its end", { cause });
    }
    if (bytesRead === 0) break;
    position += bytesRead;
    const bytes = new Uint8Array(rest.length + bytesRead);
    bytes.set(rest);
    bytes.set(block.subarray(0, bytesRead), rest.length);
    let from = 0;
    for (let end = bytes.indexOf(10, rest.length); end >= 0; end = bytes.indexOf(10, from)) {
      yield bytes.subarray(from, end + 1);
      from = end + 1;
    }
    rest = bytes.slice(from);
    if (rest.length > MAX_LINE_BYTES) throw broken("a line is too long");
  }
  if (rest.length > 0) throw broken("its last line is cut off");
}

function parse<T>(line: Uint8Array, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch (cause) {
    throw new StrongroomError("decode-failed", "a line is not JSON", { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success) throw broken("a line is not what it should be");
  return result.data;
}

function parseRecord(line: Uint8Array): StoredRecord {
  const { id, revision, value } = parse(line, recordLine);
  return { id: fromHex(id), revision: BigInt(revision), value: fromBase64Url(value) };
}

/** Every line but the first and the last. */
async function* recordsOf(file: FileHandle): AsyncGenerator<StoredRecord> {
  let held: Uint8Array | undefined;
  let first = true;
  for await (const line of lines(file)) {
    if (held !== undefined) yield parseRecord(held);
    if (!first) held = Uint8Array.from(line);
    first = false;
  }
}

async function verify(
  file: FileHandle,
): Promise<{ readonly header: RecordFileHeader; readonly summary: RecordFileSummary }> {
  const hash: Hash = createHash("sha256");
  const content = contentDigest();
  let header: RecordFileHeader | undefined;
  let held: Uint8Array | undefined;
  let previous = "";
  for await (const line of lines(file)) {
    if (header === undefined) {
      const { format } = parse(line, anyHeader);
      if (format !== FORMAT)
        throw new StrongroomError(
          "decode-failed",
          `the file has format ${JSON.stringify(format)}, not ${FORMAT}`,
          {
            hint: "import it with the version of strongroom that wrote it",
          },
        );
      const { shards, revision, cluster, prefix, fenced } = parse(line, headerLine);
      header = { cluster, prefix, shards: parseShardRange(shards), fenced, revision: BigInt(revision) };
      hash.update(line);
      continue;
    }
    if (held !== undefined) {
      const record = parseRecord(held);
      const id = toHex(record.id);
      const shard = record.id[0] ?? 0;
      if (id <= previous) throw broken("its records are not in order");
      if (shard < header.shards.first || shard > header.shards.last)
        throw broken("a record is not of its shards");
      previous = id;
      content.add(record);
      hash.update(held);
    }
    held = Uint8Array.from(line);
  }
  if (header === undefined || held === undefined) throw broken("it is cut off");
  const last = parse(held, lastLine);
  const summary = content.summary();
  if (last.records !== summary.records || last.content !== summary.content)
    throw broken("its records are not those it was made of");
  if (last.sha256 !== toHex(hash.digest())) throw broken("its checksum is another one");
  return { header, summary };
}

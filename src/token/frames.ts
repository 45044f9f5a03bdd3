/**
 * Frames between the pool and its workers: length (4 bytes, big endian, without itself), kind (1 byte), body.
 * The codec is written out because it is on the path of every operation: a generic one costs as much as the
 * cheapest token call.
 */
import { StrongroomError } from "../base/errors.ts";

/** Kinds of frames. Down: pool to worker. Up: worker to pool. */
export const FRAME = {
  /** Down: v8-serialized WorkerConfig. */
  configure: 1,
  /** Down: steps to run. */
  run: 2,
  /** Down: say whether the token works. */
  probe: 3,
  /** Down: finalize and exit. */
  close: 4,
  /** Up: the session is open. */
  ready: 5,
  /** Up: results of a run. */
  results: 6,
  /** Up: a run failed. */
  failed: 7,
  /** Up: the answer to a probe, or the last words before an exit; with call counts and memory. */
  report: 8,
  /** Down: the token has refused the PIN to another worker; go on, and never log in again. */
  forbidLogin: 9,
} as const;

/** No run is larger: the vault's requests are bounded far below. */
export const MAX_FRAME_BYTES: number = 1 << 20;
const HEADER_BYTES = 5;

/** Collects frames into one buffer, so that many leave with one write. */
export class FrameWriter {
  #buffer: Buffer = Buffer.alloc(16_384);
  #at = 0;
  #start = 0;

  get length(): number {
    return this.#at;
  }

  begin(kind: number): void {
    this.#reserve(HEADER_BYTES);
    this.#start = this.#at;
    this.#buffer[this.#at + 4] = kind;
    this.#at += HEADER_BYTES;
  }
  /** Drops the frame that `begin` opened. */
  abort(): void {
    this.#at = this.#start;
  }
  /** @throws internal for a frame over the limit; drop it */
  end(): void {
    const length = this.#at - this.#start - 4;
    if (length > MAX_FRAME_BYTES)
      throw new StrongroomError("internal", "a run is too large for a token worker");
    this.#buffer.writeUInt32BE(length, this.#start);
  }
  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
  }
  u32(value: number): void {
    this.#reserve(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }
  list(values: readonly Uint8Array[]): void {
    this.u32(values.length);
    for (const value of values) this.bytes(value);
  }
  text(value: string): void {
    this.bytes(Buffer.from(value, "utf8"));
  }

  /** Everything since the last call, in memory of its own. */
  take(): Buffer {
    const out = Buffer.from(this.#buffer.subarray(0, this.#at));
    this.clear();
    return out;
  }
  /** Everything so far, in place: valid until the next write. */
  peek(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }
  /** Forgets what was written; results are secret enough to be overwritten. */
  clear(): void {
    this.#buffer.fill(0, 0, this.#at);
    this.#at = 0;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(2 * this.#buffer.length, this.#at + bytes));
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer.fill(0);
    this.#buffer = larger;
  }
}

/** Reads the body of one frame; every field is checked against its end. */
export class FrameReader {
  readonly kind: number;
  readonly #buffer: Buffer;
  #at = 1;

  /** @param frame kind and body */
  constructor(frame: Buffer) {
    this.#buffer = frame;
    this.kind = frame[0] ?? 0;
  }
  u8(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }
  u32(): number {
    return this.#buffer.readUInt32BE(this.#advance(4));
  }
  /** A copy: the buffer underneath is used again. */
  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#advance(length);
    const out = new Uint8Array(length);
    out.set(this.#buffer.subarray(at, at + length));
    return out;
  }
  list(): Uint8Array[] {
    const count = this.u32();
    const out: Uint8Array[] = [];
    for (let i = 0; i < count; i++) out.push(this.bytes());
    return out;
  }
  text(): string {
    const length = this.u32();
    const at = this.#advance(length);
    return this.#buffer.toString("utf8", at, at + length);
  }

  #advance(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#buffer.length)
      throw new StrongroomError("internal", "a frame of the token worker ends too early");
    this.#at = at + bytes;
    return at;
  }
}

/** Cuts a stream of chunks into frames. */
export class FrameSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * Calls `take` for each whole frame. A frame is a view that is valid during the call.
   * @throws internal for a length over the limit
   */
  push(chunk: Buffer, take: (frame: Buffer) => void): void {
    const input = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (input.length - at >= 4) {
      const length = input.readUInt32BE(at);
      if (length === 0 || length > MAX_FRAME_BYTES)
        throw new StrongroomError("internal", "a frame of the token worker has an impossible length");
      if (input.length - at - 4 < length) break;
      take(input.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    // Copied, because the chunk may be a buffer that its owner fills again.
    this.#rest = at === input.length ? EMPTY : Buffer.from(input.subarray(at));
  }
}

const EMPTY = Buffer.alloc(0);

/**
 * The head that a namespace's token remembers. A disk can be set back by its backup, and copied; the token cannot. It
 * is told before anything is signed, so that neither an old data directory nor a second auditor on a copy of it can
 * sign another epoch or show another root than the one that was signed before.
 */
import { framed, fromHex, toHex, uintBE } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

export interface Head {
  /** The newest epoch that was signed, or is about to be; 0 before the first. */
  readonly epoch: number;
  /** Its announcement's SHA-256, hex; 64 zeros before the first. */
  readonly digest: string;
  /** The newest checkpoint that was signed, or is about to be: entries, and the root of their tree (32 bytes). */
  readonly size: number;
  readonly root: Uint8Array;
}

/** Where a namespace's head is kept. Whoever writes gives the whole head; one writer at a time. */
export interface HeadAnchor {
  /** Undefined where there never was one. @throws token errors; record-corrupt */
  read(): Promise<Head | undefined>;
  /** Returns when the token has it. @throws token errors; auditor-refused where it is behind the one that is there */
  write(head: Head): Promise<void>;
}

const TYPE = "strongroom/auditor-head/v1";
const ROOT_BYTES = 32;
/** Framed: type, epoch (8 bytes), digest (32), size (8), root (32). */
const HEAD_BYTES = 5 * 4 + TYPE.length + 8 + 32 + 8 + ROOT_BYTES;

export function encodeHead({ epoch, digest, size, root }: Head): Uint8Array {
  return framed(TYPE, uintBE(epoch, 8), fromHex(digest), uintBE(size, 8), root);
}

/** @throws record-corrupt */
export function decodeHead(bytes: Uint8Array): Head {
  const corrupt = (): StrongroomError =>
    new StrongroomError("record-corrupt", "the token's anchor is not a head", {
      hint: "somebody else wrote it; find out who before anything is signed",
    });
  if (bytes.length !== HEAD_BYTES) throw corrupt();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = 8 + TYPE.length;
  const epoch = Number(view.getBigUint64(at));
  const digest = toHex(bytes.subarray(at + 12, at + 44));
  const size = Number(view.getBigUint64(at + 48));
  const head: Head = { epoch, digest, size, root: bytes.slice(-ROOT_BYTES) };
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(size)) throw corrupt();
  if (toHex(encodeHead(head)) !== toHex(bytes)) throw corrupt();
  return head;
}

/** Neither its epoch nor its size goes back, and one of the same epoch or size says the same of it. */
export function follows(next: Head, before: Head): boolean {
  const sameEpoch = next.epoch === before.epoch;
  const sameSize = next.size === before.size;
  return (
    next.epoch >= before.epoch &&
    next.size >= before.size &&
    (!sameEpoch || next.digest === before.digest) &&
    (!sameSize || toHex(next.root) === toHex(before.root))
  );
}

/** The newest of heads that an interrupted write left; undefined for none. @throws record-corrupt where they contradict */
export function newestHead(heads: readonly Head[]): Head | undefined {
  return heads.reduce<Head | undefined>((best, head) => {
    if (best === undefined || follows(head, best)) return head;
    if (follows(best, head)) return best;
    throw new StrongroomError(
      "record-corrupt",
      "the token has two heads, and neither follows from the other",
    );
  }, undefined);
}

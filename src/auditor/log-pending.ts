/**
 * What a log is about to append: written before the token is told of its root, so that a start after an accident can
 * finish exactly this, and nothing else, once the token has it.
 */
import { unlink } from "node:fs/promises";
import { equal, framed, uintBE } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { MAX_ENTRY_BYTES } from "../merkle/tiles.ts";
import { HASH_BYTES } from "../merkle/tree.ts";

export interface Growth {
  /** Entries before and after. */
  readonly before: number;
  readonly size: number;
  /** Of the tree after; 32 bytes. */
  readonly root: Uint8Array;
  readonly entries: readonly Uint8Array[];
}

const TYPE = "strongroom/log-pending/v1";
/** Of one growth: all its entries are in memory, and argument lists have limits. */
export const MAX_PENDING_ENTRIES: number = 2 ** 12;
const MAX_PENDING_BYTES: number = 1_024 + MAX_PENDING_ENTRIES * (4 + MAX_ENTRY_BYTES);

export function encodeGrowth({ before, size, root, entries }: Growth): Uint8Array {
  return framed(TYPE, uintBE(before, 8), uintBE(size, 8), root, ...entries);
}

/** @throws record-corrupt */
export function decodeGrowth(bytes: Uint8Array): Growth {
  const corrupt = (): StrongroomError =>
    new StrongroomError("record-corrupt", "the log's pending file is not one", {
      hint: "bring back the newest copy of the data directory",
    });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw corrupt();
    const end = at + 4 + view.getUint32(at);
    if (end > bytes.length) throw corrupt();
    fields.push(bytes.slice(at + 4, end));
    at = end;
  }
  const [type, before, size, root, ...entries] = fields;
  if (!type || before?.length !== 8 || size?.length !== 8 || root?.length !== HASH_BYTES) throw corrupt();
  const number = (field: Uint8Array): number => Number(new DataView(field.buffer).getBigUint64(0));
  const growth: Growth = { before: number(before), size: number(size), root, entries };
  const whole =
    growth.size === growth.before + entries.length &&
    entries.length > 0 &&
    entries.every(({ length }) => length <= MAX_ENTRY_BYTES);
  if (!whole || !Number.isSafeInteger(growth.size) || !equal(encodeGrowth(growth), bytes)) throw corrupt();
  return growth;
}

export class PendingGrowth {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws record-corrupt, file-failed */
  async read(): Promise<Growth | undefined> {
    const bytes = await readIfThere(this.#path, MAX_PENDING_BYTES);
    return bytes && decodeGrowth(bytes);
  }

  /** @throws file-failed, store-full */
  async write(growth: Growth): Promise<void> {
    await writeDurably(this.#path, encodeGrowth(growth));
  }

  /** One that comes back after an accident is recognised by its sizes. */
  async forget(): Promise<void> {
    await unlink(this.#path).catch(() => undefined);
  }
}

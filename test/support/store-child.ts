/**
 * A process of its own with a store, for tests that kill it or fill its disk. Its standard output says, line by
 * line, what it was told by the store.
 *
 *   hammer <path>          compare-and-swap without end, eight at a time: `id revision` for each acknowledged swap
 *   fill <path> <ballast>  fill the disk with records, free space by deleting the ballast file, go on: one JSON line
 *   hold <path>            open the store and wait
 */
import { randomBytes } from "node:crypto";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { toHex } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";

const [mode, path = "", ballast = ""] = process.argv.slice(2);

async function hammer(store: RecordStore): Promise<never> {
  const worker = async (): Promise<never> => {
    const ids = Array.from({ length: 8 }, () => randomBytes(32));
    for (let round = 0; ; round++) {
      const id = ids[round % ids.length] ?? randomBytes(32);
      const found = await store.get(id);
      const result = await store.compareAndSwap(id, found?.revision, randomBytes(1581));
      if (result.swapped) process.stdout.write(`${toHex(id)} ${result.revision}\n`);
    }
  };
  return (await Promise.all(Array.from({ length: 8 }, worker)))[0] as never;
}

/** Writes until the store says no `refusals` times; returns what it acknowledged and what it answered. */
async function writeUntilFull(store: RecordStore, acknowledged: Map<string, Uint8Array>, limit: number) {
  const answers = new Map<string, number>();
  const say = (answer: string): unknown => answers.set(answer, (answers.get(answer) ?? 0) + 1);
  const one = async (): Promise<void> => {
    const id = randomBytes(32);
    const value = randomBytes(1581);
    try {
      const result = await store.compareAndSwap(id, undefined, value);
      if (result.swapped) acknowledged.set(toHex(id), value);
      say(result.swapped ? "swapped" : "refused");
    } catch (error) {
      say(isStrongroomError(error) ? error.code : String(error));
    }
  };
  for (let n = 0; n < limit; n += 10) await Promise.all(Array.from({ length: 10 }, one));
  return Object.fromEntries(answers);
}

async function lost(store: RecordStore, acknowledged: Map<string, Uint8Array>): Promise<number> {
  let count = 0;
  for (const [id, value] of acknowledged) {
    const found = await store.get(Buffer.from(id, "hex"));
    if (!found || Buffer.compare(found.value, value) !== 0) count++;
  }
  return count;
}

const checked = (store: RecordStore): Promise<string> =>
  store.check().then(
    () => "ok",
    (error) => (isStrongroomError(error) ? error.code : String(error)),
  );

async function fill(): Promise<void> {
  writeFileSync(ballast, new Uint8Array(2 << 20));
  const store = await openLmdbStore({ path });
  const acknowledged = new Map<string, Uint8Array>();
  const full = await writeUntilFull(store, acknowledged, 6000);
  const checkWhenFull = await checked(store);
  const lostWhenFull = await lost(store, acknowledged);
  rmSync(ballast);
  const freed = await writeUntilFull(store, acknowledged, 200);
  const checkWhenFreed = await checked(store);
  await store.close();
  const reopened = await openLmdbStore({ path });
  const lostAtTheEnd = await lost(reopened, acknowledged);
  await reopened.close();
  process.stdout.write(
    JSON.stringify({
      full,
      checkWhenFull,
      lostWhenFull,
      freed,
      checkWhenFreed,
      lostAtTheEnd,
      bytes: statSync(`${path}/data.mdb`).size,
    }),
  );
}

async function main(): Promise<void> {
  if (mode === "fill") return fill();
  const store = await openLmdbStore({ path });
  process.stdout.write("open\n");
  if (mode === "hammer") await hammer(store);
  setInterval(() => undefined, 1 << 30);
}

await main().catch((error) => process.stdout.write(isStrongroomError(error) ? error.code : String(error)));

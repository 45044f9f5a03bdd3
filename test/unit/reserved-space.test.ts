/** Space that is taken in advance for LMDB, counted while writes come and go. */
import type { FileHandle } from "node:fs/promises";
import { expect, test } from "vitest";
import { reservedSpace } from "../../src/store/reserved-space.ts";

const PAGE = 4096;
const MIB = 1 << 20;

/** A disk with so much room, and an LMDB that takes a page for each write. */
function disk(size: number, room: number) {
  let bytes = size;
  let lastPage = 10;
  let held: (() => void) | undefined;
  const file = {
    stat: () => Promise.resolve({ size: bytes }),
    write: (_: Uint8Array, __: number, length: number, at: number) => {
      if (at + length > room) return Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }));
      bytes = at + length;
      return Promise.resolve({ bytesWritten: length });
    },
    // The first one takes its time.
    datasync: () =>
      held
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            held = resolve;
          }),
  };
  return {
    space: reservedSpace(file as unknown as FileHandle, () => ({ pageSize: PAGE, lastPage })),
    take: (pages: number) => {
      lastPage += pages;
    },
    /** Pages that LMDB would have to append beyond what was reserved for it. */
    missing: () => Math.max(0, lastPage + 1 - bytes / PAGE),
    syncing: () => held !== undefined,
    synced: () => held?.(),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("writes that settle while the file is lengthened have taken what they took", async () => {
  const { space, take, syncing, synced, missing } = disk(2 * MIB, 8 * MIB);
  const settle: (() => void)[] = [];
  const waiting: Promise<() => void>[] = [];
  while (!syncing()) {
    const reserved = space.reserve();
    waiting.push(reserved);
    await turn();
    if (!syncing()) settle.push(await reserved);
  }
  // Each of them took all that was reserved for it, and is done before the disk has answered.
  for (const done of settle) {
    take(8);
    done();
  }
  synced();
  let worst = 0;
  const full = new Promise<string>((resolve) => {
    const fill = async (): Promise<void> => {
      try {
        for (;;) {
          const done = await space.reserve();
          take(8);
          worst = Math.max(worst, missing());
          done();
        }
      } catch (error) {
        resolve(String(error));
      }
    };
    void fill();
  });
  expect(await full).toContain("no space left");
  expect(worst).toBe(0);
});

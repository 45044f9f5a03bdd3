/** LMDB stores in a temporary directory of their own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { RecordStore } from "../../src/store/record-store.ts";

export interface Tables {
  readonly dir: string;
  /** As many as were asked for. */
  readonly tables: readonly RecordStore[];
  remove(): Promise<void>;
}

export async function openTables(count: number): Promise<Tables> {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-tables-"));
  const tables = await Promise.all(
    Array.from({ length: count }, (_, i) => openLmdbStore({ path: join(dir, String(i)) })),
  );
  return {
    dir,
    tables,
    async remove() {
      await Promise.all(tables.map((table) => table.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

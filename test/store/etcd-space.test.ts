/** A cluster that reaches its quota: etcd refuses writes then, and applies the one that went over. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { type EtcdCluster, PATIENT, startEtcdCluster, storeAt } from "../support/etcd-cluster.ts";

let cluster: EtcdCluster;
let store: RecordStore;

beforeAll(async () => {
  cluster = await startEtcdCluster({ quotaBytes: 16 * 2 ** 20 });
  store = await storeAt(cluster, 0, PATIENT);
});
afterAll(async () => {
  await store?.close();
  await cluster?.close();
});

test("store-full means not written; reads go on; space that is made is used at once", async () => {
  const ids = Array.from({ length: 32 }, () => Uint8Array.from(randomBytes(32)));
  const stored = new Map<Uint8Array, { value: Uint8Array; revision: bigint }>();
  let full = 0;
  /** Replaces its record, so that old versions fill the database, until the cluster is full. */
  const fill = async (id: Uint8Array): Promise<void> => {
    for (;;) {
      const value = Uint8Array.from(randomBytes(40_000));
      try {
        const result = await store.compareAndSwap(id, stored.get(id)?.revision, value);
        if (!result.swapped) throw new Error("nobody else writes this record");
        stored.set(id, { value, revision: result.revision });
      } catch (error) {
        if (!isStrongroomError(error, "store-full")) throw error;
        full++;
        return;
      }
    }
  };
  await Promise.all(ids.map(fill));
  expect(full).toBe(ids.length);
  for (const id of ids) expect(await store.get(id)).toEqual(stored.get(id));
  await expect(store.check()).rejects.toMatchObject({ code: "store-full" });
  // One that would lose anyway is still told with what is stored.
  const [id] = ids;
  if (id === undefined) throw new Error("no record");
  const lost = await store.compareAndSwap(id, 1n, Uint8Array.of(1));
  expect(lost).toEqual({ swapped: false, current: stored.get(id) });

  const [{ Status: status }] = JSON.parse(await cluster.etcdctl(["endpoint", "status", "-w", "json"], 0)) as [
    { Status: { header: { revision: number } } },
  ];
  await cluster.etcdctl(["compact", "--physical", `${status.header.revision}`]);
  for (const member of cluster.members.keys()) await cluster.etcdctl(["defrag"], member);
  await cluster.etcdctl(["alarm", "disarm"]);
  await expect
    .poll(
      () =>
        store
          .check()
          .then(() => "ok")
          .catch((error: { code: string }) => error.code),
      {
        timeout: 60_000,
      },
    )
    .toBe("ok");
  const swapped = await store.compareAndSwap(id, stored.get(id)?.revision, Uint8Array.of(2));
  expect(swapped.swapped).toBe(true);
});

/** Records in a real etcd cluster of three members, with TLS and access control. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RecordStore, SwapResult } from "../../src/store/record-store.ts";
import { type EtcdCluster, PATIENT, startEtcdCluster, storeAt } from "../support/etcd-cluster.ts";
import { type FaultyProxy, startFaultyProxy } from "../support/faulty-proxy.ts";

let cluster: EtcdCluster;
let proxies: FaultyProxy[];
let store: RecordStore;

beforeAll(async () => {
  cluster = await startEtcdCluster();
  proxies = await Promise.all(cluster.clientUrls.map(startFaultyProxy));
  store = await storeAt(cluster, 0, PATIENT);
});
afterAll(async () => {
  await store?.close();
  await Promise.all(proxies?.map((proxy) => proxy.close()) ?? []);
  await cluster?.close();
});

const newId = (): Uint8Array => Uint8Array.from(randomBytes(32));
const newValue = (): Uint8Array => Uint8Array.from(randomBytes(1000));

async function created(id: Uint8Array, value: Uint8Array): Promise<bigint> {
  const result = await store.compareAndSwap(id, undefined, value);
  if (!result.swapped) throw new Error("something is stored already");
  return result.revision;
}

describe("compare and swap", () => {
  test("nothing is stored until something is", async () => {
    expect(await store.get(newId())).toBeUndefined();
  });

  test("a write is read back under its revision, at every member", async () => {
    const [id, value] = [newId(), newValue()];
    const revision = await created(id, value);
    for (const member of [0, 1, 2]) {
      const other = await storeAt(cluster, member, PATIENT);
      expect(await other.get(id)).toEqual({ value, revision });
      await other.close();
    }
  });

  test("only the revision that is stored can be replaced", async () => {
    const [id, first, second] = [newId(), newValue(), newValue()];
    expect(await store.compareAndSwap(id, 1n, first)).toEqual({ swapped: false, current: undefined });
    const revision = await created(id, first);
    const stays = { swapped: false, current: { value: first, revision } };
    expect(await store.compareAndSwap(id, undefined, second)).toEqual(stays);
    expect(await store.compareAndSwap(id, revision - 1n, second)).toEqual(stays);
    expect(await store.compareAndSwap(id, revision + 1n, second)).toEqual(stays);
    const next = await store.compareAndSwap(id, revision, second);
    expect(next.swapped && next.revision > revision).toBe(true);
    expect((await store.get(id))?.value).toEqual(second);
  });

  test("a swap that lost is not taken for won because the bytes are the same", async () => {
    const [id, value] = [newId(), newValue()];
    const revision = await created(id, value);
    expect(await store.compareAndSwap(id, undefined, value)).toEqual({
      swapped: false,
      current: { value, revision },
    });
  });

  test("an empty value is a value", async () => {
    const id = newId();
    const revision = await created(id, new Uint8Array());
    expect(await store.get(id)).toEqual({ value: new Uint8Array(), revision });
  });

  test("ids must have 32 bytes, and records a size that etcd takes", async () => {
    await expect(store.get(new Uint8Array(31))).rejects.toMatchObject({ code: "internal" });
    const large = new Uint8Array(2 ** 20 + 1);
    await expect(store.compareAndSwap(newId(), undefined, large)).rejects.toMatchObject({ code: "internal" });
    await created(newId(), large.subarray(1));
  });

  test("of 100 writers of one revision exactly one wins, round after round", async () => {
    const id = newId();
    const stores = await Promise.all([0, 1, 2].map((member) => storeAt(cluster, member, PATIENT)));
    let expected: bigint | undefined;
    for (let round = 0; round < 5; round++) {
      const values = Array.from({ length: 100 }, newValue);
      const results = await Promise.all(
        values.map(async (value, i): Promise<[Uint8Array, SwapResult]> => {
          const at = stores[i % 3] ?? store;
          return [value, await at.compareAndSwap(id, expected, value)];
        }),
      );
      const winners = results.filter(([, result]) => result.swapped);
      expect(winners).toHaveLength(1);
      const [value, result] = winners[0] ?? [];
      const current = await store.get(id);
      expect(current?.value).toEqual(value);
      expect(result).toEqual({ swapped: true, revision: current?.revision });
      for (const [, lost] of results) if (!lost.swapped) expect(lost).toEqual({ swapped: false, current });
      expected = current?.revision;
    }
    await Promise.all(stores.map((one) => one.close()));
  });

  test("more calls than a channel carries are queued, not starved", async () => {
    const ids = Array.from({ length: 600 }, newId);
    const results = await Promise.all(ids.map((id) => store.compareAndSwap(id, undefined, newValue())));
    expect(results.every((result) => result.swapped)).toBe(true);
  });

  test("check writes, and a closed store says so", async () => {
    const other = await storeAt(cluster, 1);
    await other.check();
    expect(await cluster.etcdctl(["get", `${cluster.prefix}health/site-1`])).toContain('"shards":1');
    const last = other.get(newId());
    await other.close();
    expect(await last).toBeUndefined();
    await expect(other.get(newId())).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(other.check()).rejects.toMatchObject({ code: "store-unavailable" });
  });
});

describe("a write whose answer was lost", () => {
  /** A store that reaches its members through the proxies, all connected and in the given modes. */
  async function throughProxies(modes: readonly FaultyProxy["mode"][]): Promise<RecordStore> {
    for (const proxy of proxies) proxy.mode = "pass";
    const urls = proxies.map((proxy) => proxy.url);
    const through = await storeAt(cluster, 0, { urls, tryMs: 700, operationMs: 4000 });
    await through.get(newId());
    for (const [i, mode] of modes.entries()) {
      const proxy = proxies[i];
      if (proxy) proxy.mode = mode;
    }
    return through;
  }

  test.each(["deaf", "cut"] as const)("is recognised at another member (%s)", async (mode) => {
    const through = await throughProxies([mode]);
    const [id, value] = [newId(), newValue()];
    const result = await through.compareAndSwap(id, undefined, value);
    const current = await store.get(id);
    expect(current?.value).toEqual(value);
    expect(result).toEqual({ swapped: true, revision: current?.revision });
    await through.close();
  });

  test("is handed back with what replaced it", async () => {
    const through = await throughProxies(["deaf"]);
    const [id, ours, theirs] = [newId(), newValue(), newValue()];
    const writing = through.compareAndSwap(id, undefined, ours);
    let seen = await store.get(id);
    while (seen === undefined) seen = await store.get(id);
    const replaced = await store.compareAndSwap(id, seen.revision, theirs);
    if (!replaced.swapped) throw new Error("the test's own write lost");
    expect(await writing).toEqual({
      swapped: false,
      current: { value: theirs, revision: replaced.revision },
    });
    await through.close();
  });

  test("is written once, where the first try never arrived", async () => {
    const through = await throughProxies([]);
    const first = proxies[0];
    if (first) first.mode = "closed";
    await first?.close();
    const [id, value] = [newId(), newValue()];
    const result = await through.compareAndSwap(id, undefined, value);
    expect(result).toEqual({ swapped: true, revision: (await store.get(id))?.revision });
    await through.close();
    const [url] = cluster.clientUrls;
    if (url) proxies[0] = await startFaultyProxy(url);
  });

  test("stays in doubt if nobody answers, and was made all the same", async () => {
    const through = await throughProxies(["deaf", "deaf", "deaf"]);
    const [id, value] = [newId(), newValue()];
    await expect(through.compareAndSwap(id, undefined, value)).rejects.toMatchObject({
      code: "store-ambiguous",
    });
    expect((await store.get(id))?.value).toEqual(value);
    await expect(through.get(id)).rejects.toMatchObject({ code: "store-unavailable" });
    // The members are asked again by themselves.
    for (const proxy of proxies) proxy.mode = "pass";
    await expect.poll(() => through.get(id).catch(() => undefined), { timeout: 60_000 }).toBeDefined();
    await through.close();
  });
});

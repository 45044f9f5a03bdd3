/**
 * Members of a real cluster are killed and stopped under load. Afterwards the history that etcd itself keeps must
 * explain everything the writers were told.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { decodeRange, encodeRange, RANGE } from "../../src/store/etcd/messages.ts";
import { openCluster, storeKeys } from "../../src/store/open-etcd.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { type EtcdCluster, startEtcdCluster, storeAt, storeConfig } from "../support/etcd-cluster.ts";

let cluster: EtcdCluster;
let stores: RecordStore[];

beforeAll(async () => {
  cluster = await startEtcdCluster();
  stores = await Promise.all([0, 1, 2].map((member) => storeAt(cluster, member)));
});
afterAll(async () => {
  await Promise.all(stores?.map((store) => store.close()) ?? []);
  await cluster?.close();
});

const newId = (): Uint8Array => Uint8Array.from(randomBytes(32));

/** What a writer was told of one write; a revision of 0 stands for "nothing stored". */
interface Event {
  readonly id: Uint8Array;
  readonly expected: bigint;
  readonly value: string;
  readonly outcome: "swapped" | "lost" | "ambiguous" | "unavailable";
  readonly revision?: bigint;
}

/** Writers that replace what they last read, on few records, so that they race all the time. */
class Load {
  readonly ids: readonly Uint8Array[] = Array.from({ length: 8 }, newId);
  readonly events: Event[] = [];
  #running = true;
  readonly #writers: Promise<void>[];

  constructor(writers: number) {
    this.#writers = Array.from({ length: writers }, (_, writer) => this.#write(writer));
  }

  /** Resolves when this many more swaps were acknowledged. */
  async acknowledged(count: number): Promise<void> {
    const total = (): number => this.events.filter((event) => event.outcome === "swapped").length;
    const wanted = total() + count;
    while (total() < wanted) await sleep(20);
  }

  async end(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#writers);
  }

  async #write(writer: number): Promise<void> {
    const store = stores[writer % stores.length];
    for (let n = 0; this.#running && store !== undefined; n++) {
      const id = this.ids[(writer + n) % this.ids.length] ?? newId();
      let expected = 0n;
      const value = `${writer}.${n}.${randomBytes(8).toString("hex")}`;
      try {
        expected = (await store.get(id))?.revision ?? 0n;
      } catch (error) {
        if (!isStrongroomError(error, "store-unavailable")) throw error;
        continue;
      }
      const event = { id, expected, value };
      try {
        const result = await store.compareAndSwap(id, expected || undefined, utf8(`${expected} ${value}`));
        this.events.push(
          result.swapped
            ? { ...event, outcome: "swapped", revision: result.revision }
            : { ...event, outcome: "lost" },
        );
      } catch (error) {
        if (isStrongroomError(error, "store-ambiguous")) this.events.push({ ...event, outcome: "ambiguous" });
        else if (isStrongroomError(error, "store-unavailable"))
          this.events.push({ ...event, outcome: "unavailable" });
        else throw error;
      }
    }
  }
}

/** Every revision that a record ever had, newest first: what etcd knows. */
async function historyOf(id: Uint8Array): Promise<{ revision: bigint; text: string }[]> {
  const config = storeConfig(cluster).etcd;
  if (config === undefined) throw new Error("not etcd");
  const client = openCluster(config, "main", "site-0");
  const history: { revision: bigint; text: string }[] = [];
  let revision: bigint | undefined;
  for (;;) {
    const request = encodeRange({
      key: storeKeys(config).record(id),
      ...(revision === undefined ? {} : { revision }),
    });
    const [kv] = (await client.request(RANGE, request, decodeRange)).kvs;
    if (kv === undefined) break;
    history.push({ revision: kv.modRevision, text: fromUtf8(kv.value) });
    revision = kv.modRevision - 1n;
  }
  await client.close();
  return history;
}

/** No lost update, nothing acknowledged that is not there, nothing refused that is. */
async function check(load: Load): Promise<void> {
  for (const id of load.ids) {
    const history = await historyOf(id);
    // Each write replaced the one before it: no write was overwritten unseen.
    for (const [i, { text }] of history.entries())
      expect(text.split(" ")[0]).toBe(`${history[i + 1]?.revision ?? 0}`);
    const stored = new Map(history.map(({ revision, text }) => [text.split(" ")[1], revision]));
    for (const { value, outcome, revision } of load.events.filter((event) => event.id === id)) {
      if (outcome === "swapped") expect(stored.get(value)).toBe(revision);
      if (outcome === "unavailable") expect(stored.has(value)).toBe(false);
    }
    // "Lost" may have been applied and replaced; then the write that replaced it is there, newer.
    expect(stored.size).toBe(history.length);
    const known = new Set(load.events.filter((event) => event.id === id).map((event) => event.value));
    for (const value of stored.keys()) expect(known).toContain(value);
  }
}

test("kill -9 of the leader, again and again: nothing acknowledged is lost", async () => {
  const load = new Load(24);
  for (let round = 0; round < 3; round++) {
    await load.acknowledged(200);
    const leader = await cluster.leader();
    await cluster.kill9(leader);
    await load.acknowledged(200);
    await cluster.restart(leader);
  }
  await load.acknowledged(200);
  await load.end();
  await check(load);
});

test("the leader hangs: writes go on without it, and it does no harm when it wakes up", async () => {
  const load = new Load(24);
  await load.acknowledged(200);
  const leader = await cluster.leader();
  cluster.stop(leader);
  await load.acknowledged(200);
  cluster.cont(leader);
  await load.acknowledged(200);
  await load.end();
  await check(load);
});

test("without a majority every operation is refused, and goes on when it is back", async () => {
  const id = newId();
  const [store, ...others] = stores;
  if (store === undefined) throw new Error("no store");
  const first = await store.compareAndSwap(id, undefined, utf8("before"));
  if (!first.swapped) throw new Error("something is stored already");
  await cluster.kill9(1);
  await cluster.kill9(2);
  // The member that is left finds out within an election; until then a write may be in doubt.
  await expect
    .poll(() => store.check().catch((error: { code: string }) => error.code), { timeout: 60_000 })
    .toBe("store-unavailable");
  const write = utf8("without a majority");
  for (const one of stores) {
    await expect(one.get(id)).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(one.check()).rejects.toMatchObject({ code: "store-unavailable" });
    await expect(one.compareAndSwap(id, first.revision, write)).rejects.toMatchObject({
      code: "store-unavailable",
      message: expect.stringContaining("no leader"),
    });
  }
  await cluster.restart(1);
  await expect
    .poll(() => store.get(id).catch(() => undefined), { timeout: 60_000 })
    .toEqual({ value: utf8("before"), revision: first.revision });
  for (const one of [store, ...others])
    await expect
      .poll(
        () =>
          one
            .check()
            .then(() => "ok")
            .catch(() => "not yet"),
        { timeout: 60_000 },
      )
      .toBe("ok");
  await cluster.restart(2);
});

/** What the service does without its token or without disk space, and that nothing is lost by it or by a restart. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLoadClient, type LoadAccount, type LoadClient } from "../../scripts/benchmark/load-client.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { startTokenPool } from "../../src/token/pool.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { openRecord, recordIdStep, recordKeyStep, saltOf } from "../../src/vault/record-seal.ts";
import { recover, register } from "../support/flow.ts";
import { until } from "../support/http.ts";
import { Person } from "../support/people.ts";
import {
  FLEET,
  type Overrides,
  type Site,
  type SpawnedService,
  spawnService,
  startTestService,
  TENANT,
  type TestService,
} from "../support/service.ts";

const CODE = "orchard tandem velvet quarry";

async function start(overrides: Overrides = {}): Promise<TestService> {
  const service = await startTestService(overrides);
  onTestFinished(() => service.close());
  return service;
}

interface Ready {
  readonly status: number;
  readonly token: { readonly ok: boolean; readonly detail: string };
  readonly store: { readonly ok: boolean; readonly detail: string };
}

async function readyz({ url }: Site): Promise<Ready> {
  const response = await fetch(`${url}/readyz`);
  const { token, store } = await response.json();
  return { status: response.status, token, store };
}

/** People who register and recover without end, and what they were refused with. A stranger joins now and then. */
class Crowd {
  readonly people: Person[] = [];
  readonly refusals: string[] = [];
  served = 0;
  readonly #loops: Promise<void>[];
  #going = true;

  constructor(site: Site, size: number) {
    this.#loops = Array.from({ length: size }, () => this.#live(site));
  }

  async #live(site: Site): Promise<void> {
    let person: Person | undefined;
    let turn = 0;
    while (this.#going) {
      if (!person || turn++ % 4 === 0) {
        person = new Person(site);
        this.people.push(person);
      }
      try {
        await person.register();
        for (const promised of [person.holds, person.holds]) {
          if (promised && !(await person.recover(promised))) throw new Error("the right code was refused");
          this.served++;
        }
      } catch (error) {
        this.refusals.push(String(error));
      }
    }
  }

  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#loops);
  }

  /** Waits for so many more answers or refusals. */
  async more(what: "served" | "refused", count: number): Promise<void> {
    const seen = (): number => (what === "served" ? this.served : this.refusals.length);
    const before = seen();
    await until(() => seen() >= before + count);
  }
}

describe("under load", () => {
  test("the token goes and comes, twice: red and unavailable, then green, with no restart and nothing lost", async () => {
    const service = await start();
    const crowd = new Crowd(service, 8);
    for (let outage = 0; outage < 2; outage++) {
      await crowd.more("served", 20);
      service.hsm.takeAway();
      try {
        await until(async () => (await readyz(service)).status === 503);
        const { token, store } = await readyz(service);
        expect(token).toMatchObject({ ok: false, detail: expect.stringContaining("token") });
        expect(store.ok).toBe(true);
        await crowd.more("refused", 10);
      } finally {
        service.hsm.putBack();
      }
      await until(async () => (await readyz(service)).status === 200);
    }
    await crowd.more("served", 20);
    await crowd.stop();
    expect(crowd.refusals.filter((text) => !text.includes("unavailable"))).toEqual([]);
    for (const person of crowd.people) await person.collect();
  });

  test("the disk fills up and is freed: red and unavailable, then green, with no restart and nothing lost", async () => {
    const disk = mkdtempSync(join(tmpdir(), "strongroom-disk-"));
    onTestFinished(() => rmSync(disk, { recursive: true }));
    // Without a file system of our own there is no disk that can be filled: this needs the right to mount.
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", disk]);
    onTestFinished(() => {
      execFileSync("umount", [disk]);
    });
    mkdirSync(join(disk, "records"));
    const service = await start({ store: { lmdb: { path: join(disk, "records") } } });
    const client = createLoadClient(service.url, service.manifest);
    onTestFinished(() => client.close());
    const others: LoadAccount[] = [];
    const crowd = new Crowd(service, 4);
    await crowd.more("served", 20);
    for (let outage = 0; outage < 2; outage++) {
      const ballast = join(disk, "ballast");
      fill(ballast);
      others.push(...(await useUpSpace(service, client)));
      await until(async () => (await readyz(service)).status === 503);
      const { token, store } = await readyz(service);
      expect(store).toMatchObject({ ok: false, detail: expect.stringContaining("space") });
      expect(token.ok).toBe(true);
      await crowd.more("refused", 10);
      rmSync(ballast);
      await until(async () => (await readyz(service)).status === 200);
      await crowd.more("served", 20);
    }
    await crowd.stop();
    expect(crowd.refusals.filter((text) => !text.includes("unavailable"))).toEqual([]);
    for (const person of crowd.people) await person.collect();
    await Promise.all(others.map((account) => client.recover(account)));
  });
});

/** Cheap registrations, so that the store needs more space than it has set aside; until one is refused. */
async function useUpSpace(site: Site, client: LoadClient): Promise<LoadAccount[]> {
  const registered: LoadAccount[] = [];
  const run = async (): Promise<void> => {
    for (;;) {
      const subject = randomUUID();
      const token = await site.issueToken(subject);
      const account = { account: { tenant: TENANT, subject }, token, next: 0 };
      try {
        await client.register(account);
      } catch (error) {
        expect(String(error)).toContain("unavailable");
        return;
      }
      registered.push(account);
    }
  };
  await Promise.all(Array.from({ length: 8 }, run));
  return registered;
}

/** Takes all the space that is left, to the last block. */
function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (let size = 1 << 20; size >= 512; size >>= 1) {
      const zeros = new Uint8Array(size);
      try {
        for (;;) writeSync(file, zeros);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** What the store of a stopped service holds for an account, opened with the token's record key. */
async function readRecord(site: Site, subject: string): Promise<VaultRecord | undefined> {
  const store = await openLmdbStore({ path: join(site.dir, "records") });
  const pool = startTokenPool({
    uri: site.hsm.uri,
    profile: "softhsm2",
    keys: vaultKeys(FLEET, [0]),
    workers: 1,
  });
  try {
    await pool.whenReady(30_000);
    const [id] = await pool.run([recordIdStep({ tenant: TENANT, subject })]);
    const found = await store.get(id);
    if (!found) return undefined;
    const [key] = await pool.run([recordKeyStep(id, saltOf(found.value, 1))]);
    return openRecord(found.value, { key, id, shareCount: 1 });
  } finally {
    await pool.close();
    await store.close();
  }
}

test("ten wrong codes destroy the record: the right one comes too late, and no share is left to evaluate", async () => {
  const service = await spawnService();
  onTestFinished(() => service.close());
  await register(service, "alice", CODE);
  await register(service, "bob", CODE);
  for (let i = 0; i < 10; i++) expect(await recover(service, "alice", `wrong ${i}`)).toBeUndefined();

  await service.stop();
  const before = await readRecord(service, "alice");
  expect(before).toMatchObject({ state: "active", registration: { seq: 10, base: 0 } });
  expect(before?.registration?.shares).toHaveLength(1);
  await service.restart();

  await expect(recover(service, "alice", CODE)).rejects.toThrow("recover-start: destroyed");
  await expect(recover(service, "alice", CODE)).rejects.toThrow("recover-start: destroyed");
  await service.stop();
  const after = await readRecord(service, "alice");
  expect(after).toMatchObject({ state: "destroyed", generation: 1 });
  expect(after?.registration).toBeUndefined();
  expect((await readRecord(service, "bob"))?.registration?.shares).toHaveLength(1);

  await service.restart();
  await expect(recover(service, "alice", CODE)).rejects.toThrow("recover-start: destroyed");
  const again = await register(service, "alice", CODE);
  expect(await recover(service, "alice", CODE)).toEqual(again);
});

const workers = ({ logs }: SpawnedService): number[] =>
  logs.filter((line) => line.includes("worker-ready")).map((line) => Number(JSON.parse(line).pid));

test("the stock client finishes what it began across restarts of the token's worker and of the service", async () => {
  const service = await spawnService();
  onTestFinished(() => service.close());
  const killWorker = async (): Promise<void> => {
    const started = workers(service);
    process.kill(started.at(-1) ?? 0, "SIGKILL");
    await until(() => workers(service).length > started.length);
    // A new worker serves when it has proved its keys.
    await until(async () => (await readyz(service)).status === 200);
  };
  const backupKey = await register(service, "alice", CODE);
  await killWorker();
  expect(await recover(service, "alice", CODE)).toEqual(backupKey);

  const restarts: readonly (() => Promise<void>)[] = [
    killWorker,
    () => service.restart(),
    async () => {
      await service.kill9();
      await service.restart();
    },
  ];
  for (const restart of restarts) {
    const [subject, code] = [`user-${restarts.indexOf(restart)}`, "another code"];
    // The same site to the client, which sends its second message to a service that never saw the first.
    const interrupted = {
      ...service,
      issueToken: async (name: string) => {
        if (sent++ % 2 === 1) await restart();
        return service.issueToken(name);
      },
    };
    let sent = 0;
    const key = await register(interrupted, subject, code);
    expect(await recover(interrupted, subject, code)).toEqual(key);
    expect(await recover(interrupted, subject, "wrong")).toBeUndefined();
    expect(sent).toBe(5);
    expect(await recover(service, "alice", CODE)).toEqual(backupKey);
  }
});

/**
 * Whoever has some sites of a fleet entirely: their disks, tokens and PINs, their identity keys, and the vault's
 * certificate for the store. The services of those sites are stopped; what they could ask of others is asked from here.
 */
import { toHex } from "../../src/base/bytes.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { createPeers, type Peers } from "../../src/fleet/peers.ts";
import type { EvaluateShares, SiteService } from "../../src/fleet/site-service.ts";
import { memberKeys } from "../../src/keys/member-keys.ts";
import type { RecordStore } from "../../src/store/record-store.ts";
import { startTokenPool, type TokenPool } from "../../src/token/pool.ts";
import type { VaultRecord } from "../../src/vault/record.ts";
import { openRecord, recordIdStep, recordKeyStep, saltOf, sealRecord } from "../../src/vault/record-seal.ts";
import { PATIENT, storeAt } from "./etcd-cluster.ts";
import type { TestFleet } from "./fleet.ts";
import { TENANT } from "./issuer.ts";

export interface Attacker {
  readonly store: RecordStore;
  /** A token in the attacker's hands. */
  token(site: number): TokenPool;
  /** Another site, as that one reaches it. */
  peer(site: number, honest: number): SiteService;
  recordId(subject: string): Promise<Uint8Array>;
  /** What the store has of the record, sealed. */
  snapshot(id: Uint8Array): Promise<Uint8Array>;
  open(id: Uint8Array, sealed: Uint8Array): Promise<VaultRecord>;
  seal(id: Uint8Array, record: VaultRecord): Promise<Uint8Array>;
  /** Overwrites the record, whatever it is. */
  put(id: Uint8Array, sealed: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Stops the services of `sites` and takes what they had. */
export async function seize(fleet: TestFleet, sites: readonly number[]): Promise<Attacker> {
  const { manifest, names } = fleet;
  const shareCount = fleet.tokens.sets.length;
  const pools = new Map<number, TokenPool>();
  const peers = new Map<number, Peers>();
  for (const site of sites) {
    await fleet.kill9(site);
    const hsm = fleet.tokens.tokens[site];
    const { keys } = memberKeys(manifest, names[site]);
    const pool = startTokenPool({
      uri: hsm?.uri ?? "",
      profile: "softhsm2",
      keys,
      workers: 1,
      deadlineMs: 30_000,
      env: hsm?.env,
    });
    pools.set(site, pool);
    await pool.whenReady(30_000);
    const self = names[site] ?? "";
    const common = { clock: systemClock, random: randomBytes, callMs: 30_000 };
    peers.set(site, createPeers({ manifest, self, token: pool, ...common }));
  }
  const store = await storeAt(fleet.etcd, 0, PATIENT);

  const token = (site: number): TokenPool => {
    const pool = pools.get(site);
    if (!pool) throw new Error(`site ${site} is not the attacker's`);
    return pool;
  };
  const first = token(sites[0] ?? -1);
  async function keyOf(id: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
    const [key] = await first.run([recordKeyStep(id, salt)]);
    return key;
  }
  return {
    store,
    token,
    peer: (site, honest) => {
      const handle = peers.get(site)?.handles.get(honest);
      if (!handle) throw new Error(`site ${site} has no peer ${honest}`);
      return handle.service;
    },
    async recordId(subject) {
      const [id] = await first.run([recordIdStep({ tenant: TENANT, subject })]);
      return id;
    },
    async snapshot(id) {
      const found = await store.get(id);
      if (!found) throw new Error(`no record ${toHex(id)}`);
      return found.value;
    },
    open: async (id, sealed) =>
      openRecord(sealed, { key: await keyOf(id, saltOf(sealed, shareCount)), id, shareCount }),
    async seal(id, record) {
      const salt = randomBytes(16);
      return sealRecord(record, salt, { key: await keyOf(id, salt), id, shareCount });
    },
    async put(id, sealed) {
      const found = await store.get(id);
      const { swapped } = await store.compareAndSwap(id, found?.revision, sealed);
      if (!swapped) throw new Error("somebody else wrote the record");
    },
    async close() {
      for (const one of peers.values()) one.close();
      await store.close();
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}

/** What became of a request: `evaluated`, or the code it was refused with and the guard's reason. */
export async function outcome(service: SiteService, request: EvaluateShares): Promise<string> {
  try {
    await service.evaluate(request);
    return "evaluated";
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    const { reason } = error.details;
    return typeof reason === "string" ? `${error.code}: ${reason}` : error.code;
  }
}

/** Shares that the token of a site has evaluated since its service began, by what the service counted. */
export async function evaluations(fleet: TestFleet, site: number): Promise<number> {
  const text = await (await fetch(`${fleet.urls[site]}/metrics`)).text();
  const line = /^strongroom_token_step_seconds_count\{.*step="evaluate-share",outcome="ok"\} (\d+)$/gm;
  return [...text.matchAll(line)].reduce((sum, [, count]) => sum + Number(count), 0);
}

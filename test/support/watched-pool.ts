/** A pool of workers on a SoftHSM token with the keys of token-keys.ts, and what it told its observer. */
import { openSession } from "../../src/token/open.ts";
import { startTokenPool, type TokenConfig, type TokenPool } from "../../src/token/pool.ts";
import type { SoftHsm } from "./softhsm.ts";
import { DRIVER_KEYS, type KnownKeys, makeDriverKeys } from "./token-keys.ts";

export interface WatchedPool {
  readonly token: TokenPool;
  /** Of the workers that became ready, in that order. */
  readonly pids: readonly number[];
  readonly events: readonly string[];
  /** PKCS#11 calls by `function return-code`. */
  readonly counts: ReadonlyMap<string, number>;
}

export async function makeKeysOn(hsm: SoftHsm): Promise<KnownKeys> {
  const { session } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  const known = makeDriverKeys(session);
  session.close();
  return known;
}

export function watchedPool({ uri, env }: SoftHsm, options: Partial<TokenConfig> = {}): WatchedPool {
  const pids: number[] = [];
  const events: string[] = [];
  const counts = new Map<string, number>();
  const token = startTokenPool(
    { uri, profile: "softhsm2", keys: DRIVER_KEYS, workers: 1, env, ...options },
    {
      event: (name, { pid }) => {
        events.push(name);
        if (name === "worker-ready" && typeof pid === "number") pids.push(pid);
      },
      call: (fn, ckr, count) => counts.set(`${fn} ${ckr}`, (counts.get(`${fn} ${ckr}`) ?? 0) + count),
    },
  );
  return { token, pids, events, counts };
}

/** `/readyz`: may requests be sent here, and if not, what is wrong, in words. */
import { setTimeout as sleep } from "node:timers/promises";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { TokenHealth } from "../token/token.ts";
import { scrub } from "./log-fields.ts";

export interface Part {
  readonly ok: boolean;
  /** One line for people. */
  readonly detail: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly token: Part;
  readonly store: Part;
  /** Where the site remembers what it has evaluated; absent where it evaluates for nobody else. */
  readonly guard?: Part | undefined;
  /** Whether the token's keys are those of the manifest. */
  readonly manifest: Part;
  /** Whether enough other sites answer for an evaluation; absent where none are needed. */
  readonly peers?: Part | undefined;
  /** What the site can tell clients of fleets; never a reason to send them elsewhere. Absent where it tells nothing. */
  readonly bundle?: Part | undefined;
  readonly draining: boolean;
}

/** The other sites, as this one sees them now. */
export interface PeersHealth {
  /** How many other sites an evaluation needs. */
  readonly needed: number;
  readonly live: readonly string[];
  readonly away: readonly string[];
}

/** Probes ask this often at most, however often they are asked: `/readyz` must not be a way to load the store. */
const FRESH_MS = 1_000;
const STORE_TIMEOUT_MS = 2_000;

async function checkTable(store: RecordStore, name: string): Promise<Part> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StrongroomError("store-unavailable", `the ${name} does not answer`));
    }, STORE_TIMEOUT_MS);
  });
  try {
    await Promise.race([store.check(), late]);
    return { ok: true, detail: "takes writes" };
  } catch (error) {
    return { ok: false, detail: isStrongroomError(error) ? scrub(error.message) : `the ${name} has failed` };
  } finally {
    clearTimeout(timer);
  }
}

/** What is known of a store whose check may take longer than the caller waits. */
async function knownOf(check: Promise<Part>, name: string, patienceMs: number | undefined): Promise<Part> {
  if (patienceMs === undefined) return check;
  const late = new AbortController();
  const slow = sleep(
    patienceMs,
    { ok: false, detail: `the ${name} is slow to answer` },
    { signal: late.signal },
  );
  slow.catch(() => undefined);
  try {
    return await Promise.race([check, slow]);
  } finally {
    late.abort();
  }
}

/** The same check for all who ask within a second. */
function seldom(check: () => Promise<Part>): () => Promise<Part> {
  let latest: Promise<Part> | undefined;
  let checkedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (latest && performance.now() - checkedAt < FRESH_MS) return latest;
    checkedAt = performance.now();
    latest = check();
    return latest;
  };
}

function tokenPart({ ready, reason, workersReady, workers }: TokenHealth): Part {
  const count = `${workersReady} of ${workers} workers ready`;
  return ready
    ? { ok: true, detail: count }
    : { ok: false, detail: reason === undefined ? count : scrub(reason) };
}

function peersPart({ needed, live, away }: PeersHealth): Part {
  const missing = away.length > 0 ? `; without ${away.join(", ")}` : "";
  return { ok: live.length >= needed, detail: `${live.length} answer, ${needed} needed${missing}` };
}

/** @returns a check that is cheap to ask for often, and that waits `patienceMs` for the store at most */
export function createReadiness(parts: {
  readonly tokenHealth: () => TokenHealth;
  readonly store: RecordStore;
  /** Undefined for a site that has none. */
  readonly guard: () => RecordStore | undefined;
  /** Why the token's keys are not known to be the manifest's; undefined where they are. */
  readonly unproved: () => string | undefined;
  /** Undefined for a site that needs no others. */
  readonly peers: () => PeersHealth | undefined;
  /** Undefined for a site without bundles. */
  readonly bundle: () => Part | undefined;
  readonly draining: () => boolean;
}): (patienceMs?: number) => Promise<Readiness> {
  const checkStore = seldom(() => checkTable(parts.store, "store"));
  let checkGuard: (() => Promise<Part>) | undefined;
  return async (patienceMs) => {
    const table = parts.guard();
    if (table) checkGuard ??= seldom(() => checkTable(table, "guard"));
    const [store, guard] = await Promise.all([
      knownOf(checkStore(), "store", patienceMs),
      checkGuard && knownOf(checkGuard(), "guard", patienceMs),
    ]);
    const token = tokenPart(parts.tokenHealth());
    const unproved = parts.unproved();
    const manifest: Part =
      unproved === undefined
        ? { ok: true, detail: "the token's keys are the manifest's" }
        : { ok: false, detail: scrub(unproved) };
    const health = parts.peers();
    const peers = health && peersPart(health);
    const draining = parts.draining();
    const ready =
      token.ok && store.ok && (guard?.ok ?? true) && manifest.ok && (peers?.ok ?? true) && !draining;
    const bundle = parts.bundle();
    return {
      ready,
      token,
      store,
      ...(guard ? { guard } : {}),
      manifest,
      ...(peers ? { peers } : {}),
      ...(bundle ? { bundle } : {}),
      draining,
    };
  };
}

/** `/readyz`: may requests be sent here, and if not, what is wrong, in words. */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { TokenHealth } from "../token/token.ts";
import { scrub } from "./log-fields.ts";

interface Part {
  readonly ok: boolean;
  /** One line for people. */
  readonly detail: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly token: Part;
  readonly store: Part;
  /** Whether the token's keys are those of the manifest. */
  readonly manifest: Part;
  readonly draining: boolean;
}

/** Probes ask this often at most, however often they are asked: `/readyz` must not be a way to load the store. */
const FRESH_MS = 1_000;
const STORE_TIMEOUT_MS = 2_000;

async function checkStore(store: RecordStore): Promise<Part> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StrongroomError("store-unavailable", "the store does not answer"));
    }, STORE_TIMEOUT_MS);
  });
  try {
    await Promise.race([store.check(), late]);
    return { ok: true, detail: "takes writes" };
  } catch (error) {
    return { ok: false, detail: isStrongroomError(error) ? scrub(error.message) : "the store has failed" };
  } finally {
    clearTimeout(timer);
  }
}

function tokenPart({ ready, reason, workersReady, workers }: TokenHealth): Part {
  const count = `${workersReady} of ${workers} workers ready`;
  return ready
    ? { ok: true, detail: count }
    : { ok: false, detail: reason === undefined ? count : scrub(reason) };
}

/** @returns a check that is cheap to ask for often */
export function createReadiness(parts: {
  readonly tokenHealth: () => TokenHealth;
  readonly store: RecordStore;
  /** Why the token's keys are not known to be the manifest's; undefined where they are. */
  readonly unproved: () => string | undefined;
  readonly draining: () => boolean;
}): () => Promise<Readiness> {
  let storePart: Promise<Part> | undefined;
  let checkedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (!storePart || performance.now() - checkedAt >= FRESH_MS) {
      storePart = checkStore(parts.store);
      checkedAt = performance.now();
    }
    const store = await storePart;
    const token = tokenPart(parts.tokenHealth());
    const unproved = parts.unproved();
    const manifest: Part =
      unproved === undefined
        ? { ok: true, detail: "the token's keys are the manifest's" }
        : { ok: false, detail: scrub(unproved) };
    const draining = parts.draining();
    return { ready: token.ok && store.ok && manifest.ok && !draining, token, store, manifest, draining };
  };
}

/**
 * Where an auditor's public files come from (design §10): its server, or any mirror of it. Nothing that a source gives
 * is believed: what is verified does not depend on who served it. Runs in browsers.
 */
import { StrongroomError } from "../base/errors.ts";
import { readLimited } from "../base/read-limited.ts";
import { MAX_BUNDLE_FILE_BYTES } from "../merkle/tiles.ts";

/** Files by their paths: `log/<namespace>/…`. */
export interface TrustSource {
  /**
   * @param maxBytes larger ones are refused; by default more than any file but an attachment of evidence has
   * @returns undefined where there is no such file
   * @throws unavailable where it cannot be had now; decode-failed where it is too large
   */
  get(path: string, maxBytes?: number): Promise<Uint8Array | undefined>;
}

export interface HttpSourceOptions {
  readonly fetch?: typeof fetch;
  /** For one file. */
  readonly timeoutMs?: number;
  /** Pauses between tries, milliseconds. For tests. */
  readonly pauseMs?: number;
}

/** An entry bundle of a full tile, each entry as long as can be. */
export const MAX_PUBLISHED_BYTES: number = MAX_BUNDLE_FILE_BYTES;
const TIMEOUT_MS = 20_000;
/** A walk asks for many files at once, and a server may ask it to slow down. */
const TRIES = 6;
const PAUSE_MS = 300;
const SLOW_DOWN: readonly number[] = [429, 503];

export function tooLarge(path: string): StrongroomError {
  return new StrongroomError("decode-failed", `${path} is larger than it can be`);
}

/** @param base what the paths are below, e.g. `https://auditor.example` */
export function httpSource(base: string, options: HttpSourceOptions = {}): TrustSource {
  const { fetch: fetcher = fetch, timeoutMs = TIMEOUT_MS, pauseMs = PAUSE_MS } = options;
  const root = base.replace(/\/+$/, "");
  const failed = (path: string, why: string, cause?: unknown): StrongroomError =>
    new StrongroomError("unavailable", `cannot fetch ${root}/${path}: ${why}`, {
      cause,
      hint: "is it the address of an auditor or of a mirror, and can it be reached from here?",
    });

  async function once(path: string, maxBytes: number): Promise<Uint8Array | undefined | "again"> {
    const response = await fetcher(`${root}/${path}`, {
      // Heads change; what never changes is answered from a cache all the same, once it was asked about.
      cache: "no-cache",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status === 200) {
      const bytes = await readLimited(response, maxBytes);
      if (!bytes) throw tooLarge(path);
      return bytes;
    }
    await response.body?.cancel();
    if (response.status === 404 || response.status === 410) return undefined;
    if (SLOW_DOWN.includes(response.status)) return "again";
    throw failed(path, `the answer is ${response.status}`);
  }

  return {
    async get(path, maxBytes = MAX_PUBLISHED_BYTES) {
      for (let tried = 1; tried <= TRIES; tried++) {
        const got = await once(path, maxBytes).catch((error: unknown) => {
          if (error instanceof StrongroomError) throw error;
          throw failed(path, error instanceof Error ? error.message : String(error), error);
        });
        if (got !== "again") return got;
        await new Promise((resolve) => setTimeout(resolve, pauseMs * 2 ** (tried - 1)));
      }
      throw failed(path, `it asked ${TRIES} times to slow down`);
    },
  };
}

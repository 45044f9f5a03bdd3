/**
 * Where a client finds bundles: sites of its fleets, and auditors or their mirrors. None of them is believed; what they
 * can do is to have nothing, and then the next one is asked.
 */
import { readLimited } from "../base/read-limited.ts";
import { MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { type HttpLimits, untilThen } from "./http.ts";

export interface BundleSources {
  /** What each of them offers as the newest, as far as it answers. */
  newest(): AsyncIterable<Uint8Array>;
  /** The first that anybody has for that epoch. */
  bundleOf(epoch: number): Promise<Uint8Array | undefined>;
}

export interface BundleSourcesOptions extends HttpLimits {
  readonly namespace: string;
  /**
   * `https://site-a.example/v1/fleet` for a site; anything else is where an auditor or a mirror has its public files,
   * e.g. `https://auditor.example`.
   */
  readonly urls: readonly string[];
  readonly fetch?: typeof fetch | undefined;
}

/** What a site serves at. */
export const SITE_BUNDLES = "/v1/fleet";
const MAX_INDEX_BYTES = 64 * 1024;

export function bundleSources(options: BundleSourcesOptions): BundleSources {
  const { namespace, urls } = options;
  const fetcher = options.fetch ?? globalThis.fetch.bind(globalThis);

  /** Undefined whatever goes wrong. @throws the reason of the app's signal */
  async function get(url: string, limit = MAX_BUNDLE_BYTES): Promise<Uint8Array | undefined> {
    try {
      const response = await fetcher(url, {
        redirect: "manual",
        credentials: "omit",
        cache: "no-cache",
        signal: untilThen(options),
      });
      if (response.status === 200) return await readLimited(response, limit);
      await response.body?.cancel();
      return undefined;
    } catch {
      options.signal?.throwIfAborted();
      return undefined;
    }
  }

  const bundleAt = (url: string, epoch: number): Promise<Uint8Array | undefined> =>
    get(isSite(url) ? `${url}/${epoch}` : `${url}/log/${namespace}/bundles/${epoch}.json`);

  async function newestOf(url: string): Promise<Uint8Array | undefined> {
    if (isSite(url)) return get(url);
    const index = await get(`${url}/log/${namespace}/index.json`, MAX_INDEX_BYTES);
    const epoch = index && epochsIn(index);
    return epoch === undefined ? undefined : bundleAt(url, epoch);
  }

  const bases = [...new Set(urls.map((url) => url.replace(/\/+$/, "")))];
  return {
    async *newest() {
      for (const url of bases) {
        const bytes = await newestOf(url);
        if (bytes) yield bytes;
      }
    },
    async bundleOf(epoch) {
      for (const url of bases) {
        const bytes = await bundleAt(url, epoch);
        if (bytes) return bytes;
      }
      return undefined;
    },
  };
}

const isSite = (url: string): boolean => url.endsWith(SITE_BUNDLES);

/** How many epochs an auditor's index speaks of: a hint only. */
function epochsIn(index: Uint8Array): number | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(index));
    const epochs = typeof value === "object" && value !== null && "epochs" in value ? value.epochs : 0;
    return Number.isSafeInteger(epochs) && Number(epochs) > 0 ? Number(epochs) : undefined;
  } catch {
    return undefined;
  }
}

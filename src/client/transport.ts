/**
 * One sealed request to any site of the fleet, repeated where an answer was lost. Repeating is always safe: the
 * vault counts a repeated KE1 as one attempt and answers a repeated finish as it did before.
 *
 * Who stands between client and site can drop or delay, and is believed nothing else: an answer counts only if it
 * opens under the key that was made for this very request.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sealEnvelope } from "../crypto/hpke-sender.ts";
import { keyId } from "../crypto/key-id.ts";
import { manifestPoint } from "../crypto/manifest-point.ts";
import { type Manifest, servingSites } from "../wire/manifest.ts";
import { type Answers, decodeAnswer, encodeRequest, type VaultRequest } from "../wire/messages.ts";
import { postSealed } from "./http.ts";
import { told } from "./told.ts";

export interface TransportOptions {
  readonly fetch?: typeof fetch | undefined;
  /** Milliseconds after which no other try of a request begins; 30,000 by default, 0 for one try. */
  readonly retryForMs?: number | undefined;
  /** Milliseconds for one try; 10,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Told why a try failed, whenever another one follows. */
  readonly retrying?: ((reason: StrongroomError) => void) | undefined;
  /**
   * Gives up all that the client does or is asked to do from then on, by rejecting with the signal's reason. A request
   * that is under way may still have its effect: an attempt that was sent counts.
   */
  readonly signal?: AbortSignal | undefined;
  /** Told the epoch that a sealed answer carries: its site can prove that one. */
  readonly heard?: ((epoch: number) => void) | undefined;
  /** Reach sites elsewhere than the manifest says, by their name: for tunnels and tests. */
  readonly siteUrls?: Readonly<Record<string, string>> | undefined;
}

export interface Transport {
  /**
   * Makes the request anew for each try, so that none carries an account token that has meanwhile expired; all else
   * in it must stay the same.
   *
   * @throws what the vault answered; unavailable when no site answered in time; unknown-key
   */
  send<R extends VaultRequest>(make: () => Promise<R>): Promise<Answers[R["op"]]>;
}

interface Site {
  readonly name: string;
  readonly url: string;
  readonly kid: Uint8Array;
  readonly publicKey: Uint8Array;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3_000;

/** Ends early where the signal does. */
const pause = (milliseconds: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
  });

/** @throws manifest-invalid */
function sitesOf(manifest: Manifest, urls: Readonly<Record<string, string>> = {}): readonly Site[] {
  return servingSites(manifest).map(({ name, url }) => {
    const publicKey = manifestPoint(manifest, "session", name);
    return { name, url: urls[name] ?? url, kid: keyId(publicKey), publicKey };
  });
}

/** @throws manifest-invalid */
export function createTransport(manifest: Manifest, options: TransportOptions = {}): Transport {
  const { retryForMs = 30_000, timeoutMs = 10_000, signal } = options;
  const fetcher = options.fetch ?? globalThis.fetch.bind(globalThis);
  const sites = sitesOf(manifest, options.siteUrls);

  async function once<R extends VaultRequest>(site: Site, message: R): Promise<Answers[R["op"]]> {
    const envelope = await sealEnvelope({
      fleet: manifest.fleet,
      kid: site.kid,
      publicKey: site.publicKey,
      plaintext: encodeRequest(message),
    });
    const sealed = await postSealed(fetcher, site, envelope.body, { timeoutMs, signal });
    const operation: R["op"] = message.op;
    const answer = await envelope
      .openAnswer(sealed)
      .then((plaintext) => decodeAnswer(operation, plaintext))
      .catch((cause: unknown) => {
        throw new StrongroomError("unavailable", `the answer of ${site.name} was damaged on its way`, {
          cause,
          hint: "something between you and the site changes answers; try another network",
        });
      });
    if (answer.epoch !== undefined) options.heard?.(answer.epoch);
    if ("error" in answer) throw told(answer.error, answer.retryAfter);
    return answer;
  }

  return {
    async send(make) {
      const deadline = Date.now() + retryForMs;
      // Clients spread over the sites by starting anywhere.
      const first = Math.floor(Math.random() * sites.length);
      for (let tries = 1; ; tries++) {
        const site = sites[(first + tries - 1) % sites.length];
        if (!site) throw new StrongroomError("manifest-invalid", "the manifest names no site");
        signal?.throwIfAborted();
        const message = await make();
        signal?.throwIfAborted();
        try {
          return await once(site, message);
        } catch (error) {
          signal?.throwIfAborted();
          if (!isStrongroomError(error)) throw error;
          // One site may be behind the others with its keys; if all are, the manifest is.
          const otherSite = error.code === "unknown-key" && tries < sites.length;
          if (!error.retryable && !otherSite) throw error;
          const round = Math.floor((tries - 1) / sites.length);
          const step = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** round);
          const asked = Number(error.details.retryAfter ?? 0) * 1_000;
          // The wish of one site to be left alone says nothing about the next one.
          const wait = Math.max(tries < sites.length ? 0 : asked, step * (0.5 + Math.random()));
          if (Date.now() + wait > deadline) throw error;
          options.retrying?.(error);
          await pause(wait, signal);
        }
      }
    },
  };
}

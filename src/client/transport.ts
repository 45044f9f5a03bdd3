/**
 * One sealed request to any site of the fleet, repeated where repeating is safe. It always is: the vault counts
 * a repeated KE1 as one attempt and answers a repeated finish as it did before, so a lost answer costs nothing.
 */
import { fromHex } from "../base/bytes.ts";
import { ERROR_TRAITS, isStrongroomError, StrongroomError, type WireCode } from "../base/errors.ts";
import { sealEnvelope } from "../crypto/hpke-sender.ts";
import { type Manifest, type ManifestSite, manifestKey } from "../wire/manifest.ts";
import {
  type Answers,
  decodeAnswer,
  ENVELOPE_CONTENT_TYPE,
  encodeRequest,
  type VaultRequest,
} from "../wire/messages.ts";

export interface TransportOptions {
  readonly fetch?: typeof fetch | undefined;
  /** Milliseconds that all tries of one request may take together; 30,000 by default. */
  readonly retryForMs?: number | undefined;
  /** Milliseconds for one try; 10,000 by default. */
  readonly timeoutMs?: number | undefined;
}

export interface Transport {
  /** @throws the wire's codes; unavailable when no site answered in time */
  send<R extends VaultRequest>(request: R): Promise<Answers[R["op"]]>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3_000;

const MEANING: Readonly<Record<WireCode, { readonly message: string; readonly hint?: string }>> = {
  unauthorized: {
    message: "the vault does not accept the account token",
    hint: "sign in again; a token lives at most ten minutes and must be for this fleet",
  },
  "not-registered": { message: "nothing is registered for this account" },
  destroyed: {
    message: "the record is destroyed: all attempts were used",
    hint: "the backup key cannot be recovered by anybody; register again to protect a new one",
  },
  expired: { message: "the request took too long", hint: "start again" },
  conflict: { message: "another device changed the record in between", hint: "start again" },
  "rate-limited": { message: "too many requests for this account", hint: "wait and try again" },
  "invalid-request": { message: "the vault did not understand the request" },
  "unknown-key": {
    message: "the site does not have the key of the pinned manifest",
    hint: "get the fleet's current manifest from a source that you trust",
  },
  unavailable: { message: "no site of the fleet can serve the request now", hint: "try again later" },
};

function wireError(code: WireCode, retryAfter?: number): StrongroomError {
  const { message, hint } = MEANING[code];
  return new StrongroomError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfter === undefined ? {} : { details: { retryAfter } }),
  });
}

function isWireCode(code: unknown): code is WireCode {
  return typeof code === "string" && Object.hasOwn(MEANING, code);
}

/** What stands outside the envelope comes from anybody on the way; it may cause a retry or a refusal, no more. */
async function plainError(response: Response): Promise<StrongroomError> {
  let code: unknown;
  try {
    const body: unknown = await response.json();
    if (typeof body === "object" && body !== null && "error" in body) code = body.error;
  } catch {
    // Not ours; the status alone must do.
  }
  const after = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isSafeInteger(after) && after > 0 ? after : undefined;
  return wireError(isWireCode(code) ? code : "unavailable", retryAfter);
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

/** @throws manifest-invalid */
export function createTransport(manifest: Manifest, options: TransportOptions = {}): Transport {
  const { retryForMs = 30_000, timeoutMs = 10_000 } = options;
  const request = options.fetch ?? globalThis.fetch.bind(globalThis);
  const sites = manifest.sites.map((site) => ({ site, key: manifestKey(manifest, "session", site.name) }));

  async function once<R extends VaultRequest>(
    target: {
      readonly site: ManifestSite;
      readonly key: { readonly kid: string; readonly publicKey: string };
    },
    message: R,
  ): Promise<Answers[R["op"]]> {
    const envelope = await sealEnvelope({
      fleet: manifest.fleet,
      kid: fromHex(target.key.kid),
      publicKey: fromHex(target.key.publicKey),
      plaintext: encodeRequest(message),
    });
    let sealed: Uint8Array;
    try {
      const response = await request(new URL("/v1/vault", target.site.url), {
        method: "POST",
        headers: { "content-type": ENVELOPE_CONTENT_TYPE },
        body: Uint8Array.from(envelope.body),
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (response.status !== 200) throw await plainError(response);
      sealed = new Uint8Array(await response.arrayBuffer());
    } catch (cause) {
      if (isStrongroomError(cause)) throw cause;
      throw new StrongroomError("unavailable", `cannot reach ${target.site.name}`, {
        cause,
        hint: "check the network, and the site's URL in the manifest",
      });
    }
    const operation: R["op"] = message.op;
    const answer = decodeAnswer(operation, await envelope.openAnswer(sealed));
    if ("error" in answer) throw wireError(answer.error, answer.retryAfter);
    return answer;
  }

  return {
    async send(message) {
      const deadline = Date.now() + retryForMs;
      // Clients spread over the sites by starting anywhere.
      const first = Math.floor(Math.random() * sites.length);
      for (let attempt = 0; ; attempt++) {
        const target = sites[(first + attempt) % sites.length];
        if (!target) throw new StrongroomError("manifest-invalid", "the manifest names no site");
        try {
          return await once(target, message);
        } catch (error) {
          if (!isStrongroomError(error) || !ERROR_TRAITS[error.code].retryable) throw error;
          const exponential = Math.min(
            LONGEST_PAUSE_MS,
            FIRST_PAUSE_MS * 2 ** Math.floor(attempt / sites.length),
          );
          const asked = Number(error.details.retryAfter ?? 0) * 1_000;
          const wait = Math.max(asked, exponential * (0.5 + Math.random() / 2));
          if (Date.now() + wait > deadline) throw error;
          await pause(wait);
        }
      }
    },
  };
}

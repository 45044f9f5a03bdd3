/** Sealed requests by hand, for tests that need to see or to spoil what the SDK hides. */
import { fromHex } from "../../src/base/bytes.ts";
import { sealEnvelope } from "../../src/crypto/hpke-sender.ts";
import { type Manifest, manifestKey } from "../../src/wire/manifest.ts";
import {
  type Answers,
  decodeAnswer,
  ENVELOPE_CONTENT_TYPE,
  encodeRequest,
  type VaultRequest,
  type WireError,
} from "../../src/wire/messages.ts";

export interface Target {
  readonly url: string;
  readonly manifest: Manifest;
  /** To whose session key requests are sealed; the first site's by default. */
  readonly site?: string | undefined;
  /** HTTP headers to send with a request of that operation. */
  readonly headers?: (operation: VaultRequest["op"]) => Record<string, string>;
  /** Gives up on a request. */
  readonly signal?: AbortSignal;
  /** Chooses the site for each request, and another one where that does not help. */
  readonly route?: <R extends VaultRequest>(request: R) => Promise<Exchange<R>>;
}

export interface SealedRequest {
  readonly body: Uint8Array;
  openAnswer(body: Uint8Array): Promise<Uint8Array>;
}

/** Seals anything at all to the target's session key. */
export function seal({ manifest, site }: Target, plaintext: Uint8Array): Promise<SealedRequest> {
  const key = manifestKey(manifest, "session", site ?? manifest.sites[0]?.name);
  const publicKey = fromHex(key.publicKey);
  return sealEnvelope({ fleet: manifest.fleet, kid: fromHex(key.kid), publicKey, plaintext });
}

export function post(
  url: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${url}/v1/vault`, {
    method: "POST",
    headers: { "content-type": ENVELOPE_CONTENT_TYPE, ...headers },
    body: Uint8Array.from(body),
    ...(signal ? { signal } : {}),
  });
}

export interface Exchange<R extends VaultRequest> {
  readonly response: Response;
  /** The body as it travelled. */
  readonly sealed: Uint8Array;
  readonly answer: Answers[R["op"]] | WireError;
}

/** One request without retries; the answer must be sealed. */
export async function exchange<R extends VaultRequest>(target: Target, request: R): Promise<Exchange<R>> {
  if (target.route) return target.route(request);
  const envelope = await seal(target, encodeRequest(request));
  const response = await post(target.url, envelope.body, target.headers?.(request.op), target.signal);
  const sealed = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`answered in the clear: ${Buffer.from(sealed).toString()}`);
  const operation: R["op"] = request.op;
  return { response, sealed, answer: decodeAnswer(operation, await envelope.openAnswer(sealed)) };
}

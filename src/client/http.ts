/** One POST. What comes back in the clear is anybody's word: it may cause another try, never a conclusion. */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { readLimited } from "../base/read-limited.ts";
import { ENVELOPE_CONTENT_TYPE } from "../wire/messages.ts";
import { told } from "./told.ts";

export interface HttpLimits {
  /** For the whole answer. */
  readonly timeoutMs: number;
  /** The app's own. */
  readonly signal?: AbortSignal | undefined;
}

/** The end of a request's time, or of the app's wish for it. */
export function untilThen({ timeoutMs, signal }: HttpLimits): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
}

/** Answers are padded to a few kilobytes; more than this is none. */
const MAX_ANSWER_BYTES = 65_536;

/** Of the codes only those that anybody on the way could bring about anyway: "go away" and "not that key". */
function plainError(site: string, response: Response, body: Uint8Array): StrongroomError {
  let code: unknown;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value === "object" && value !== null && "error" in value) code = value.error;
  } catch {
    // A proxy's page, say. The status is all there is.
  }
  const after = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isSafeInteger(after) && after > 0 ? after : undefined;
  if (code === "unknown-key") return told(code);
  if (code === "rate-limited" || response.status === 429) return told("rate-limited", retryAfter);
  return new StrongroomError("unavailable", `${site} answered with HTTP status ${response.status}`, {
    hint: "the site or something in front of it has trouble; try again later",
    ...(retryAfter === undefined ? {} : { details: { retryAfter } }),
  });
}

/**
 * @returns the sealed answer, at most 64 KiB
 * @throws unavailable, rate-limited (details.retryAfter, seconds), unknown-key
 */
export async function postSealed(
  fetcher: typeof fetch,
  site: { readonly name: string; readonly url: string },
  body: Uint8Array,
  limits: HttpLimits,
): Promise<Uint8Array> {
  try {
    const response = await fetcher(`${site.url.replace(/\/+$/, "")}/v1/vault`, {
      method: "POST",
      headers: { "content-type": ENVELOPE_CONTENT_TYPE },
      body: Uint8Array.from(body),
      // Not "error": with it undici fails at repeating a request that was answered with 421 (misdirected request).
      redirect: "manual",
      credentials: "omit",
      // No cache mode: no answer is ever stored, and with one Chromium asks a preflight before each request.
      signal: untilThen(limits),
    });
    const answer = await readLimited(response, MAX_ANSWER_BYTES);
    if (!answer) throw new Error("the answer is too long");
    if (response.status !== 200) throw plainError(site.name, response, answer);
    return answer;
  } catch (cause) {
    if (isStrongroomError(cause)) throw cause;
    throw new StrongroomError("unavailable", `cannot reach ${site.name} at ${new URL(site.url).origin}`, {
      cause,
      hint: "check the network, and that the address is the site's",
    });
  }
}

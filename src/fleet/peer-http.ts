/** POST to one peer over connections that stay open. What comes back is bytes from the network and no more. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { SecureContextOptions } from "node:tls";
import { errnoOf } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";
import { MAX_SITE_MESSAGE_BYTES } from "../wire/limits.ts";
import { SITE_CONTENT_TYPE } from "../wire/site-frames.ts";

export interface PeerHttp {
  /**
   * @throws peer-unavailable; with `details.stale` where a connection that had served before broke before any
   *   answer, as happens when the peer ends it in the same moment
   */
  post(
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly body: Uint8Array }>;
  close(): void;
}

/** Certificates for peers behind https; the channel inside does not depend on them. */
export type PeerTls = Pick<SecureContextOptions, "ca" | "cert" | "key">;

const PATH = "/v1/site";
const CONNECTIONS = 64;

async function readAll(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_SITE_MESSAGE_BYTES) throw new Error("the answer is too long");
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

/** Such as `ECONNREFUSED`, `CERT_HAS_EXPIRED`; the messages of such errors quote what came from the network. */
function codeInWords(error: unknown): string {
  const code = errnoOf(error);
  if (code === "ABORT_ERR") return ": no answer in time";
  return code !== undefined && /^[A-Z][A-Z0-9_]+$/.test(code) ? `: ${code}` : "";
}

/** @param base where the peer listens, e.g. `https://site-b.example`; a path before /v1/site is kept */
export function createPeerHttp(site: string, base: string, tls: PeerTls = {}): PeerHttp {
  const url = new URL(`${base.replace(/\/+$/, "")}${PATH}`);
  const secure = url.protocol === "https:";
  const options = { keepAlive: true, maxSockets: CONNECTIONS, scheduling: "lifo" } as const;
  const agent = secure ? new HttpsAgent({ ...options, ...tls }) : new HttpAgent(options);
  const start = secure ? httpsRequest : httpRequest;

  return {
    async post(body, signal) {
      let stale = false;
      try {
        const response = await new Promise<IncomingMessage>((resolve, reject) => {
          const headers = { "content-type": SITE_CONTENT_TYPE, "content-length": body.length };
          const request = start(url, { method: "POST", agent, headers, signal }, resolve);
          request.on("error", (error) => {
            stale = request.reusedSocket && "code" in error && error.code === "ECONNRESET";
            reject(error);
          });
          request.setNoDelay(true);
          request.end(body);
        });
        return { status: response.statusCode ?? 0, body: await readAll(response) };
      } catch (cause) {
        throw new StrongroomError(
          "peer-unavailable",
          `${site} cannot be reached at ${url.origin}${codeInWords(cause)}`,
          {
            cause,
            details: { stale },
          },
        );
      }
    },
    close: () => agent.destroy(),
  };
}

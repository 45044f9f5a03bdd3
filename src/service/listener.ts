/** An HTTP server that slow, large and idle peers cannot hold, and that can be drained. */
import { createServer, type RequestListener } from "node:http";
import { errnoOf } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";
import type { Listen, ServiceLimits } from "./config-schema.ts";

export type ListenerLimits = Pick<ServiceLimits, "headerBytes" | "connections" | "requestTimeoutMs">;

export interface Listener {
  /** e.g. `http://127.0.0.1:8440`. */
  readonly url: string;
  /** Takes no new connections; resolves when the last one has ended. */
  stop(): Promise<void>;
  /** Ends connections whatever they are doing. */
  cut(): void;
}

/** Longer than the idle time of common load balancers: they, not we, should be the ones to hang up. */
const KEEP_ALIVE_MS = 65_000;
const SWEEP_MS = 50;

const httpUrl = (host: string, port: number): string =>
  `http://${host.includes(":") ? `[${host}]` : host}:${port}`;

/** Where this machine reaches what listens there; the port must be known. */
export function urlFromHere({ host, port }: Listen): string {
  return httpUrl(host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host, port);
}

/** @throws config-invalid if the address cannot be listened on */
export async function listen(
  { host, port }: Listen,
  limits: ListenerLimits,
  serve: RequestListener,
): Promise<Listener> {
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      requestTimeout: limits.requestTimeoutMs,
      headersTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // Timeouts are only enforced when connections are looked at; by default that is every 30 seconds.
      connectionsCheckingInterval: Math.min(1_000, limits.requestTimeoutMs / 2),
    },
    serve,
  );
  server.maxConnections = limits.connections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  }).catch((cause: unknown) => {
    throw new StrongroomError(
      "config-invalid",
      `cannot listen on ${host}, port ${port}: ${errnoOf(cause) ?? "unknown"}`,
      {
        cause,
        hint: "another service may have the port; is the address one of this machine?",
      },
    );
  });
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: httpUrl(host, bound),
    stop: () =>
      new Promise((resolve) => {
        // A connection that was busy when the listener closed is idle later, and would stay for its keep-alive time.
        const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
        server.close(() => {
          clearInterval(sweep);
          resolve();
        });
      }),
    cut: () => server.closeAllConnections(),
  };
}

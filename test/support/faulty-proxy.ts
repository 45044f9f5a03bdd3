/** A TCP proxy on loopback that can lose things, for tests of what a client makes of a lost answer. */
import { connect, createServer, type Socket } from "node:net";

/**
 * pass: everything; deaf: requests arrive, answers are swallowed; cut: the connection breaks when a request has
 * been passed on, before its answer; closed: connections are refused.
 */
type ProxyMode = "pass" | "deaf" | "cut" | "closed";

export interface FaultyProxy {
  /** `https://127.0.0.1:port`. */
  readonly url: string;
  mode: ProxyMode;
  close(): Promise<void>;
}

/** @param target `https://host:port` @param listenOn the port; any free one by default */
export async function startFaultyProxy(target: string, listenOn: number = 0): Promise<FaultyProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (proxy.mode === "closed") {
      client.destroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on("data", (bytes) => {
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (proxy.mode === "pass") client.write(bytes);
      else if (proxy.mode === "cut") end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(listenOn, "127.0.0.1", resolve);
  });
  const address = server.address();
  const proxy: FaultyProxy = {
    url: `https://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    mode: "pass",
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return proxy;
}

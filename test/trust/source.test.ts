/** Files of an auditor over HTTP: what a server may do to a reader, and what it may not. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { httpSource, type TrustSource } from "../../src/trust/source.ts";

let server: Server;
let source: TrustSource;
let asked = 0;
let busy = 0;

beforeAll(async () => {
  server = createServer(({ url }, response) => {
    asked++;
    if (url === "/base/file") response.end("content");
    else if (url === "/base/busy" && busy-- > 0) response.writeHead(429).end("later");
    else if (url === "/base/busy") response.end("now");
    else if (url === "/base/elsewhere") response.writeHead(302, { location: "/base/file" }).end();
    else if (url === "/base/broken") response.writeHead(500).end();
    else if (url === "/base/endless") {
      const more = setInterval(() => response.write(Buffer.alloc(1_000)), 1);
      response.on("close", () => clearInterval(more));
    } else if (url === "/base/silent") response.on("close", () => undefined);
    else response.writeHead(404).end("no such file");
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  source = httpSource(`http://127.0.0.1:${port}/base/`, { pauseMs: 1, timeoutMs: 2_000 });
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const text = async (path: string, maxBytes?: number): Promise<string | undefined> => {
  const bytes = await source.get(path, maxBytes);
  return bytes && new TextDecoder().decode(bytes);
};

test("a file is what is there; where there is none, nothing", async () => {
  expect(await text("file", 7)).toBe("content");
  expect(await text("nowhere")).toBeUndefined();
});

test("a server may ask for patience, and not for ever", async () => {
  busy = 3;
  expect(await text("busy")).toBe("now");
  busy = Number.POSITIVE_INFINITY;
  asked = 0;
  await expect(text("busy")).rejects.toMatchObject({ code: "unavailable" });
  expect(asked).toBe(6);
});

test("nobody makes a reader hold more than he asked for", async () => {
  await expect(text("file", 6)).rejects.toMatchObject({ code: "decode-failed" });
  await expect(text("endless", 100_000)).rejects.toMatchObject({ code: "decode-failed" });
});

test.each(["elsewhere", "broken", "silent"])("%s is no answer", async (path) => {
  await expect(text(path)).rejects.toMatchObject({ code: "unavailable" });
});

test("a server that is not there is said to be so", async () => {
  await expect(httpSource("http://127.0.0.1:9").get("file")).rejects.toMatchObject({ code: "unavailable" });
});

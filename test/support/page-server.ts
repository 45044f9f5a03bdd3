/** The verification page as an auditor serves it: the built files, the same policy, and a log that a test made. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { pageFiles } from "../../scripts/page-files.ts";
import { PAGE_POLICY } from "../../src/service/auditor-files.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
};

/** As helmet writes it. */
const POLICY = Object.entries(PAGE_POLICY)
  .map(
    ([name, values]) =>
      `${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${values.join(" ")}`,
  )
  .join(";");

export interface PageServer {
  readonly url: string;
  /** From now on served beside the page. */
  serve(files: ReadonlyMap<string, Uint8Array>): void;
  close(): Promise<void>;
}

export async function servePage(): Promise<PageServer> {
  const page = await pageFiles();
  let log: ReadonlyMap<string, Uint8Array> = new Map();
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://page").pathname.slice(1));
    const bytes = page.get(path === "" ? "index.html" : path) ?? log.get(path);
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(path === "" ? "index.html" : path)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-security-policy": POLICY }).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    serve(files) {
      log = files;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

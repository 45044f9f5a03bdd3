/**
 * A page of one origin, a site and an auditor of others: by the headers that they answer with, and in a browser, where
 * the client's SDK protects a key and gets it back.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningAuditor, startAuditor } from "../../src/service/auditor-start.ts";
import { ENVELOPE_CONTENT_TYPE } from "../../src/wire/messages.ts";
import { type AuditorWorld, createAuditorWorld, NAMESPACE } from "../support/auditor-world.ts";
import { type BrowserPage, withChromium } from "../support/chromium.ts";
import { startTestService, TENANT, type TestService } from "../support/service.ts";

const APP = "https://app.example";
const STRANGER = "https://stranger.example";
const LOG = `/log/${NAMESPACE}`;

let service: TestService;
let world: AuditorWorld;
let auditor: RunningAuditor;
/** The server of the page; the browser's SDK too. */
let pages: Server;
let pageUrl: string;

/** As an app would. */
async function bundled(contents: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: ".", loader: "ts" },
    alias: { "strongroom/client": "./src/client/index.ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]?.contents ?? new Uint8Array(0);
}

function workerOfReadme(): string {
  const [, code] = /```ts\n(\/\/ vault-worker\.ts\n.*?)```/s.exec(readFileSync("README.md", "utf8")) ?? [];
  if (code === undefined) throw new Error("README shows no worker");
  return code;
}

beforeAll(async () => {
  service = await startTestService({ browserOrigins: "*", drain: { deadlineMs: 200 } });
  world = await createAuditorWorld();
  auditor = await startAuditor(world.config({ requestsPerSecondPerAddress: 5 }), { write: () => undefined });
  const scripts = new Map([
    ["/sdk.js", await bundled('export * from "strongroom/client"')],
    ["/worker.js", await bundled(workerOfReadme())],
  ]);
  pages = createServer(({ url = "" }, response) => {
    const policy = decodeURIComponent(url.split("?")[1] ?? "");
    response.setHeaders(new Headers(policy === "" ? [] : [["content-security-policy", policy]]));
    const script = scripts.get(url);
    if (script) response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    else response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>app</title>");
  });
  await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
  pageUrl = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
});
afterAll(async () => {
  pages.closeAllConnections();
  pages.close();
  await auditor.close();
  world.remove();
  await service.close();
});

/** From now on the site has that in its configuration. */
async function allowing(origins: unknown): Promise<void> {
  const text = readFileSync(service.configFile, "utf8");
  const line = `browserOrigins: ${JSON.stringify(origins)}\n`;
  writeFileSync(service.configFile, text.replace(/^browserOrigins: .*\n/m, line));
  // The auditor has a token of its own.
  service.hsm.use();
  await service.restart();
}

const preflight = (url: string, origin: string): Promise<Response> =>
  fetch(url, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    },
  });
const post = (path: string, origin?: string): Promise<Response> =>
  fetch(service.url + path, {
    method: "POST",
    headers: { "content-type": ENVELOPE_CONTENT_TYPE, ...(origin === undefined ? {} : { origin }) },
    body: new Uint8Array(64),
  });
/** What is said to browsers of other origins. */
const said = ({ headers }: Response): Record<string, string> =>
  Object.fromEntries([...headers].filter(([name]) => /^access-control-|^vary$/.test(name)));
const ANY = { "access-control-allow-origin": "*" };
const PREFLIGHT = {
  "access-control-allow-methods": "POST",
  "access-control-allow-headers": "content-type",
  "access-control-max-age": "600",
};
const READABLE = { "access-control-expose-headers": "retry-after" };

describe("the vault", () => {
  test("answers a page's preflight, and lets it read what became of its request", async () => {
    const asked = await preflight(`${service.url}/v1/vault`, STRANGER);
    expect(asked.status).toBe(204);
    expect(said(asked)).toEqual({ ...ANY, ...PREFLIGHT });
    expect(asked.headers.get("access-control-allow-credentials")).toBeNull();
    for (const path of ["/v1/vault", "/v1/vault/"])
      expect(said(await post(path, STRANGER)), path).toEqual({ ...ANY, ...READABLE });
  });

  test("says nothing of it to clients that are no pages, and takes OPTIONS for no preflight without its header", async () => {
    expect(said(await post("/v1/vault"))).toEqual({});
    const plain = await fetch(`${service.url}/v1/vault`, { method: "OPTIONS", headers: { origin: APP } });
    expect(plain.status).toBe(405);
    expect(said(plain)).toEqual({});
  });

  test("hears pages of the listed origins, and no others", async () => {
    await allowing([APP, "capacitor://localhost"]);
    for (const origin of [APP, "capacitor://localhost"]) {
      const own = { "access-control-allow-origin": origin, vary: "origin" };
      expect(said(await preflight(`${service.url}/v1/vault`, origin))).toEqual({ ...own, ...PREFLIGHT });
      expect(said(await post("/v1/vault", origin))).toEqual({ ...own, ...READABLE });
    }
    for (const origin of [STRANGER, `${APP}.stranger.example`, `${APP}:8443`, "http://app.example", "null"]) {
      const asked = await preflight(`${service.url}/v1/vault`, origin);
      expect(asked.status, origin).toBe(405);
      expect(said(asked), origin).toEqual({});
      expect(said(await post("/v1/vault", origin)), origin).toEqual({});
    }
    await allowing([]);
    expect((await preflight(`${service.url}/v1/vault`, APP)).status).toBe(405);
    await allowing("*");
  });
});

describe("other pages than the vault", () => {
  test("what is public may be read by any page, errors too; a site's, whatever the vault allows", async () => {
    await allowing([]);
    for (const url of [
      `${service.url}/v1/manifest`,
      `${service.url}/v1/fleet`,
      `${service.url}/v1/fleet/1`,
      `${auditor.url}/info`,
      `${auditor.url}/namespaces`,
      `${auditor.url}/namespaces/${NAMESPACE}`,
      `${auditor.url}/namespaces/${NAMESPACE}/last-verified-epoch`,
      `${auditor.url}/namespaces/${NAMESPACE}/audits/1`,
      `${auditor.url}/namespaces/nobody`,
      `${auditor.url}${LOG}/index.json`,
      `${auditor.url}${LOG}/policy.json`,
      `${auditor.url}${LOG}/checkpoint`,
      `${auditor.url}${LOG}/bundles/1.json`,
      `${auditor.url}${LOG}/tile/0/000.p/1`,
    ])
      for (const method of ["GET", "HEAD"]) {
        const response = await fetch(url, { method, headers: { origin: STRANGER } });
        expect(said(response), url).toEqual(ANY);
        expect(response.headers.get("cross-origin-resource-policy"), url).toBe("cross-origin");
      }
    await allowing("*");
  });

  test("nothing of operations, of other sites and of what operators hand in", async () => {
    const { url, operationsUrl } = service.service;
    for (const path of ["healthz", "readyz", "metrics", "fleetz", "nowhere"]) {
      const response = await fetch(`${operationsUrl}/${path}`, { headers: { origin: STRANGER } });
      expect(said(response), path).toEqual({});
      expect(said(await fetch(`${auditor.url}/${path}`, { headers: { origin: STRANGER } })), path).toEqual(
        {},
      );
    }
    for (const asked of [
      `${url}/v1/site`,
      `${url}/v1/manifest`,
      `${url}/healthz`,
      `${auditor.url}/namespaces/${NAMESPACE}/audits`,
      `${auditor.url}/info`,
    ])
      expect(said(await preflight(asked, STRANGER)), asked).toEqual({});
    const handedIn = await fetch(`${auditor.url}/namespaces/${NAMESPACE}/audits`, {
      method: "POST",
      headers: { origin: STRANGER },
      body: "{}",
    });
    expect([handedIn.status, said(handedIn)]).toEqual([401, {}]);
  });
});

/** In the page: what a request came to; `fetch` throws where the page may not read the answer. */
const reading = (page: BrowserPage, url: string): Promise<number | string> =>
  page.evaluate(`fetch(${JSON.stringify(url)}).then(({ status }) => status, (error) => error.name)`);

/** In the page: registers with the SDK and recovers. @returns whether the key came back, or how it failed */
async function usingVault(page: BrowserPage, subject: string): Promise<unknown> {
  const tokens = await Promise.all(Array.from({ length: 4 }, () => service.issueToken(subject)));
  return page.evaluate(`(async () => {
    const { createVaultClient } = await import("/sdk.js");
    const tokens = ${JSON.stringify(tokens)};
    const vault = createVaultClient({
      manifest: new TextEncoder().encode(${JSON.stringify(Buffer.from(service.manifestBytes).toString())}),
      account: ${JSON.stringify({ tenant: TENANT, subject })},
      accountToken: () => tokens[0],
      retryForMs: 1_000,
    });
    try {
      const { backupKey } = await vault.register("orchard tandem velvet quarry");
      const again = await vault.recover("orchard tandem velvet quarry");
      return String(again.backupKey) === String(backupKey) && backupKey.length === 32;
    } catch (error) {
      return error.code ?? error.message;
    }
  })()`);
}

test("in a browser: a page of another origin uses the vault and reads what is public, and nothing else", async () => {
  await withChromium(async (page) => {
    await page.open(pageUrl);
    const first = service.logs.length;
    expect(await usingVault(page, "alice")).toBe(true);
    // Remembered for all of its requests.
    expect(service.logs.slice(first).filter((line) => line.includes('"operation":"other"'))).toHaveLength(1);
    expect(await reading(page, `${service.url}/v1/manifest`)).toBe(200);
    expect(await reading(page, `${service.url}/v1/fleet`)).toBe(404);
    expect(await reading(page, `${auditor.url}/info`)).toBe(200);
    expect(await reading(page, `${auditor.url}${LOG}/index.json`)).toBe(200);
    expect(await reading(page, `${auditor.url}${LOG}/bundles/1.json`)).toBe(404);
    for (const path of ["healthz", "readyz", "metrics", "fleetz"])
      expect(await reading(page, `${service.url}/${path}`), path).toBe("TypeError");
    expect(await reading(page, `${auditor.url}/healthz`)).toBe("TypeError");
  });
});

test("in a browser: of a page that is not listed, no sealed request arrives", async () => {
  await allowing([APP]);
  // A browser of its own: the other one remembers what it was allowed.
  await withChromium(async (page) => {
    await page.open(pageUrl);
    const before = service.logs.length;
    expect(await usingVault(page, "bob")).toBe("unavailable");
    expect(service.logs.slice(before).join("")).not.toContain('"operation":"register-start"');
    expect(await reading(page, `${service.url}/v1/manifest`)).toBe(200);
    await allowing([pageUrl]);
    expect(await usingVault(page, "carol")).toBe(true);
  });
});

test("in a browser: a strict page needs what README says it needs, and its worker recovers while the page lives", async () => {
  await allowing([pageUrl]);
  await withChromium(async (page) => {
    const connect = `connect-src 'self' ${service.url}`;
    await page.open(`${pageUrl}/?${encodeURIComponent(`default-src 'self'; ${connect}`)}`);
    expect(await usingVault(page, "dave")).toBe("usage");
    await page.open(
      `${pageUrl}/?${encodeURIComponent(`default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ${connect}`)}`,
    );
    const before = page.complaints.length;
    expect(await usingVault(page, "dave")).toBe(true);
    const asked = {
      manifest: Buffer.from(service.manifestBytes).toString("base64"),
      account: { tenant: TENANT, subject: "dave" },
      token: await service.issueToken("dave"),
    };
    const inWorker = (code: string): Promise<unknown> =>
      page.evaluate(`new Promise((resolve, reject) => {
        const { manifest, ...asked } = ${JSON.stringify({ ...asked, code })};
        const worker = new Worker("/worker.js", { type: "module" });
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.onmessage = ({ data }) =>
          resolve(data.error ?? [data.recovered.backupKey instanceof Uint8Array, data.recovered.attemptsLeft]);
        worker.postMessage({ ...asked, manifest: Uint8Array.from(atob(manifest), (byte) => byte.charCodeAt(0)) });
      })`);
    expect(await inWorker("orchard tandem velvet quarry")).toEqual([true, 10]);
    expect(await inWorker("orchard tandem velvet query")).toMatchObject({
      code: "wrong-recovery-code",
      details: { attemptsLeft: 9 },
    });
    expect(page.complaints.slice(before)).toEqual([]);
  });
});

test("what is public may be read also where it is answered by 304, and too many requests are told to slow down", async () => {
  const manifest = await fetch(`${service.url}/v1/manifest`);
  const again = await fetch(`${service.url}/v1/manifest`, {
    headers: { "if-none-match": manifest.headers.get("etag") ?? "" },
  });
  expect([again.status, said(again)]).toEqual([304, ANY]);
  for (const path of ["/info", `${LOG}/index.json`]) {
    let response: Response;
    do response = await fetch(auditor.url + path);
    while (response.status === 200);
    expect([response.status, said(response)], path).toEqual([429, ANY]);
  }
});

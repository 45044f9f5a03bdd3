/** Looks at an HTML file as a browser prints it: one headless Chromium, over the pipe of its DevTools protocol. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

export interface PrintedPage {
  /** Sheets of A4. */
  readonly sheets: number;
  /** What is wider than the place that it has, as tag and beginning of the text. */
  readonly overflowing: readonly string[];
  /** What the page loaded, itself included. */
  readonly requests: readonly string[];
  readonly pdf: Uint8Array;
}

/** In millimetres: the width between the margins of an A4 sheet, as the page is laid out on it. */
const SHEET_WIDTH = 180;
const CSS_PIXELS_PER_MM = 96 / 25.4;

const OVERFLOWING = `[...document.querySelectorAll("body, body *")]
  .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0 ||
    element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.tagName + " " + element.textContent.trim().slice(0, 60))`;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly request?: { readonly url?: string } };
  readonly result?: Record<string, never>;
  readonly error?: { readonly message: string };
}

/** Commands and events, each a JSON text that ends with NUL. */
class DevTools {
  readonly #in: Writable;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #events = new Map<string, () => void>();
  readonly requests: string[] = [];
  #last = 0;
  session: string | undefined;

  constructor(child: ChildProcess) {
    const [, , , input, output] = child.stdio;
    this.#in = input as Writable;
    let rest = "";
    (output as Readable).setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  #receive(message: Message): void {
    if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
    const url = message.params?.request?.url;
    if (message.method === "Network.requestWillBeSent" && url !== undefined) this.requests.push(url);
    if (message.method !== undefined) this.#events.get(message.method)?.();
  }

  /** Resolves with the result, which the caller knows the shape of. */
  async call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#last;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    this.#in.write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result as T;
  }

  event(method: string): Promise<void> {
    return new Promise((resolve) => this.#events.set(method, resolve));
  }
}

async function print(tools: DevTools, file: string): Promise<PrintedPage> {
  const { targetId } = await tools.call<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
  const attached = await tools.call<{ sessionId: string }>("Target.attachToTarget", {
    targetId,
    flatten: true,
  });
  tools.session = attached.sessionId;
  await tools.call("Network.enable");
  await tools.call("Page.enable");
  await tools.call("Emulation.setEmulatedMedia", { media: "print" });
  await tools.call("Emulation.setDeviceMetricsOverride", {
    width: Math.round(SHEET_WIDTH * CSS_PIXELS_PER_MM),
    height: 1000,
    deviceScaleFactor: 1,
    mobile: false,
  });
  const loaded = tools.event("Page.loadEventFired");
  await tools.call("Page.navigate", { url: pathToFileURL(file).href });
  await loaded;
  const { result } = await tools.call<{ result: { value: readonly string[] } }>("Runtime.evaluate", {
    expression: OVERFLOWING,
    returnByValue: true,
  });
  const { data } = await tools.call<{ data: string }>("Page.printToPDF", { preferCSSPageSize: true });
  const pdf = new Uint8Array(Buffer.from(data, "base64"));
  const sheets =
    Buffer.from(pdf)
      .toString("latin1")
      .match(/\/Type \/Page\b/g)?.length ?? 0;
  return { sheets, overflowing: result.value, requests: tools.requests, pdf };
}

/** @param file path of the HTML file */
export async function printedPage(file: string): Promise<PrintedPage> {
  const profile = mkdtempSync(join(tmpdir(), "strongroom-chromium-"));
  const child = spawn(
    "chromium",
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      "--remote-debugging-pipe",
    ],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
  );
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const failed = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`chromium ended with ${code}`)));
  });
  try {
    return await Promise.race([print(new DevTools(child), file), failed]);
  } finally {
    failed.catch(() => undefined);
    child.kill("SIGKILL");
    await gone;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** One headless Chromium, over the pipe of its DevTools protocol: pages as people see them, and as they are printed. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import { until } from "./http.ts";

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
  readonly params?: {
    readonly request?: { readonly url?: string };
    readonly exceptionDetails?: Thrown;
    readonly entry?: { readonly level: string; readonly source: string; readonly text: string };
  };
  readonly result?: Record<string, never>;
  readonly error?: { readonly message: string };
}

interface Thrown {
  readonly text: string;
  readonly exception?: { readonly description?: string };
}

const told = ({ text, exception }: Thrown): string => exception?.description ?? text;

/** Commands and events, each a JSON text that ends with NUL. */
class DevTools {
  readonly #in: Writable;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #events = new Map<string, () => void>();
  readonly requests: string[] = [];
  /** Errors that the page did not catch, and what the browser complains of: a policy that forbids it, for one. */
  readonly complaints: string[] = [];
  #last = 0;
  session: string | undefined;

  constructor(child: ChildProcess) {
    const [, , , input, output] = child.stdio;
    this.#in = input as Writable;
    // It ended: whoever waits is told so by its exit.
    this.#in.on("error", () => undefined);
    let rest = "";
    (output as Readable).setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  #receive({ id, method, params, ...message }: Message): void {
    if (id !== undefined) this.#waiting.get(id)?.(message);
    const url = params?.request?.url;
    if (method === "Network.requestWillBeSent" && url !== undefined) this.requests.push(url);
    if (method === "Runtime.exceptionThrown" && params?.exceptionDetails)
      this.complaints.push(told(params.exceptionDetails));
    // What a server answered with 404 is in the network's log too, and is the page's own affair.
    if (method === "Log.entryAdded" && params?.entry?.level === "error" && params.entry.source !== "network")
      this.complaints.push(params.entry.text);
    if (method !== undefined) this.#events.get(method)?.();
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

/** What a page is looked at with. */
export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly reducedMotion?: boolean;
}

/** The one page of a browser. */
export class BrowserPage {
  readonly #tools: DevTools;

  constructor(tools: DevTools) {
    this.#tools = tools;
  }

  /** Uncaught errors and breaches of the page's policy, since the start. */
  get complaints(): readonly string[] {
    return this.#tools.complaints;
  }
  /** Addresses of all that was asked for, since the start. */
  get requests(): readonly string[] {
    return this.#tools.requests;
  }

  async look({ width = 1200, height = 900, dark = false, reducedMotion = true }: Look): Promise<void> {
    await this.#tools.call("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await this.#tools.call("Emulation.setEmulatedMedia", {
      features: [
        { name: "prefers-color-scheme", value: dark ? "dark" : "light" },
        { name: "prefers-reduced-motion", value: reducedMotion ? "reduce" : "no-preference" },
      ],
    });
  }

  /** Resolves when it has loaded. */
  async open(url: string): Promise<void> {
    const loaded = this.#tools.event("Page.loadEventFired");
    await this.#tools.call("Page.navigate", { url });
    await loaded;
  }

  /** The value of a JavaScript expression, JSON. A promise is awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#tools.call<{
      result: { value: T };
      exceptionDetails?: Thrown;
    }>("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(told(exceptionDetails));
    return result.value;
  }

  /** Resolves when the expression is true. */
  async until(expression: string): Promise<void> {
    await this.evaluate(`new Promise((resolve) => {
      const look = () => (${expression}) ? resolve(true) : setTimeout(look, 20);
      look();
    })`);
  }

  /** Files and folders, let fall on the middle of what a CSS selector finds. */
  async drop(selector: string, paths: readonly string[]): Promise<void> {
    const { x, y } = await this.evaluate<{ x: number; y: number }>(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const data = { items: [], files: paths, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"])
      await this.#tools.call("Input.dispatchDragEvent", { type, x, y, data });
  }

  async press(key: string): Promise<void> {
    for (const type of ["keyDown", "keyUp"])
      await this.#tools.call("Input.dispatchKeyEvent", { type, key, code: key, ...KEYS[key] });
  }

  /** PNG of the whole page. */
  async picture(): Promise<Uint8Array> {
    const { data } = await this.#tools.call<{ data: string }>("Page.captureScreenshot", {
      captureBeyondViewport: true,
    });
    return new Uint8Array(Buffer.from(data, "base64"));
  }

  /** As `PrintedPage` has it. */
  overflowing(): Promise<readonly string[]> {
    return this.evaluate(OVERFLOWING);
  }

  async pdf(): Promise<Uint8Array> {
    const { data } = await this.#tools.call<{ data: string }>("Page.printToPDF", { preferCSSPageSize: true });
    return new Uint8Array(Buffer.from(data, "base64"));
  }

  async print(): Promise<void> {
    await this.#tools.call("Emulation.setEmulatedMedia", { media: "print" });
  }
}

const KEYS: Readonly<Record<string, object>> = {
  Tab: { windowsVirtualKeyCode: 9 },
  Enter: { windowsVirtualKeyCode: 13, text: "\r" },
};

async function attach(tools: DevTools): Promise<BrowserPage> {
  const { targetId } = await tools.call<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
  const attached = await tools.call<{ sessionId: string }>("Target.attachToTarget", {
    targetId,
    flatten: true,
  });
  tools.session = attached.sessionId;
  for (const domain of ["Network", "Page", "Runtime", "Log"]) await tools.call(`${domain}.enable`);
  return new BrowserPage(tools);
}

/** A browser for as long as `use` takes. */
export async function withChromium<T>(use: (page: BrowserPage) => Promise<T>): Promise<T> {
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
    return await Promise.race([attach(new DevTools(child)).then(use), failed]);
  } finally {
    failed.catch(() => undefined);
    child.kill("SIGKILL");
    await gone;
    // Its other processes write there until they notice that it is gone, and rmSync looks for files only once.
    await until(() => {
      try {
        rmSync(profile, { recursive: true, force: true });
        return true;
      } catch {
        return false;
      }
    });
  }
}

/** @param file path of the HTML file */
export function printedPage(file: string): Promise<PrintedPage> {
  return withChromium(async (page) => {
    await page.look({ width: Math.round(SHEET_WIDTH * CSS_PIXELS_PER_MM), height: 1000 });
    await page.print();
    await page.open(pathToFileURL(file).href);
    const overflowing = await page.overflowing();
    const pdf = await page.pdf();
    const sheets =
      Buffer.from(pdf)
        .toString("latin1")
        .match(/\/Type \/Page\b/g)?.length ?? 0;
    return { sheets, overflowing, requests: page.requests, pdf };
  });
}

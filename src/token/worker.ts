/**
 * The token worker: a process with one session, working through runs in their order.
 *
 * It reads and writes its socket synchronously. PKCS#11 calls block anyway, so an event loop would only add
 * latency; runs that wait in the socket are started without a round trip to the parent. End of input means
 * that the parent has gone or wants us gone.
 */
import { readSync, writeSync } from "node:fs";
import { deserialize } from "node:v8";
import { actionFor } from "./ckr.ts";
import { FRAME, FrameReader, FrameSplitter, FrameWriter } from "./frames.ts";
import { takeAllCounts } from "./module.ts";
import type { DriverTraits } from "./profile.ts";
import { readRun, travelling, type Verdict, writeFailure, writeResults } from "./run-codec.ts";
import { Runner } from "./runner.ts";
import { type TokenKey, TokenSession } from "./session.ts";
import type { TokenUri } from "./uri.ts";

/** The first frame: in neither argv nor environment, where others could read it. */
export interface WorkerConfig {
  readonly uri: TokenUri;
  readonly traits: DriverTraits;
  readonly keys: readonly TokenKey[];
}

const SOCKET = 3;
/** Answers wait at most this long for company, and never while there is nothing else to do. */
const MAX_ANSWER_DELAY_MS = 0.5;

class Worker {
  readonly #out = new FrameWriter();
  #session: TokenSession | undefined;
  #runner: Runner | undefined;
  #lastWrite = 0;
  #done = false;

  /** Works until there is no more input. */
  serve(): void {
    const chunk = Buffer.alloc(65_536);
    const splitter = new FrameSplitter();
    try {
      while (!this.#done) {
        const length = readSome(chunk);
        if (length === 0) break;
        splitter.push(chunk.subarray(0, length), (frame) => {
          if (!this.#done) this.#handle(new FrameReader(frame));
        });
        this.#flush();
      }
    } catch (error) {
      // A parent that was killed leaves no reader for the answers: an end like any other.
      if (!isSystemError(error, "EPIPE", "ECONNRESET")) throw error;
    } finally {
      this.#finish();
    }
  }

  #handle(input: FrameReader): void {
    switch (input.kind) {
      case FRAME.configure:
        this.#open(deserialize(Buffer.from(input.bytes())));
        break;
      case FRAME.run:
        this.#run(input);
        break;
      case FRAME.probe:
        this.#probe();
        break;
      case FRAME.forbidLogin:
        this.#session?.forbidLogin();
        break;
      default:
        this.#report();
        this.#done = true;
    }
    if (performance.now() - this.#lastWrite > MAX_ANSWER_DELAY_MS) this.#flush();
  }

  #open({ uri, traits, keys }: WorkerConfig): void {
    try {
      this.#session = new TokenSession({ uri, traits, keys });
      this.#runner = new Runner(this.#session);
      this.#out.begin(FRAME.ready);
      this.#out.end();
    } catch (error) {
      this.#report(error, actionFor(error) === "stop" ? "stop" : "recycle");
      this.#done = true;
    }
  }

  #run(input: FrameReader): void {
    const runner = this.#runner;
    const { id, steps } = readRun(input);
    if (!runner) return;
    try {
      const results = runner.run(steps);
      writeResults(this.#out, id, results, runner.micros);
    } catch (error) {
      const failed = Math.max(runner.micros.length - 1, 0);
      this.#out.begin(FRAME.failed);
      this.#out.u32(id);
      writeFailure(this.#out, {
        error: travelling(error),
        verdict: runner.verdict,
        op: steps[failed]?.op ?? "",
        micros: runner.micros[failed] ?? 0,
      });
      this.#out.end();
    }
    if (runner.verdict !== "none") this.#done = true;
  }

  #probe(): void {
    const runner = this.#runner;
    if (!runner) return;
    try {
      runner.probe();
      this.#report();
    } catch (error) {
      this.#report(error, runner.verdict);
    }
    if (runner.verdict !== "none") this.#done = true;
  }

  #report(error?: unknown, verdict: Verdict = "none"): void {
    this.#out.begin(FRAME.report);
    this.#out.text(JSON.stringify(takeAllCounts()));
    this.#out.u32(Math.min(process.memoryUsage.rss() / 1024, 0xffffffff));
    this.#out.u8(error === undefined ? 0 : 1);
    if (error !== undefined)
      writeFailure(this.#out, { error: travelling(error), verdict, op: "", micros: 0 });
    this.#out.end();
  }

  #flush(): void {
    const answers = this.#out.peek();
    for (let at = 0; at < answers.length; ) at += writeSome(answers.subarray(at));
    if (answers.length > 0) this.#out.clear();
    this.#lastWrite = performance.now();
  }

  /** C_Finalize before the exit: some devices keep the sessions of a process that died without it. */
  #finish(): void {
    try {
      this.#flush();
    } catch {
      // The parent has gone; nobody waits for the answers.
    }
    try {
      this.#session?.close();
    } catch {
      // The exit is all that is left to do.
    }
  }
}

function isSystemError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.some((code) => code === error.code);
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** The socket is blocking; a signal or a parent that made it non-blocking are waited out. */
function insist(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (isSystemError(error, "EAGAIN")) Atomics.wait(sleeper, 0, 0, 1);
      else if (!isSystemError(error, "EINTR")) throw error;
    }
  }
}

function readSome(into: Buffer): number {
  try {
    return insist(() => readSync(SOCKET, into));
  } catch (error) {
    if (isSystemError(error, "ECONNRESET", "EPIPE", "EOF")) return 0;
    throw error;
  }
}

const writeSome = (bytes: Buffer): number => insist(() => writeSync(SOCKET, bytes));

// Ctrl-C and a service manager's TERM reach the whole group; the parent drains first and then closes the socket.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

let status = 0;
try {
  new Worker().serve();
} catch (error) {
  writeSync(process.stderr.fd, `token worker: ${error instanceof Error ? error.message : String(error)}\n`);
  status = 1;
}
// Vendor libraries leave threads behind that would keep the process.
process.exit(status);

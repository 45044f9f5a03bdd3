/** One worker as the pool sees it: a child process, a socket, and the runs that are under way in it. */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { serialize } from "node:v8";
import { StrongroomError } from "../base/errors.ts";
import { childProgram } from "./child-process.ts";
import { FRAME, FrameReader, FrameSplitter, FrameWriter } from "./frames.ts";
import type { CallCount } from "./module.ts";
import { type Failure, readFailure, readResults, writeRun } from "./run-codec.ts";
import type { PendingRun } from "./run-queue.ts";
import type { StepResult } from "./steps.ts";
import type { WorkerConfig } from "./worker.ts";

export interface WorkerListener {
  ready(worker: WorkerProcess): void;
  results(worker: WorkerProcess, run: PendingRun, results: StepResult[], micros: readonly number[]): void;
  failed(worker: WorkerProcess, run: PendingRun, failure: Failure): void;
  /** The answer to a probe, or why the worker is about to exit. */
  report(worker: WorkerProcess, counts: readonly CallCount[], failure: Failure | undefined): void;
  /** The process has ended; `unanswered` are in the order in which they were sent. */
  exited(worker: WorkerProcess, unanswered: readonly PendingRun[], how: string): void;
}

export type WorkerState = "opening" | "ready" | "leaving" | "gone";

/** A worker makes small short-lived objects only: a large young generation would just sit in memory. */
const LEAN: readonly string[] = ["--max-semi-space-size=2"];

export class WorkerProcess {
  state: WorkerState = "opening";
  /** When the oldest unanswered frame became the one being worked on; `performance.now()`. */
  busySince: number = performance.now();
  probing = false;
  /** It was ready once. */
  opened = false;
  /** To be closed as soon as its successor is ready. */
  retiring = false;
  #firstRss: number | undefined;
  /** Resident memory gained since the first report, bytes. */
  grownBytes = 0;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #listener: WorkerListener;
  readonly #splitter = new FrameSplitter();
  readonly #out = new FrameWriter();
  #flushing = false;
  /** Sent and not yet answered, oldest first. */
  #underWay: PendingRun[] = [];
  readonly #exit: Promise<void>;

  constructor(config: WorkerConfig, env: Readonly<Record<string, string>>, listener: WorkerListener) {
    this.#listener = listener;
    // Whatever a vendor library prints goes to the log, not among the data on stdout.
    const { path, execArgv } = childProgram(import.meta.url, "worker");
    this.#child = spawn(process.execPath, [...LEAN, ...execArgv, path], {
      stdio: ["ignore", 2, 2, "pipe"],
      env: { ...process.env, ...env },
    });
    const socket = this.#child.stdio[3];
    if (!(socket instanceof Socket)) throw new StrongroomError("internal", "no socket to the token worker");
    this.#socket = socket;
    this.#exit = new Promise((resolve) => {
      let ended = false;
      const end = (how: string): void => {
        if (ended) return;
        ended = true;
        this.#end(how);
        resolve();
      };
      // `close`, not `exit`: answers that were written before the end are still read.
      this.#child.on("close", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
      this.#child.on("error", (error) => end(error.message));
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    // A broken pipe is followed by the child's end, which is where it is dealt with.
    socket.on("error", () => {});
    this.#frame(FRAME.configure, (out) => out.bytes(serialize(config)));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }
  get load(): number {
    return this.#underWay.length;
  }
  get underWay(): readonly PendingRun[] {
    return this.#underWay;
  }

  /** @throws internal for a run that does not fit a frame */
  send(run: PendingRun): void {
    try {
      writeRun(this.#out, run.id, run.steps);
    } catch (error) {
      this.#out.abort();
      throw error;
    }
    if (this.#underWay.length === 0 && !this.probing) this.busySince = performance.now();
    this.#underWay.push(run);
    this.#flushSoon();
  }
  probe(): void {
    if (this.#underWay.length === 0) this.busySince = performance.now();
    this.probing = true;
    this.#frame(FRAME.probe);
  }
  /** What it is logged in for it may go on doing. */
  forbidLogin(): void {
    this.#frame(FRAME.forbidLogin);
  }
  /** Asks for a clean exit. */
  close(): void {
    if (this.state === "gone") return;
    this.state = "leaving";
    this.busySince = performance.now();
    this.#frame(FRAME.close);
  }
  /** For a worker that hangs in a call: nothing gentler reaches it. */
  kill(): void {
    if (this.state === "gone") return;
    this.state = "leaving";
    this.#child.kill("SIGKILL");
  }
  /** Resolves when the process has ended. */
  exited(): Promise<void> {
    return this.#exit;
  }

  #frame(kind: number, body?: (out: FrameWriter) => void): void {
    this.#out.begin(kind);
    body?.(this.#out);
    this.#out.end();
    this.#flushSoon();
  }

  /** After everything that the current turn of the event loop has to say: one write for many runs. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      const frames = this.#out.take();
      if (this.#socket.writable) this.#socket.write(frames);
    });
  }

  #receive(chunk: Buffer): void {
    try {
      this.#splitter.push(chunk, (frame) => this.#handle(new FrameReader(frame)));
    } catch {
      // A worker that cannot keep to the protocol is not trusted with another run.
      this.kill();
    }
  }

  #handle(input: FrameReader): void {
    this.busySince = performance.now();
    switch (input.kind) {
      case FRAME.ready:
        this.opened = true;
        if (this.state === "opening") this.state = "ready";
        this.#listener.ready(this);
        break;
      case FRAME.results: {
        const { id, results, micros } = readResults(input);
        this.#listener.results(this, this.#answered(id), results, micros);
        break;
      }
      case FRAME.failed: {
        const run = this.#answered(input.u32());
        const failure = readFailure(input);
        if (failure.verdict !== "none") this.state = "leaving";
        this.#listener.failed(this, run, failure);
        break;
      }
      case FRAME.report: {
        this.probing = false;
        const counts: CallCount[] = JSON.parse(input.text());
        const rss = 1024 * input.u32();
        this.#firstRss ??= rss;
        this.grownBytes = rss - this.#firstRss;
        const failure = input.u8() === 0 ? undefined : readFailure(input);
        if (failure && failure.verdict !== "none") this.state = "leaving";
        this.#listener.report(this, counts, failure);
        break;
      }
      default:
        throw new StrongroomError("internal", "unknown frame from the token worker");
    }
  }

  /** Answers come in the order of the runs; anything else is a broken worker. */
  #answered(id: number): PendingRun {
    const run = this.#underWay.shift();
    if (run?.id === id) return run;
    if (run) this.#underWay.unshift(run);
    throw new StrongroomError("internal", "the token worker answered out of turn");
  }

  #end(how: string): void {
    this.state = "gone";
    const unanswered = this.#underWay;
    this.#underWay = [];
    this.#socket.destroy();
    this.#listener.exited(this, unanswered, how);
  }
}

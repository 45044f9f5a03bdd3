/**
 * The token for a running vault: workers, a bounded queue in front of them, deadlines, and recovery.
 *
 * - Each worker has a few runs in its socket, so that it never waits for this process's event loop; the rest
 *   wait here, where they can still go to another worker.
 * - Workers open their sessions one at a time: with a wrong PIN in the file, exactly one login is attempted,
 *   and after a refused PIN none ever again in the life of the pool.
 * - Vendor libraries grow (SoftHSM keeps some 250 bytes of every session object until C_Finalize): a worker that
 *   has grown is replaced by a fresh one, which takes over when it is ready.
 */
import { StrongroomError } from "../base/errors.ts";
import type { CallCount } from "./module.ts";
import { driverTraits, requireUsable } from "./profile.ts";
import { loadProfile } from "./profile-file.ts";
import type { Failure } from "./run-codec.ts";
import { expireRun, type PendingRun, RunQueue, rejectRun, resolveRun, sameError } from "./run-queue.ts";
import type { TokenKey } from "./session.ts";
import { onlySigns, type StepResult } from "./steps.ts";
import type { ResultsOf, Token, TokenHealth, TokenStep } from "./token.ts";
import { parseTokenUri } from "./uri.ts";
import type { WorkerConfig } from "./worker.ts";
import { type WorkerListener, WorkerProcess } from "./worker-process.ts";

export interface TokenConfig {
  /** pkcs11: URI with module-path and pin-source. */
  readonly uri: string;
  /** Name or path of the profile. */
  readonly profile: string;
  /** The keys that steps may name; KeySpecs of src/keys fit. */
  readonly keys: readonly TokenKey[];
  /** Worker processes, one session each. */
  readonly workers: number;
  /** Runs that may wait for a worker; more are refused as token-busy. Default 1024. */
  readonly queueLimit?: number | undefined;
  /** From the call of `run` to its answer, milliseconds. Default 5000. */
  readonly deadlineMs?: number | undefined;
  /** How often an idle token is looked at, milliseconds. Default 2000. */
  readonly probeMs?: number | undefined;
  /** A worker that has grown by so many bytes is replaced. Default 16 MiB. */
  readonly workerGrowthBytes?: number | undefined;
  /** Environment of the workers besides that of this process: what the PKCS#11 module reads. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Called as things happen; for metrics and the log. No value is ever secret. */
export interface TokenObserver {
  /** PKCS#11 calls since the last report of a worker, by function and return code. */
  call?(fn: string, ckr: string, count: number): void;
  /** One step. @param outcome `ok` or an error code @param seconds in the token, without waiting */
  step?(op: string, outcome: string, seconds: number): void;
  /** worker-ready, worker-exit, worker-failed, worker-stuck, worker-retiring, token-stopped. */
  event?(name: string, fields: Readonly<Record<string, string | number | boolean>>): void;
}

export interface TokenPool extends Token {
  health(): TokenHealth;
  /**
   * Resolves when every worker is ready.
   * @throws what keeps them from it, after the time or as soon as it is final
   */
  whenReady(timeoutMs: number): Promise<void>;
  /** Finishes what is under way (up to the deadline), then ends the workers. */
  close(): Promise<void>;
}

/** Runs in a worker's socket: enough to cover this process's longest turn of work. */
const WINDOW = 8;
const OPEN_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 3_000;
const BACKOFF_MS = { first: 250, last: 2_000 } as const;

/**
 * Starts the workers and returns at once; a token that is absent is waited for.
 * @throws uri-invalid, profile-invalid, token-unsuitable
 */
export function startTokenPool(config: TokenConfig, observer: TokenObserver = {}): TokenPool {
  const profile = loadProfile(config.profile);
  if (!onlySigns(config.keys)) requireUsable(profile);
  const traits = driverTraits(profile);
  const keys = config.keys.map(({ name, role, label }) => ({ name, role, label }));
  return new Pool(config, { uri: parseTokenUri(config.uri), traits, keys }, observer);
}

class Pool implements TokenPool, WorkerListener {
  readonly #workerConfig: WorkerConfig;
  readonly #env: Readonly<Record<string, string>>;
  readonly #observer: TokenObserver;
  readonly #target: number;
  readonly #queueLimit: number;
  readonly #deadlineMs: number;
  readonly #growthBytes: number;
  readonly #workers = new Set<WorkerProcess>();
  readonly #queue = new RunQueue();
  #nextId = 1;
  /** Why a worker did not come up, or went; cleared by the next one that is ready. */
  #reason: StrongroomError | undefined;
  /** The token cannot be opened at present, so that waiting for a worker is no use; cleared likewise. */
  #unavailable: StrongroomError | undefined;
  /** Set once the token refused the PIN: nothing is tried any more. */
  #stopped: StrongroomError | undefined;
  #closing: Promise<void> | undefined;
  #backoff = 0;
  #startTimer: NodeJS.Timeout | undefined;
  readonly #watch: NodeJS.Timeout;
  readonly #probe: NodeJS.Timeout;
  #waiting: (() => void)[] = [];

  constructor(config: TokenConfig, workerConfig: WorkerConfig, observer: TokenObserver) {
    this.#workerConfig = workerConfig;
    this.#env = config.env ?? {};
    this.#observer = observer;
    this.#target = Math.max(1, Math.trunc(config.workers));
    this.#queueLimit = config.queueLimit ?? 1024;
    this.#deadlineMs = config.deadlineMs ?? 5000;
    this.#growthBytes = config.workerGrowthBytes ?? 16 * 1024 * 1024;
    this.#watch = setInterval(() => this.#checkDeadlines(), Math.min(100, this.#deadlineMs / 4));
    this.#probe = setInterval(() => this.#probeAll(), config.probeMs ?? 2000);
    this.#startNext();
  }

  run<const S extends readonly TokenStep[]>(steps: S): Promise<ResultsOf<S>> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal();
      if (refusal) {
        reject(refusal);
        return;
      }
      this.#queue.push({
        id: this.#nextId,
        steps,
        deadline: performance.now() + this.#deadlineMs,
        deaths: 0,
        settled: false,
        // The worker ran these steps, so these are their results; types do not travel through a socket.
        resolve: (results) => resolve(results as unknown as ResultsOf<S>),
        reject,
      });
      this.#nextId = (this.#nextId % 0xffffffff) + 1;
      this.#dispatch();
    });
  }

  health(): TokenHealth {
    const workersReady = Math.min(this.#ready().length, this.#target);
    const ready = workersReady > 0 && !this.#closing;
    const reason = this.#stopped ?? this.#reason;
    const text = this.#closing ? "closing" : reason ? describe(reason) : "starting";
    return {
      ready,
      ...(ready && !reason ? {} : { reason: text }),
      workers: this.#target,
      workersReady,
      queued: this.#queue.length,
    };
  }

  async whenReady(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    while (this.#ready().length < this.#target) {
      const left = until - performance.now();
      const reason = this.#stopped ?? (left <= 0 || this.#closing ? this.#absence() : undefined);
      if (reason) throw sameError(reason);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#startTimer);
    clearInterval(this.#probe);
    const limit = performance.now() + this.#deadlineMs;
    const busy = (): boolean =>
      this.#ready().length > 0 && (this.#queue.length > 0 || this.#ready().some(({ load }) => load > 0));
    // Yields first, so that `close` has returned and new runs are refused.
    do await new Promise((resolve) => setTimeout(resolve, 5));
    while (busy() && performance.now() < limit);
    this.#queue.fail(new StrongroomError("token-absent", "the token pool is closed"));
    await Promise.all(
      [...this.#workers].map(async (worker) => {
        worker.close();
        const timer = setTimeout(() => worker.kill(), EXIT_LIMIT_MS);
        await worker.exited();
        clearTimeout(timer);
      }),
    );
    clearInterval(this.#watch);
    this.#wake();
  }

  // What workers say.

  ready(worker: WorkerProcess): void {
    this.#reason = undefined;
    this.#unavailable = undefined;
    this.#observer.event?.("worker-ready", { pid: worker.pid ?? 0 });
    // Frames are worked through in order: what the old one has been given, it still answers.
    this.#ready()
      .find(({ retiring }) => retiring)
      ?.close();
    this.#wake();
    this.#startNext();
    this.#dispatch();
  }

  results(_worker: WorkerProcess, run: PendingRun, results: StepResult[], micros: readonly number[]): void {
    this.#backoff = 0;
    if (this.#observer.step)
      for (const [i, step] of run.steps.entries()) this.#observer.step(step.op, "ok", (micros[i] ?? 0) / 1e6);
    resolveRun(run, results);
    this.#dispatch();
  }

  failed(worker: WorkerProcess, run: PendingRun, failure: Failure): void {
    const { error, verdict, op, micros } = failure;
    if (op !== "") this.#observer.step?.(op, error.code, micros / 1e6);
    if (verdict !== "none") this.#leaving(worker, failure);
    // Given to a fresh worker once, as if this one had died under it.
    if (verdict === "recycle" && error.retryable && run.deaths === 0) this.#queue.putBack([run]);
    else rejectRun(run, error);
    this.#settleQueue();
  }

  report(worker: WorkerProcess, counts: readonly CallCount[], failure: Failure | undefined): void {
    for (const [fn, ckr, count] of counts) this.#observer.call?.(fn, ckr, count);
    if (!failure) {
      this.#backoff = 0;
      if (worker.grownBytes > this.#growthBytes) this.#retire(worker);
      return;
    }
    if (failure.verdict === "none") return;
    this.#leaving(worker, failure);
    this.#settleQueue();
  }

  exited(worker: WorkerProcess, unanswered: readonly PendingRun[], how: string): void {
    this.#workers.delete(worker);
    this.#observer.event?.("worker-exit", { pid: worker.pid ?? 0, how, unanswered: unanswered.length });
    this.#queue.putBack(unanswered);
    // One that was asked to go, and went, is no trouble.
    if (!worker.retiring)
      this.#reason ??= new StrongroomError("token-failed", `a token worker ended: ${how}`);
    if (!worker.opened) this.#unavailable ??= this.#reason;
    this.#settleQueue();
    this.#wake();
    this.#startLater();
  }

  // Lifecycle.

  #leaving(worker: WorkerProcess, { error, verdict }: Failure): void {
    this.#reason = error;
    if (!worker.opened || error.code === "token-absent") this.#unavailable = error;
    this.#observer.event?.("worker-failed", {
      pid: worker.pid ?? 0,
      code: error.code,
      message: error.message,
    });
    if (verdict !== "stop") return;
    this.#stopped ??= error;
    // Those that serve go on; but a session that they lose must not cost the PIN another try, one for each of them.
    for (const other of this.#workers)
      if (other.state === "opening") other.kill();
      else if (other !== worker && other.state === "ready") other.forbidLogin();
    this.#observer.event?.("token-stopped", { code: error.code, message: error.message });
    this.#wake();
  }

  #retire(worker: WorkerProcess): void {
    if (worker.retiring) return;
    worker.retiring = true;
    this.#observer.event?.("worker-retiring", { pid: worker.pid ?? 0, grownBytes: worker.grownBytes });
    this.#startNext();
  }

  /** One opening at a time; the next one starts when this one is ready. */
  #startNext(): void {
    clearTimeout(this.#startTimer);
    this.#startTimer = undefined;
    if (this.#stopped || this.#closing) return;
    const workers = [...this.#workers];
    if (workers.some(({ state }) => state === "opening")) return;
    if (workers.filter(({ retiring }) => !retiring).length >= this.#target) return;
    this.#workers.add(new WorkerProcess(this.#workerConfig, this.#env, this));
  }

  /** Only an answered run or probe takes the back-off away again: opening alone proves little. */
  #startLater(): void {
    if (this.#stopped || this.#closing || this.#startTimer) return;
    this.#startTimer = setTimeout(() => this.#startNext(), this.#backoff);
    this.#backoff = Math.min(Math.max(BACKOFF_MS.first, 2 * this.#backoff), BACKOFF_MS.last);
  }

  #probeAll(): void {
    for (const worker of this.#ready()) if (!worker.probing) worker.probe();
  }

  #checkDeadlines(): void {
    const now = performance.now();
    this.#queue.expire(now);
    for (const worker of this.#workers) {
      for (const run of worker.underWay) expireRun(run, now);
      const limit = worker.state === "opening" ? OPEN_LIMIT_MS : this.#deadlineMs;
      const waiting = worker.state !== "ready" || worker.load > 0 || worker.probing;
      if (!waiting || now - worker.busySince < limit) continue;
      this.#reason = new StrongroomError("token-timeout", "the token does not answer");
      this.#observer.event?.("worker-stuck", { pid: worker.pid ?? 0, state: worker.state });
      worker.kill();
    }
  }

  // The queue.

  #ready(): WorkerProcess[] {
    return [...this.#workers].filter(({ state }) => state === "ready");
  }

  /** Why a new run is refused right away. */
  #refusal(): StrongroomError | undefined {
    if (this.#closing) return new StrongroomError("token-absent", "the token pool is closed");
    if (this.#queue.length >= this.#queueLimit)
      return new StrongroomError("token-busy", "too many operations wait for the token");
    const failed = this.#stopped ?? this.#unavailable;
    return failed && this.#ready().length === 0 ? sameError(failed) : undefined;
  }

  #settleQueue(): void {
    const failed = this.#stopped ?? this.#unavailable;
    if (failed && this.#ready().length === 0) this.#queue.fail(failed);
    else this.#dispatch();
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      let best: WorkerProcess | undefined;
      for (const worker of this.#workers)
        if (worker.state === "ready" && worker.load < (best?.load ?? WINDOW)) best = worker;
      if (!best) return;
      const run = this.#queue.shift();
      if (!run || run.settled) continue;
      try {
        best.send(run);
      } catch (error) {
        rejectRun(
          run,
          error instanceof StrongroomError ? error : new StrongroomError("internal", String(error)),
        );
      }
    }
  }

  #absence(): StrongroomError {
    return this.#reason ?? new StrongroomError("token-timeout", "the token is still starting");
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

function describe(error: StrongroomError): string {
  return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
}

/**
 * The members of one etcd cluster, and which of them to ask: the own site's first, another only while that one
 * fails. A member that failed rests, and comes back by a probe that no caller has to wait for.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../../base/errors.ts";
import type { Answer, Failure } from "./answer.ts";
import { Endpoint, type TlsIdentity } from "./endpoint.ts";
import { encodeRange, RANGE } from "./messages.ts";

const REST_MS = 1000;
const PAUSE_MS = 50;

export interface ClusterOptions {
  /** For messages to operators. */
  readonly name: string;
  /** `https://host:port` of the members, the nearest first. */
  readonly urls: readonly string[];
  /** Read anew for each connection. */
  readonly tls: () => TlsIdentity;
  /** Connections to each member. */
  readonly channels: number;
  /** How long a single call may take. */
  readonly tryMs: number;
  /** How long an operation may take with all its tries. */
  readonly operationMs: number;
  /** How long members may all have refused before an operation gives up: an election should fit in. */
  readonly patienceMs: number;
  /** A key that the client may read, for probes. */
  readonly probeKey: Uint8Array;
}

interface Seat {
  readonly endpoint: Endpoint;
  /** Since it failed: when to probe it again. */
  restingUntil: number | undefined;
  probing: boolean;
  /** What went wrong there last; undefined since it last did what it was asked. */
  failure: Failure | undefined;
}

/** One member's turn in an operation. */
export interface Attempt {
  call(method: string, request: Uint8Array): Promise<Answer>;
}

export class Cluster {
  readonly name: string;
  readonly #options: ClusterOptions;
  readonly #seats: readonly Seat[];
  /** Since when no member has done what it was asked, and when that was last found. */
  #lost: { since: number; last: number } | undefined;
  readonly #probes: Set<Promise<void>> = new Set();
  #closed = false;

  /** @throws Error if certificate and key are not that */
  constructor(options: ClusterOptions) {
    this.name = options.name;
    this.#options = options;
    this.#seats = options.urls.map((url) => ({
      endpoint: new Endpoint(url, options.tls, options.channels),
      restingUntil: undefined,
      probing: false,
      failure: undefined,
    }));
  }

  get endpoints(): readonly Endpoint[] {
    return this.#seats.map((seat) => seat.endpoint);
  }

  /**
   * The members to try, in turn, as long as the caller goes on asking. Ends when the operation's time is up or
   * when all members have been failing for longer than an election takes.
   */
  async *attempts(): AsyncGenerator<Attempt> {
    const { operationMs, patienceMs, tryMs } = this.#options;
    const until = performance.now() + operationMs;
    const tried = new Set<Seat>();
    while (!this.#closed) {
      const now = performance.now();
      if (now >= until) return;
      const seat = this.#next(tried);
      if (seat === undefined) {
        const since =
          this.#lost !== undefined && now - this.#lost.last < operationMs ? this.#lost.since : now;
        this.#lost = { since, last: now };
        if (now - since >= patienceMs) return;
        await sleep(PAUSE_MS);
        tried.clear();
        continue;
      }
      tried.add(seat);
      yield {
        call: async (method, request) => {
          const timeout = Math.min(tryMs, until - performance.now());
          const answer = await seat.endpoint.call(method, request, timeout);
          this.#learn(seat, answer);
          return answer;
        },
      };
    }
  }

  /**
   * A call that may be repeated at will, at whichever member answers: it changes nothing, or the same thing.
   * @throws store-unavailable, store-full; either may come after a change was made
   */
  async request<T>(method: string, request: Uint8Array, decode: (message: Uint8Array) => T): Promise<T> {
    for await (const attempt of this.attempts()) {
      const answer = await attempt.call(method, request);
      if (answer.ok) return this.decoded(answer.message, decode);
      const { fate } = answer.failure;
      if (fate === "no-space") throw this.full(answer.failure);
      if (fate === "refused") throw this.unavailable(answer.failure);
    }
    throw this.unavailable();
  }

  /** @throws store-unavailable for bytes that no etcd sends */
  decoded<T>(message: Uint8Array, decode: (message: Uint8Array) => T): T {
    try {
      return decode(message);
    } catch (cause) {
      throw new StrongroomError("store-unavailable", `etcd cluster ${this.name}: unreadable answer`, {
        cause,
      });
    }
  }

  /** @param refusal why the operation ended; without it each member's failure is named */
  unavailable(refusal?: Failure): StrongroomError {
    const failures = this.#seats.flatMap((seat) => (seat.failure ? [seat.failure] : []));
    const members = this.#seats.flatMap(({ endpoint, failure }) =>
      failure ? [`${endpoint.address}: ${failure.message}`] : [],
    );
    const reason = refusal?.message ?? (this.#closed ? "the store is closed" : members.join("; "));
    return new StrongroomError(
      "store-unavailable",
      `etcd cluster ${this.name}: ${reason || "no answer in time"}`,
      {
        hint:
          refusal?.hint ??
          failures.find((failure) => failure.hint !== undefined)?.hint ??
          "strongroom store status shows which members answer",
      },
    );
  }

  full(failure: Failure): StrongroomError {
    return new StrongroomError("store-full", `etcd cluster ${this.name}: ${failure.message}`, {
      ...(failure.hint === undefined ? {} : { hint: failure.hint }),
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const seat of this.#seats) seat.endpoint.close();
    await Promise.allSettled(this.#probes);
  }

  #next(tried: ReadonlySet<Seat>): Seat | undefined {
    const now = performance.now();
    let resting: Seat | undefined;
    let ready: Seat | undefined;
    for (const seat of this.#seats) {
      if (seat.restingUntil === undefined) {
        if (!tried.has(seat)) ready ??= seat;
        continue;
      }
      if (now >= seat.restingUntil && !seat.probing) this.#probe(seat);
      if (!tried.has(seat) && seat.restingUntil < (resting?.restingUntil ?? Number.POSITIVE_INFINITY))
        resting = seat;
    }
    return ready ?? resting;
  }

  #learn(seat: Seat, answer: Answer): void {
    if (answer.ok || !answer.failure.memberAtFault) {
      seat.restingUntil = undefined;
      seat.failure = undefined;
      this.#lost = undefined;
    } else {
      seat.restingUntil = performance.now() + REST_MS;
      seat.failure = answer.failure;
    }
  }

  #probe(seat: Seat): void {
    seat.probing = true;
    const request = encodeRange({ key: this.#options.probeKey, countOnly: true });
    const probe = seat.endpoint.call(RANGE, request, this.#options.tryMs).then((answer) => {
      seat.probing = false;
      this.#probes.delete(probe);
      this.#learn(seat, answer);
    });
    this.#probes.add(probe);
  }
}

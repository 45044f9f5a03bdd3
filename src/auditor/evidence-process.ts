/**
 * The check of evidence in a process of its own: evidence is large, and strangers wrote it. While it is judged the
 * auditor goes on answering, and whatever hangs, falls over or eats memory over it is that process. One runs at a time;
 * each namespace has at most one that waits, for it does one thing after the other.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { StrongroomError } from "../base/errors.ts";
import { errorTold, type ToldError } from "../base/told-error.ts";
import { childProgram } from "../token/child-process.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import type { AuditedEpoch } from "./announcement-rules.ts";
import type { AuditPolicy } from "./policy.ts";

/** What is to be checked, and where it is; the one message to the child. */
export interface EvidenceOrder {
  readonly fleets: readonly AnnouncedFleet[];
  readonly before: AuditedEpoch | undefined;
  readonly policy: AuditPolicy;
  /** The evidence store's two folders. */
  readonly waiting: string;
  readonly published: string;
  /** For the check alone; removed after it. */
  readonly work: string;
}

/** The one message from the child. */
export type EvidenceVerdict = { readonly used: readonly string[] } | { readonly error: ToldError };

/** @returns the evidence that is to be published @throws auditor-refused, evidence-invalid, file-failed; unavailable */
export type CheckEvidence = (order: EvidenceOrder) => Promise<readonly string[]>;

export interface EvidenceLimits {
  readonly deadlineMs: number;
  /** Of the whole process, in MiB. */
  readonly memoryMb: number;
}

/** Why there is no verdict; `details.reason`. */
type NoVerdict = "check-timeout" | "check-memory" | "check-died" | "check-stopped";

const HINTS: Readonly<Record<NoVerdict, string>> = {
  "check-timeout": "nothing was signed; evidenceCheck.deadlineMs in auditor.yaml is how long it may take",
  "check-memory": "nothing was signed; evidenceCheck.memoryMb in auditor.yaml is how much it may take",
  "check-died":
    "nothing was signed; send the request again. if it ends so again, the auditor's log says more",
  "check-stopped": "nothing was signed; send the request again when the auditor is back",
};

/** Files are read fast: a process may have grown by some hundred megabytes between two looks. */
const LOOK_EVERY_MS = 50;

function noVerdict(reason: NoVerdict, message: string): StrongroomError {
  return new StrongroomError("unavailable", message, { details: { reason }, hint: HINTS[reason] });
}

export class EvidenceChecks {
  readonly #limits: EvidenceLimits;
  #running: ChildProcess | undefined;
  #stopped = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(limits: EvidenceLimits) {
    this.#limits = limits;
  }

  /** When those before it are done. @throws as `CheckEvidence` */
  readonly check: CheckEvidence = (order) => {
    const turn = this.#last.then(() => this.#run(order));
    this.#last = turn.catch(() => undefined);
    return turn;
  };

  /** Ends what runs and refuses what waits: nothing of it has been signed. */
  stop(): void {
    this.#stopped = true;
    this.#running?.kill("SIGKILL");
  }

  async #run(order: EvidenceOrder): Promise<readonly string[]> {
    if (this.#stopped) throw noVerdict("check-stopped", "the auditor stops");
    try {
      const verdict = await this.#verdict(order);
      if ("error" in verdict) throw errorTold(verdict.error);
      return verdict.used;
    } finally {
      // A child that was killed has not tidied up.
      await rm(order.work, { recursive: true, force: true });
    }
  }

  #verdict(order: EvidenceOrder): Promise<EvidenceVerdict> {
    const { deadlineMs, memoryMb } = this.#limits;
    const { path, execArgv } = childProgram(import.meta.url, "evidence-child");
    const child = fork(path, [`${process.pid}`], {
      // What the heap may not have is collected in time, and does not look like memory that is needed.
      execArgv: [`--max-old-space-size=${memoryMb}`, ...execArgv],
      serialization: "advanced",
      stdio: ["ignore", 2, 2, "ipc"],
    });
    this.#running = child;
    return new Promise((resolve, reject) => {
      let verdict: EvidenceVerdict | undefined;
      let killed: StrongroomError | undefined;
      const kill = (reason: NoVerdict, message: string): void => {
        killed ??= noVerdict(reason, message);
        child.kill("SIGKILL");
      };
      const deadline = setTimeout(
        () => kill("check-timeout", `the check of the evidence took more than ${deadlineMs} ms`),
        deadlineMs,
      );
      const look = setInterval(() => {
        if (residentMb(child) > memoryMb)
          kill("check-memory", `the check of the evidence took more than ${memoryMb} MiB`);
      }, LOOK_EVERY_MS);
      let ended = false;
      const end = (how: string): void => {
        if (ended) return;
        ended = true;
        clearTimeout(deadline);
        clearInterval(look);
        this.#running = undefined;
        if (verdict) resolve(verdict);
        else if (this.#stopped) reject(noVerdict("check-stopped", "the auditor stops"));
        else
          reject(
            killed ?? noVerdict("check-died", `the check of the evidence ended without a verdict (${how})`),
          );
      };
      child.once("message", (message: EvidenceVerdict) => {
        verdict = message;
      });
      child.once("error", (error) => end(error.message));
      // `close`, not `exit`: a verdict that was told before the end is still read.
      child.once("close", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
      // A child that has ended shows by its end.
      child.send(order, () => undefined);
    });
  }
}

/** Files that are read are outside of the heap. 0 where the system does not say: the heap's own limit is left. */
function residentMb({ pid }: ChildProcess): number {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return Number(kilobytes ?? 0) / 1024;
  } catch {
    return 0;
  }
}

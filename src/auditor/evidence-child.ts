/** Entry of the child process of evidence-process.ts: one order, one verdict. */
import { Worker } from "node:worker_threads";
import { toldError } from "../base/told-error.ts";
import { checkEvidence } from "./evidence-check.ts";
import type { EvidenceOrder, EvidenceVerdict } from "./evidence-process.ts";
import { EvidenceStore } from "./evidence-store.ts";

/** A check leaves its thread no time to hear that the auditor was killed: another thread looks whether it is there. */
const WATCH = `setInterval(() => {
  if (process.ppid !== require("node:worker_threads").workerData) process.kill(process.pid, "SIGKILL");
}, 500);`;
new Worker(WATCH, { eval: true, workerData: Number(process.argv[2]), execArgv: [] }).unref();

process.once("message", ({ fleets, before, policy, waiting, published, work }: EvidenceOrder) => {
  checkEvidence(fleets, before, policy, new EvidenceStore(waiting, published), work)
    .then(
      (used): EvidenceVerdict => ({ used }),
      (error: unknown): EvidenceVerdict => ({ error: toldError(error) }),
    )
    .then((verdict) => process.send?.(verdict, undefined, undefined, () => process.exit(0)))
    // The parent was killed: nobody waits for the verdict.
    .catch(() => process.exit(1));
});
// Ctrl-C reaches the whole group; the parent decides whether it waits for the verdict.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

/** What Linux knows of a process: its children, its processor time and its memory. */
import { readFileSync } from "node:fs";

export function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

export function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}

/** Seconds of processor time so far, of all together. */
export function cpuSeconds(...pids: readonly number[]): number {
  return pids.reduce((total, pid) => {
    // utime and stime, in ticks of 1/100 s, are the 14th and 15th field; the 2nd, the name, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return total + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

export function rssBytes(...pids: readonly number[]): number {
  return pids.reduce((total, pid) => {
    const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return total + Number(kilobytes ?? 0) * 1_024;
  }, 0);
}

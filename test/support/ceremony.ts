/** Ceremonies for tests: a plan in a file, the built command, and rehearsals on SoftHSM tokens. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { readTranscript, type TranscriptLine } from "../../src/ceremony/transcript-lines.ts";
import { STRONGROOM } from "./cli.ts";

/** A temporary directory, removed by whoever made it. */
export function temporary(): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-ceremony-"));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** @returns the path of the plan's file */
export function writePlan(dir: string, plan: CeremonyPlan, name: string = "the-plan.yaml"): string {
  const path = join(dir, name);
  writeFileSync(path, stringify(plan));
  return path;
}

export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built command, to its end. */
export function strongroom(...args: readonly string[]): Answer {
  return strongroomWith({}, ...args);
}

/** The same with more in its environment, and in that of its children. */
export function strongroomWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...STRONGROOM, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

/** @param planHash SHA-256 of the plan's bytes, hex */
export function transcriptOf(dir: string, station: string, planHash: string): readonly TranscriptLine[] {
  return readTranscript(Uint8Array.from(readFileSync(join(dir, "transcripts", `${station}.jsonl`))), planHash)
    .lines;
}

/** SHA-256 of a file, hex. */
export function sha256Hex(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

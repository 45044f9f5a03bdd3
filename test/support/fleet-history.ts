/**
 * What people were told by a fleet that was being broken, in the order of each of them, and whether it can be true of
 * a vault that keeps its promises. Counting evaluations is not left to anybody's word: see `evaluatedElements`.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readSpyLog } from "./spy.ts";

export interface Told {
  readonly round: number;
  readonly subject: string;
  readonly act: "register" | "recover" | "guess" | "status";
  /** `served`; `wrong` where the right code was refused; `unserved` where nobody answered in time; else what was said. */
  readonly outcome: string;
  /** Tries that got no answer: each may still have an effect when nobody expects it any more. */
  readonly abandoned: number;
  /** As the answer says. */
  readonly attemptsLeft?: number;
  readonly state?: string;
}

/** What must not be, in words; one line each. */
export function violations(history: readonly Told[], maxAttempts: number): readonly string[] {
  const found: string[] = [];
  for (const subject of new Set(history.map((told) => told.subject))) {
    const events = history.filter((told) => told.subject === subject);
    found.push(...violationsOf(events, maxAttempts));
  }
  return found;
}

function violationsOf(events: readonly Told[], maxAttempts: number): readonly string[] {
  const found: string[] = [];
  /** Whether a registration was acknowledged; whether later ones may have happened. */
  let holds = false;
  let perhaps = false;
  let gone = false;
  /** Attempts since the last one that is known to have been given back. */
  let sent = 0;
  for (const [i, told] of events.entries()) {
    const { act, outcome, round } = told;
    const bad = (what: string): void => {
      found.push(`round ${round}: ${told.subject} ${act}: ${what}`);
    };
    // An abandoned request lives no longer than the fault that it ran into, and what cleans up after that.
    const late = events
      .slice(0, i + 1)
      .filter((one) => one.round >= round - 1)
      .reduce((sum, one) => sum + one.abandoned, 0);
    const saysGone = outcome === "destroyed" || told.state === "destroyed";
    if (outcome.startsWith("broken")) bad(outcome);
    if (act === "register") {
      if (outcome === "served") [holds, perhaps, gone, sent] = [true, false, false, 0];
      else perhaps = true;
      continue;
    }
    if (saysGone) {
      if (sent + late < maxAttempts) bad(`destroyed after ${sent} attempts`);
      gone = true;
      continue;
    }
    const answered = outcome === "served" || outcome === "wrong";
    if (gone && !perhaps && answered) bad("a destroyed record came back");
    if (holds && (outcome === "not-registered" || told.state === "not-registered"))
      bad("an acknowledged registration is lost");
    if (outcome === "wrong" && !perhaps) bad("the right code was refused");
    if (act === "recover") sent = outcome === "served" ? 0 : sent + 1;
    if (act === "guess") sent++;
    if (told.attemptsLeft === undefined || perhaps) continue;
    if (told.attemptsLeft < maxAttempts - sent - late)
      bad(`${told.attemptsLeft} attempts left after ${sent}: a success did not reset the count`);
    if (act === "guess" && told.attemptsLeft >= maxAttempts) bad("an attempt was not counted");
  }
  return found;
}

/**
 * Every element that any share was evaluated for, from what pkcs11-spy wrote in `dir`: upper-case hex, 65 bytes. A
 * derivation counts when it was called, whatever became of its answer; those with P + G are among them and match
 * nothing that anybody sent.
 */
export async function evaluatedElements(dir: string): Promise<ReadonlySet<string>> {
  const elements = new Set<string>();
  for (const name of readdirSync(dir)) {
    const shares = new Set<string>();
    for await (const { fn, fields, bytes } of readSpyLog(join(dir, name))) {
      if (fn === "C_UnwrapKey") shares.add(fields.get("out hKey") ?? "");
      if (fn === "C_DestroyObject") shares.delete(fields.get("in hObject") ?? "");
      if (fn !== "C_DeriveKey" || !shares.has(fields.get("in hBaseKey") ?? "")) continue;
      elements.add(bytes.get("in pMechanism->pParameter->pPublicData") ?? "");
    }
  }
  return elements;
}

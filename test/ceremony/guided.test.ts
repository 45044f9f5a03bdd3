/**
 * A person runs a ceremony at a real terminal: reads values out, types one wrongly, writes exception sheets, stops,
 * resumes, types a wrong PIN. What was said is in the transcript; PINs are nowhere.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { stepsOf } from "../../src/ceremony/steps.ts";
import {
  type Answer,
  officerFile,
  softPlan,
  strongroom,
  temporary,
  transcriptOf,
  writeOwnPlan,
} from "../support/ceremony.ts";
import { STRONGROOM } from "../support/cli.ts";
import { openTerminal, type Terminal } from "../support/tmux.ts";

const { dir: home, remove } = temporary();
const dir = join(home, "ceremony");
const terminals: Terminal[] = [];
afterAll(() => {
  for (const terminal of terminals) terminal.close();
  remove();
});

const PINS = {
  root: ["officer-pin-root", "user-pin-root"],
  "site-a": ["officer-pin-a", "user-pin-a"],
} as const;

function sign(plan: string, officer: string, key: number): Answer {
  const file = officerFile(home, key);
  return strongroom("ceremony", "sign", dir, "--officer", officer, "--key", file, "--plan", plan);
}

function approve(plan: string, ...officers: readonly (readonly [string, number])[]): void {
  for (const [name, n] of officers) {
    const answer = sign(plan, name, n);
    expect(answer.status, answer.stderr).toBe(0);
  }
}

function open(...args: readonly string[]): Terminal {
  const terminal = openTerminal([process.execPath, ...STRONGROOM, "ceremony", ...args]);
  terminals.push(terminal);
  return terminal;
}

async function goOn(terminal: Terminal, step: string): Promise<void> {
  await terminal.see(`Step ${step}`);
  terminal.press("Enter");
}

async function newPins(terminal: Terminal, station: keyof typeof PINS, before: number): Promise<void> {
  const [officer, user] = PINS[station];
  await terminal.see(`${station}: type the new security officer's PIN`);
  terminal.type(officer);
  await terminal.see("Type it again", before + 1);
  terminal.type(officer);
  await terminal.see(`${station}: type the new user PIN`);
  terminal.type(user);
  await terminal.see("Type it again", before + 2);
  terminal.type(user);
}

test("a guided run, with a wrong value, a wrong PIN and exception sheets", async () => {
  const path = writeOwnPlan(home, softPlan(home));
  const { plan, sha256 } = readPlan(path);
  const steps = stepsOf(plan).map(({ id }) => id);
  const idOf = (end: string): string => steps.find((id) => id.endsWith(end)) ?? "";

  // Nobody is there, and nothing is left behind.
  expect(strongroom("ceremony", "run", path, "--dir", dir).status).toBe(1);
  expect(existsSync(dir)).toBe(false);
  // Nobody has approved it yet, which is said before anything is asked.
  const early = open("run", path, "--dir", dir);
  await early.see("0 of 2 officers have approved the plan");
  await early.see("ended with 1");
  expect(early.screen()).not.toContain("Who types");
  // A key that is not the officer's.
  expect(sign(path, "Ada", 2)).toMatchObject({ status: 2 });
  approve(path, ["Ada", 1]);
  expect(strongroom("ceremony", "status", dir).stdout).toContain("approved by Ada; 2 needed");
  approve(path, ["Bela", 2]);

  const first = open("run", path, "--dir", dir);
  await first.see("Who types at this terminal?");
  first.type("Olga");
  await first.see("1 of 16");
  await goOn(first, idOf("root.open"));
  await goOn(first, idOf("site-a.open"));
  await goOn(first, idOf("root.initialise"));
  await newPins(first, "root", 0);
  await goOn(first, idOf("site-a.initialise"));
  await newPins(first, "site-a", 2);
  await goOn(first, idOf("make-root"));

  // A sheet that nothing asked for.
  await first.see(`Step ${idOf("make-site-keys")}`);
  first.press("Down", "Enter");
  await first.see("What was expected?");
  first.type("the room stays closed");
  await first.see("What happened?");
  first.type("the fire alarm rang");
  await first.see("What was decided, and why?");
  first.type("go on, it was a drill");
  await first.see("Who decided?");
  first.press("Enter");
  await first.see(`Step ${idOf("make-site-keys")}`, 2);
  first.press("Enter");

  // The words that are written at the other station: a wrong value first.
  await first.see("the identity key of site-a is");
  const written = /identity key of site-a is\s+\W*((?:[a-z]+ ){5}[a-z]+)\s+\W*((?:[a-z]+ ){5}[a-z]+)/.exec(
    first.screen(),
  );
  const words = written?.slice(1).join(" ") ?? "";
  expect(words.split(" ")).toHaveLength(12);
  await goOn(first, idOf("certify"));
  await first.see("Type the words of the identity key of site-a");
  first.type(words.split(" ").reverse().join(" "));
  await first.see("That is not what came here.");
  // The sheet does not give away what has to be typed.
  await first.see("the words of the identity key that came from site-a");
  expect(first.screen().split(words.split(" ").slice(0, 6).join(" ")).length - 1).toBe(1);
  await first.see("What was decided, and why?", 2);
  first.type("read in the wrong order; read it out again");
  await first.see("Who decided?", 2);
  first.press("Enter");
  await first.see("And now?");
  first.press("Enter");
  await first.see("Type the words of the identity key of site-a", 2);
  first.type(words);

  // The day ends.
  await first.see(`Step ${idOf("challenge")}`);
  first.press("Down", "Enter");
  await first.see("What was expected?", 2);
  first.type("everybody stays");
  await first.see("What happened?", 2);
  first.type("the witness fell ill");
  await first.see("What was decided, and why?", 3);
  first.type("stop for today");
  await first.see("Who decided?", 3);
  first.press("Enter");
  await first.see(`Step ${idOf("challenge")}`, 2);
  first.press("C-c");
  await first.see("ended with 1");
  expect(first.screen()).toContain("resume");

  const second = open("resume", dir);
  await second.see("7 of 16 steps have been taken");
  await second.see("Who types at this terminal?");
  second.type("Olga");
  await goOn(second, idOf("challenge"));
  await second.see("Words of a witness");
  second.type("rain in the north");
  await second.see("root: type the user PIN");
  second.type("not-the-pin");
  await second.see("wrong PIN");
  await second.see("root: type the user PIN", 2);
  second.type(PINS.root[1]);
  await goOn(second, idOf("prove"));
  await second.see("site-a: type the user PIN");
  second.type(PINS["site-a"][1]);
  for (const step of ["root.compare", "site-a.verify"]) await goOn(second, idOf(step));
  for (const station of ["root", "site-a"] as const) {
    await goOn(second, idOf(`${station}.seal-credentials`));
    await second.see(`${station}: type the security officer's PIN`);
    second.type(PINS[station][0]);
  }
  for (const step of ["manifest", "root.close", "site-a.close"]) await goOn(second, idOf(step));
  await second.see("every step has been taken");
  await second.see("ended with 0");

  const built = strongroom("evidence", "build", dir);
  expect(built.status, built.stderr).toBe(0);
  // Evidence is not signed by another's key under an officer's name either.
  expect(sign(path, "Ada", 2)).toMatchObject({ status: 2 });
  approve(path, ["Ada", 1], ["Bela", 2]);
  expect(failedClaims(await verifyEvidence(dir))).toEqual([]);

  const root = transcriptOf(dir, "root", sha256);
  const compared = root.filter((line) => line.kind === "prompt" && line.asked.startsWith("identity key"));
  expect(compared).toMatchObject([
    { right: false, who: "Olga" },
    { right: true, answer: words },
  ]);
  expect(root.filter(({ kind }) => kind === "exception")).toMatchObject([
    { decided: "read in the wrong order; read it out again", by: "Olga" },
    { happened: "the witness fell ill", decided: "stop for today" },
  ]);
  expect(transcriptOf(dir, "site-a", sha256).filter(({ kind }) => kind === "exception")).toMatchObject([
    { expected: "the room stays closed", happened: "the fire alarm rang", decided: "go on, it was a drill" },
  ]);
  // The wrong PIN was sent once.
  const refusedPins = root.filter((line) => line.kind === "call" && line.ckr === "CKR_PIN_INCORRECT");
  expect(refusedPins).toHaveLength(1);
  const shown = `${first.screen()}${second.screen()}`;
  const kept = ["transcripts", "steps"].flatMap((folder) =>
    readdirSync(join(dir, folder)).map((name) => readFileSync(join(dir, folder, name), "utf8")),
  );
  for (const pin of Object.values(PINS).flat())
    for (const text of [shown, ...kept]) expect(text.includes(pin)).toBe(false);
}, 240_000);

/**
 * The people of a ceremony at this terminal: who does what, what is compared, PINs without echo, and a sheet for
 * whatever goes otherwise than planned. Everything is asked on standard error.
 */
import { cancel, isCancel, log } from "@clack/prompts";
import { utf8, wipe } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { ACTIONS_TEXT } from "../ceremony/actions-text.ts";
import type { ExceptionSheet, PinQuestion, StationHands } from "../ceremony/hands.ts";
import { duration, timesOf } from "../ceremony/plan-times.ts";
import type { CeremonyStep } from "../ceremony/steps.ts";
import { wrapped } from "./columns.ts";
import { password, select, text } from "./prompt.ts";

const output = process.stderr;
/** Clack's frame, to the left of every line. */
const FRAME_COLUMNS = 3;

export interface GuidedHands extends StationHands {
  /** For people: something that they write down or read out. */
  show(text: string): void;
  /** Wipes the PINs that were typed. */
  forget(): void;
}

function stopped(): StrongroomError {
  cancel("Stopped. What was done is kept.", { output });
  return new StrongroomError("ceremony-stopped", "the person at the terminal stopped", {
    hint: "`strongroom ceremony resume DIR` goes on; a station's --station and --exchange are written again",
  });
}

/** Clack breaks a text of its own in the middle of words. */
function inFrame(text: string): string {
  const columns = (output.columns || 80) - FRAME_COLUMNS;
  return text
    .split("\n")
    .flatMap((line) => wrapped(line, columns))
    .join("\n");
}

/** @throws ceremony-stopped for Ctrl-C */
function answered<T>(value: T): Exclude<T, symbol> {
  if (isCancel(value)) throw stopped();
  return value as Exclude<T, symbol>;
}

async function ask(message: string, initialValue?: string): Promise<string> {
  const typed = await text({
    message,
    ...(initialValue === undefined ? {} : { initialValue }),
    validate: (value) => ((value ?? "").trim() === "" ? "write something" : undefined),
  });
  return answered(typed).trim();
}

async function askPin(message: string): Promise<Uint8Array> {
  const typed = answered(await password({ message }));
  return utf8(typed ?? "");
}

const whose = ({ who }: PinQuestion): string => (who === "so" ? "security officer's PIN" : "user PIN");

async function newPin(question: PinQuestion): Promise<Uint8Array> {
  for (;;) {
    const first = await askPin(`${question.station}: type the new ${whose(question)}`);
    const second = await askPin("Type it again");
    const same = first.length > 0 && Buffer.compare(first, second) === 0;
    wipe(second);
    if (same) return first;
    wipe(first);
    log.warn("These were not the same. Nothing was set.", { output });
  }
}

/** @throws ceremony-stopped where nobody is at a terminal */
export function requirePeople(): void {
  if (process.stdin.isTTY && output.isTTY) return;
  throw new StrongroomError("ceremony-stopped", "nobody is at a terminal to run the ceremony", {
    hint: "`strongroom ceremony rehearse` and `strongroom provision` run without people, on software tokens",
  });
}

/**
 * @param steps all steps of the plan, to say how many are left
 * @throws ceremony-stopped where the person stops at once
 */
export async function guidedHands(steps: readonly CeremonyStep[]): Promise<GuidedHands> {
  const operator = await ask("Who types at this terminal?");
  const pins = new Map<string, Uint8Array>();

  async function sheet(expected?: string, happened?: string): Promise<ExceptionSheet> {
    log.step("Exception sheet", { output });
    if (expected !== undefined)
      log.info(inFrame(`expected: ${expected}\nhappened: ${happened ?? ""}`), { output });
    return {
      expected: expected ?? (await ask("What was expected?")),
      happened: happened ?? (await ask("What happened?")),
      decided: await ask("What was decided, and why?"),
      by: await ask("Who decided?", operator),
    };
  }

  function announce(step: CeremonyStep): void {
    const at = steps.findIndex(({ id }) => id === step.id);
    const left = timesOf(steps.slice(at)).oneTeam;
    const { title, explanation, who, destructive } = ACTIONS_TEXT[step.action];
    const heading = `${at + 1} of ${steps.length} · about ${duration(left)} left\n${step.station}: ${title}`;
    log.step(inFrame(heading), { output });
    const undone = destructive ? "\nThis cannot be undone." : "";
    log.message(inFrame(`${explanation}\nPresent: ${who}.${undone}`), { output });
  }

  return {
    show: (text) => log.info(inFrame(text), { output }),
    forget() {
      wipe(...pins.values());
      pins.clear();
    },
    async ready({ step: id }) {
      const step = steps.find((one) => one.id === id);
      if (step) announce(step);
      const sheets: ExceptionSheet[] = [];
      for (;;) {
        const chosen = await select({
          message: `Step ${id}`,
          options: [
            { value: "go", label: "go on" },
            { value: "sheet", label: "write an exception sheet" },
            { value: "stop", label: "stop here; resume later" },
          ],
        });
        // Ctrl-C stops here too: a sheet that was written is kept.
        if (chosen !== "sheet") return { goOn: chosen === "go", sheets };
        sheets.push(await sheet());
      }
    },
    async compare({ member, of }) {
      const typed = await ask(`Type the words of the ${of} of ${member}, as they are written at ${member}`);
      return { typed, by: operator };
    },
    async confirm({ asked }) {
      return { typed: await ask(asked), by: operator };
    },
    async pin(question) {
      const key = `${question.station} ${question.who}`;
      const known = pins.get(key);
      if (known && question.warning === undefined && !question.isNew) return Uint8Array.from(known);
      if (question.warning !== undefined) log.error(question.warning, { output });
      if (known) wipe(known);
      const typed = question.isNew
        ? await newPin(question)
        : await askPin(`${question.station}: type the ${whose(question)}`);
      pins.set(key, typed);
      return Uint8Array.from(typed);
    },
    async witness() {
      const typed = await text({
        message: "Words of a witness for the challenge (a headline of today; empty without a witness)",
      });
      return (answered(typed) ?? "").trim();
    },
    async exception({ expected, happened }) {
      log.error("That is not what came here.", { output });
      const written = await sheet(expected, happened);
      const chosen = await select({
        message: "And now?",
        options: [
          { value: true, label: "try it again" },
          { value: false, label: "stop here" },
        ],
      });
      return { ...written, goOn: chosen === true };
    },
  };
}

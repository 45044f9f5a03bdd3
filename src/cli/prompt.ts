/**
 * Questions to the person at this terminal, on standard error.
 *
 * Clack knows Ctrl-C only. Where its input ends (Ctrl-D, a terminal that has gone) nothing answers it, and the process
 * would end in the middle of its work without a word; after Ctrl-Z it is deaf; and of a text that is pasted it takes
 * every line for the answer to another question. So it gets an input of its own, which sees these first.
 */
import { Transform, type TransformCallback } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import * as clack from "@clack/prompts";

type Cancelled = typeof clack.CANCEL_SYMBOL;
type Interrupt = "ended" | "suspended";

const output = process.stderr;
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const CTRL_Z = "\u001a";
/** Bracketed paste: the terminal is asked to say where a pasted text begins and ends. */
const TELL_PASTES = "\u001b[?2004h";
const TELL_NO_PASTES = "\u001b[?2004l";
const PASTE_BEGINS = "\u001b[200~";
const PASTE_ENDS = "\u001b[201~";

/** One line, without the frame that a question has on the screen; what is pasted presses no keys. */
const onOneLine = (pasted: string): string =>
  pasted
    .replaceAll(/^[\r\n]+|[\r\n]+$/g, "")
    .replaceAll(/[ \t]*[\r\n]+[│ \t]*/g, " ")
    .replaceAll(/\p{Cc}/gu, "");

/** What is typed, as a question may see it. */
class TypedInput extends Transform {
  readonly isTTY = true;
  readonly #decoder = new StringDecoder("utf8");
  readonly #interrupt: (how: Interrupt) => void;
  /** A paste that has not ended. */
  #begun = "";

  constructor(interrupt: (how: Interrupt) => void) {
    super();
    this.#interrupt = interrupt;
  }

  setRawMode(raw: boolean): void {
    process.stdin.setRawMode(raw);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const [keys = "", ...pastes] = (this.#begun + this.#decoder.write(chunk)).split(PASTE_BEGINS);
    this.#begun = "";
    let typed = keys;
    for (const paste of pastes) {
      const [pasted = "", after] = paste.split(PASTE_ENDS, 2);
      if (after === undefined) this.#begun = PASTE_BEGINS + pasted;
      else typed += onOneLine(pasted) + after;
    }
    // A terminal that never says where a paste ends must not swallow Ctrl-C.
    if (typed.includes(CTRL_D) || this.#begun.includes(CTRL_C)) this.#interrupt("ended");
    else if (typed.includes(CTRL_Z)) this.#interrupt("suspended");
    else this.push(typed);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#interrupt("ended");
    done();
  }
}

interface Asking {
  readonly input: Transform;
  readonly output: NodeJS.WriteStream;
  readonly signal: AbortSignal;
}

/** @returns what was answered; a symbol for Ctrl-C, Ctrl-D, and a terminal that has gone */
async function ask<T>(question: (asking: Asking) => Promise<T | Cancelled>): Promise<T | Cancelled> {
  for (;;) {
    const stop = new AbortController();
    let how: Interrupt | undefined;
    const input = new TypedInput((interrupt) => {
      how = interrupt;
      stop.abort();
    });
    process.stdin.pipe(input);
    output.write(TELL_PASTES);
    try {
      const answer = await question({ input, output, signal: stop.signal });
      if (how !== "suspended") return answer;
    } finally {
      output.write(TELL_NO_PASTES);
      process.stdin.unpipe(input).pause();
    }
    // As Ctrl-Z does where nobody is asked. Whoever comes back is asked again.
    process.kill(0, "SIGTSTP");
  }
}

type Question<O> = Omit<O, keyof Asking>;

export function text(options: Question<clack.TextOptions>): Promise<string | Cancelled> {
  return ask((asking) => clack.text({ ...options, ...asking }));
}

/** Without echo. */
export function password(options: Question<clack.PasswordOptions>): Promise<string | Cancelled> {
  return ask((asking) => clack.password({ ...options, ...asking }));
}

export function confirm(options: Question<clack.ConfirmOptions>): Promise<boolean | Cancelled> {
  return ask((asking) => clack.confirm({ ...options, ...asking }));
}

export function select<T>(options: Question<clack.SelectOptions<T>>): Promise<T | Cancelled> {
  return ask((asking) => clack.select({ ...options, ...asking }));
}

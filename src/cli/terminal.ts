/**
 * What every command shares: data on stdout, people on stderr, one way to fail, one way to print a table.
 */
import { CommanderError } from "commander";
import { errnoOf, reasonOf } from "../base/errno.ts";
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import { columnsOf, fitted, wrapped } from "./columns.ts";

/** A line for people. */
export function say(line = ""): void {
  process.stderr.write(`${line}\n`);
}

/** The result of a command, for machines. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** One answer for both streams, for what is coloured may go to either: a log of one must have no escapes in it. */
const colours = (): boolean =>
  process.stdout.isTTY && process.stderr.isTTY && !process.env.NO_COLOR && process.env.TERM !== "dumb";

const colour = (code: number) => (text: string) => (colours() ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold: (text: string) => string = colour(1);
export const red: (text: string) => string = colour(31);
export const green: (text: string) => string = colour(32);
export const yellow: (text: string) => string = colour(33);
export const dim: (text: string) => string = colour(2);

/** Text of strangers on one line, which must not write over a terminal. */
export const plain = (text: string): string => text.replaceAll(/\p{C}/gu, "\ufffd");

const GAP = "  ";

/**
 * Aligned columns; the heading is bold, cells may carry colour.
 * @param columns of the terminal, in which cells are broken to fit; a file or a program gets whole lines
 */
export function table(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number = process.stdout.columns || Number.POSITIVE_INFINITY,
): string {
  const all = [heading.map(bold), ...rows];
  const whole = heading.map((_, at) => Math.max(...all.map((row) => columnsOf(row[at] ?? ""))));
  const widths = fitted(whole, columns - GAP.length * (heading.length - 1));
  return all
    .flatMap((row) => {
      const cells = row.map((cell, at) => wrapped(cell, widths[at] ?? 0));
      const height = Math.max(...cells.map((lines) => lines.length));
      return Array.from({ length: height }, (_, line) =>
        cells
          .map((lines) => lines[line] ?? "")
          .map((part, at) => part + " ".repeat(Math.max(0, (widths[at] ?? 0) - columnsOf(part))))
          .join(GAP)
          .trimEnd(),
      );
    })
    .join("\n");
}

/**
 * Exit codes: 0 done; 1 it did not work; 2 wrong usage or configuration; 3 wrong recovery code; 4 the record is
 * destroyed, for scripts that must know whether another attempt makes sense.
 */
export function exitCode(error: unknown): number {
  // Help that was asked for is thrown too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (isStrongroomError(error, "wrong-recovery-code")) return 3;
  if (isStrongroomError(error, "destroyed")) return 4;
  const usage = [
    "usage",
    "config-invalid",
    "uri-invalid",
    "profile-invalid",
    "manifest-invalid",
    "plan-invalid",
    // A supervisor that starts a service again after a refused PIN locks the token.
    "pin-incorrect",
    "pin-locked",
  ];
  return isStrongroomError(error) && usage.includes(error.code) ? 2 : 1;
}

/**
 * What lies behind an error and is not said by its message: an error of ours, or the operating system's own words.
 * The message of anybody else's error may quote what it choked on, and is not shown.
 */
export function because({ message, cause, details }: StrongroomError): string | undefined {
  // `fileFailed` has put it in its own words.
  if (details.errno !== undefined) return undefined;
  const reason = isStrongroomError(cause) ? cause.message : reasonOf(cause);
  return reason === undefined || message.includes(reason) ? undefined : reason;
}

/** `strongroom: message`, what lies behind it, then the hint. */
export function printError(error: unknown): void {
  // Messages have lines, and quote what others sent.
  const lines = (text: string): string => text.split("\n").map(plain).join("\n");
  say(`strongroom: ${lines(error instanceof Error ? error.message : String(error))}`);
  if (!isStrongroomError(error)) return;
  const reason = because(error);
  if (reason !== undefined) say(`  because: ${lines(reason)}`);
  if (error.hint) say(`hint: ${lines(error.hint)}`);
}

/**
 * Standard output that takes no more. A reader that has seen enough (`| head`) has the command end quietly; a result
 * that a full disk did not take was not delivered, and the exit code says so.
 */
export function watchOutput(): void {
  let failed = false;
  process.stdout.on("error", (error) => {
    if (errnoOf(error) === "EPIPE") process.exit(process.exitCode ?? 0);
    if (failed) return;
    failed = true;
    say(`strongroom: cannot write the result to standard output: ${reasonOf(error) ?? "unknown"}`);
    process.exitCode = 1;
  });
  // People who have gone stop nothing.
  process.stderr.on("error", () => undefined);
}

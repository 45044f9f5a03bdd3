/** A command line run in this process. */
import type { Command } from "commander";
import { vi } from "vitest";
import { exitCode } from "../../src/cli/terminal.ts";

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
  readonly error: unknown;
}

/** What goes to the two streams is taken down. */
export async function runCommand(command: Command, args: readonly string[]): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const catchInto = (into: string[]) => (chunk: unknown) => into.push(String(chunk)) > 0;
  vi.spyOn(process.stdout, "write").mockImplementation(catchInto(out));
  vi.spyOn(process.stderr, "write").mockImplementation(catchInto(err));
  let error: unknown;
  try {
    command.exitOverride();
    for (const sub of command.commands) sub.exitOverride();
    await command.parseAsync(args, { from: "user" });
  } catch (thrown) {
    error = thrown;
  } finally {
    vi.restoreAllMocks();
  }
  const code = error === undefined ? 0 : exitCode(error);
  return { stdout: out.join(""), stderr: err.join(""), code, error };
}

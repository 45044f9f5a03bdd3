/** What the client's commands share: how they end, for people and for machines. */
import { errnoOf, isOutOfSpace } from "../base/errno.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { printJson, say } from "./terminal.ts";

export interface CommonOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly codeFile?: string;
}

/** What a command did. */
export interface Outcome {
  /** For --json; never a secret. */
  readonly json: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly lines: readonly string[];
}

/** Runs a command. With --json its result or its error is one object on stdout; errors go on to main either way. */
export async function finish(json: boolean | undefined, run: () => Promise<Outcome>): Promise<void> {
  try {
    const outcome = await run();
    if (json) printJson(outcome.json);
    else for (const line of outcome.lines) say(line);
  } catch (error) {
    if (json) printJson({ error: describe(error) });
    throw error;
  }
}

function describe(error: unknown): Readonly<Record<string, unknown>> {
  if (!isStrongroomError(error)) return { code: "internal", message: String(error) };
  const { code, message, hint, details } = error;
  return { code, message, ...(hint === undefined ? {} : { hint }), ...details };
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is exhausted",
  EFBIG: "larger than a file may be here",
  EROFS: "the file system is read-only",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is not a directory",
  EIO: "the device failed to read or write",
};

/** A failed call of the file system, in words. Errors of ours pass unchanged. */
export function fileFailed(doing: string, cause: unknown): StrongroomError {
  if (isStrongroomError(cause)) return cause;
  const code = errnoOf(cause) ?? "";
  const why = WHY[code] ?? (cause instanceof Error ? cause.message : String(cause));
  const hint = isOutOfSpace(cause)
    ? "free some space or write elsewhere; nothing partial was left"
    : undefined;
  return new StrongroomError("file-failed", `${doing}: ${why}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    ...(code === "" ? {} : { details: { errno: code } }),
  });
}

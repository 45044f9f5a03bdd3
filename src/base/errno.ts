/** What failed calls of the operating system are told apart by. */

/** Such as `ENOENT`; undefined for an error that names none. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

const OUT_OF_SPACE = ["ENOSPC", "EDQUOT", "EFBIG"];

/** True for the errors of a file system that has no room left. */
export function isOutOfSpace(error: unknown): boolean {
  return OUT_OF_SPACE.includes(errnoOf(error) ?? "");
}

/** What the operating system says, such as `permission denied`; undefined for an error that is not its own. */
export function reasonOf(error: unknown): string | undefined {
  const code = errnoOf(error);
  if (code === undefined || !(error instanceof Error) || !error.message.startsWith(`${code}: `))
    return undefined;
  // "ENOENT: no such file or directory, open '/path'"
  return error.message.slice(code.length + 2).split(", ", 1)[0];
}

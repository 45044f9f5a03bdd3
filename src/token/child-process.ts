/**
 * Processes of their own for tokens: a PKCS#11 module reads its environment and is initialised once per process, and
 * one that hangs or crashes must not take its parent with it.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type ErrorOptions, StrongroomError } from "../base/errors.ts";

export interface ChildProgram {
  readonly path: string;
  /** The loader of sources, where it is one. */
  readonly execArgv: readonly string[];
}

/**
 * A file beside its parent's, with the parent's extension: .ts from source, .js from the build.
 * @param parent `import.meta.url` of the parent
 */
export function childProgram(parent: string, name: string): ChildProgram {
  const source = parent.endsWith(".ts");
  return {
    path: fileURLToPath(new URL(`./${name}.${source ? "ts" : "js"}`, parent)),
    execArgv: source ? ["--import", pathToFileURL(createRequire(parent).resolve("tsx")).href] : [],
  };
}

export interface TokenChild {
  readonly child: ChildProcess;
  /** Rejects with token-failed when the process has ended; nobody has to wait for it. */
  readonly ended: Promise<never>;
}

/** @param env what the PKCS#11 module needs in its environment besides that of this process */
export function forkTokenChild(
  { path, execArgv }: ChildProgram,
  env: Readonly<Record<string, string>>,
  options: ErrorOptions = {},
): TokenChild {
  const child = fork(path, [], {
    execArgv: [...execArgv],
    serialization: "advanced",
    // Whatever a vendor library prints goes to the log, not among the data on stdout.
    stdio: ["ignore", 2, 2, "ipc"],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<never>((_, reject) => {
    const end = (how: string): void =>
      reject(new StrongroomError("token-failed", `the process with the token ended (${how})`, options));
    child.once("error", (error) => end(error.message));
    child.once("exit", (code, signal) => end(signal ?? `exit code ${code ?? "unknown"}`));
  });
  ended.catch(() => undefined);
  return { child, ended };
}

/** The child ends when it is told that nobody is there any more. */
export async function leaveChild({ child, ended }: TokenChild): Promise<void> {
  if (child.connected) child.disconnect();
  await ended.catch(() => undefined);
}

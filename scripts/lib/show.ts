/** Commands run before the reader's eyes, and what went otherwise than it should. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { bold, dim, say } from "../../src/cli/terminal.ts";

export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const cli: string = join(root, "dist/cli/main.js");

/** Something that the walk-through shows did not happen. */
export class Unexpected extends Error {}

export const shown = (path: string): string =>
  path.startsWith(process.cwd()) ? relative(process.cwd(), path) : path;

export function chapter(title: string): void {
  say(bold(`\n── ${title}`));
}

type Environment = Readonly<Record<string, string>>;

/** Runs `strongroom …`, and gives what it says to machines. */
export function strongroomJson<T>(args: readonly string[], env: Environment = {}): T {
  say(dim(`$ strongroom ${args.map(shown).join(" ")}`));
  const { status, stdout } = spawnSync(process.execPath, [cli, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  if (status !== 0) throw new Unexpected(`exit code ${status}`);
  say();
  return JSON.parse(stdout) as T;
}

/** Runs `strongroom …` and insists on its exit code. */
export function strongroom(args: readonly string[], env: Environment = {}, expected: number = 0): void {
  const words = args.map(shown);
  say(dim(`$ strongroom ${words.join(" ")}`));
  const { status } = spawnSync(process.execPath, [cli, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== expected) throw new Unexpected(`exit code ${status} where ${expected} was expected`);
  say();
}

/** A request on a connection of its own: while a command runs, nobody here sees that the server closed an idle one. */
export const get = (url: string | URL, init: RequestInit = {}): Promise<Response> =>
  fetch(url, { ...init, headers: { connection: "close" } });

/** What `/readyz` says; undefined where nobody answers. */
export async function readyz(url: string): Promise<{ ok: boolean; text: string } | undefined> {
  try {
    const answer = await get(`${url}/readyz`, { signal: AbortSignal.timeout(3_000) });
    return { ok: answer.ok, text: await answer.text() };
  } catch {
    return undefined;
  }
}

const START_MS = 90_000;

/** Starts `strongroom … serve` and waits until it is ready. @throws Unexpected */
export async function startService(
  args: readonly string[],
  logFile: string,
  env: Environment,
  /** What is not ready yet, in words; undefined once it is. */
  lacking: () => Promise<string | undefined>,
): Promise<ChildProcess> {
  say(dim(`$ strongroom ${args.map(shown).join(" ")} > ${shown(logFile)} &`));
  const log = openSync(logFile, "a", 0o600);
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const trouble = (what: string): Unexpected => {
    say(readFileSync(logFile, "utf8").split("\n").slice(-6).join("\n"));
    return new Unexpected(`${what}; the log is ${shown(logFile)}`);
  };
  for (const deadline = Date.now() + START_MS; ; ) {
    const what = await lacking();
    if (what === undefined) return child;
    if (child.exitCode !== null) throw trouble(`the service ended with exit code ${child.exitCode}`);
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw trouble(`the service did not become ready: ${what}`);
    }
    await new Promise((next) => setTimeout(next, 100));
  }
}

/** Starts a site and waits until it is ready. @throws Unexpected */
export function serve(config: string, logFile: string, url: string, env: Environment): Promise<ChildProcess> {
  return startService(["serve", "--config", config], logFile, env, async () => {
    const answer = await readyz(url);
    return answer?.ok ? undefined : (answer?.text ?? "no answer");
  });
}

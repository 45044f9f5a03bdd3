/** Standard output that takes no log lines: the service goes on, and ends when it is told to. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { standardOutput } from "../../src/service/log-output.ts";
import { STRONGROOM } from "../support/cli.ts";
import { recover, register } from "../support/flow.ts";
import { until } from "../support/http.ts";
import { createSite, type Site } from "../support/service.ts";

const CODE = "orchard tandem velvet quarry";

/** `strongroom serve` with a standard output of ours, ready. */
async function serve(stdout: number | "pipe"): Promise<{ site: Site; child: ChildProcess }> {
  const site = await createSite();
  onTestFinished(site.remove);
  const child = spawn(process.execPath, [...STRONGROOM, "serve", "--config", site.configFile], {
    stdio: ["ignore", stdout, "ignore"],
    env: { ...process.env, ...site.hsm.env },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await until(async () =>
    fetch(`${site.url}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  return { site, child };
}

async function serves(site: Site): Promise<void> {
  const key = await register(site, "alice", CODE);
  expect(await recover(site, "alice", CODE)).toEqual(key);
}

test("a log on a full disk ends no service, and does not keep it from ending", async () => {
  const full = openSync("/dev/full", "w");
  onTestFinished(() => closeSync(full));
  const { site, child } = await serve(full);
  await serves(site);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  expect((await exited)[0]).toBe(0);
});

test("neither does a reader that has stopped reading", async () => {
  const { site, child } = await serve("pipe");
  // More than the pipe holds, and Node.js reads ahead.
  for (let i = 0; i < 30; i++)
    await Promise.all(Array.from({ length: 40 }, () => fetch(`${site.url}/healthz`)));
  await serves(site);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
});

describe("lines", () => {
  /** Both ends of a pipe; writing to it never blocks. */
  function pipe(): { from: number; to: number } {
    const dir = mkdtempSync(join(tmpdir(), "strongroom-log-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    execFileSync("bash", ["-c", `mkfifo "$0"`, join(dir, "log")]);
    const from = openSync(join(dir, "log"), constants.O_RDONLY | constants.O_NONBLOCK);
    const to = openSync(join(dir, "log"), constants.O_WRONLY | constants.O_NONBLOCK);
    onTestFinished(() => closeSync(to));
    return { from, to };
  }

  test("wait for a reader in bounded memory, in their order; those that had no room are counted", async () => {
    const { from, to } = pipe();
    onTestFinished(() => closeSync(from));
    const lost: number[] = [];
    const output = standardOutput((lines) => {
      lost.push(lines);
      output.write(`lost ${lines}\n`);
    }, to);
    const line = (n: number): string => `${n} ${"x".repeat(1_000)}\n`;
    for (let n = 0; n < 20_000; n++) output.write(line(n));
    expect(await output.flush()).toBe(true);
    let read = "";
    const block = Buffer.alloc(2 ** 16);
    const drain = (): void => {
      try {
        for (let count = readSync(from, block); count > 0; count = readSync(from, block))
          read += block.toString("latin1", 0, count);
      } catch (error) {
        if (!String(error).includes("EAGAIN")) throw error;
      }
    };
    await until(() => {
      drain();
      output.write("after\n");
      return read.includes("after\n");
    });
    const [kept = "", ...rest] = read.split("lost ");
    expect(rest).toHaveLength(1);
    const written = kept.split("\n").slice(0, -1);
    expect(written.map((one) => `${one}\n`)).toEqual(written.map((_, n) => line(n)));
    expect(written.length * line(0).length).toBeLessThan(5 * 2 ** 20);
    expect(lost).toEqual([expect.any(Number)]);
    expect((lost[0] ?? 0) + written.length).toBeGreaterThanOrEqual(20_000);
  });

  test("are dropped where nobody will ever read them", async () => {
    const { from, to } = pipe();
    closeSync(from);
    const output = standardOutput(() => undefined, to);
    output.write("a line\n");
    expect(await output.flush()).toBe(true);
    output.write("another\n");
    expect(await output.flush()).toBe(true);
  });
});

/** `strongroom serve` as a process: signals, accidents, exit codes, --check. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { STRONGROOM } from "../support/cli.ts";
import { recover, register } from "../support/flow.ts";
import { until } from "../support/http.ts";
import {
  createSite,
  type Overrides,
  type Site,
  type SpawnedService,
  spawnService,
} from "../support/service.ts";

const CODE = "orchard tandem velvet quarry";

async function start(overrides: Overrides = {}, env: Record<string, string> = {}): Promise<SpawnedService> {
  const service = await spawnService(overrides, env);
  onTestFinished(() => service.close());
  return service;
}

async function site(overrides: Overrides = {}): Promise<Site> {
  const made = await createSite(overrides);
  onTestFinished(made.remove);
  return made;
}

async function serve(
  { configFile, hsm }: Site,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [...STRONGROOM, "serve", "--config", configFile, ...args], {
    env: { ...process.env, ...hsm.env, NO_COLOR: "1" },
  });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (chunk: Buffer) => {
      said[name] += chunk.toString();
    });
  const [code] = await once(child, "close");
  return { code, ...said };
}

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const logged = (service: SpawnedService, text: string): Promise<void> =>
  until(() => service.logs.some((line) => line.includes(text)));
const workers = ({ logs }: SpawnedService): number[] =>
  logs.filter((line) => line.includes("worker-ready")).map((line) => Number(JSON.parse(line).pid));

describe("ending", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "%s drains and exits 0, with its workers; a restart finds everything",
    async (signal) => {
      const service = await start();
      const backupKey = await register(service, "alice", CODE);
      expect(await service.stop(signal)).toBe(0);
      const said = service.logs.map((line) => JSON.parse(line).msg);
      expect(said.slice(said.indexOf("signal"))).toEqual([
        "signal",
        "draining",
        "drained",
        "token worker-exit",
      ]);
      expect(workers(service).filter(alive)).toEqual([]);
      await service.restart();
      expect(await recover(service, "alice", CODE)).toEqual(backupKey);
    },
  );

  test("a second signal exits at once", async () => {
    const service = await start({ drain: { noticeMs: 120_000 } });
    const exited = once(service.child, "exit");
    service.child.kill("SIGTERM");
    await logged(service, "draining");
    service.child.kill("SIGTERM");
    expect((await exited)[0]).toBe(130);
  });

  test("kill -9 loses nothing, leaves no worker behind and no lock in the way", async () => {
    const service = await start({ token: { workers: 2 } });
    const backupKey = await register(service, "alice", CODE);
    await service.kill9();
    await until(() => workers(service).filter(alive).length === 0);
    await service.restart();
    expect(await recover(service, "alice", CODE)).toEqual(backupKey);
  });

  test("an error that nobody handled is logged without its text, drains, and exits 1", async () => {
    const accident = `process.on("SIGUSR2", () => { Promise.reject(new Error("a secret text")); });`;
    const service = await start(
      {},
      { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(accident)}` },
    );
    const exited = once(service.child, "exit");
    service.child.kill("SIGUSR2");
    expect((await exited)[0]).toBe(1);
    await logged(service, "drained");
    expect(service.logs.find((line) => line.includes('"level":"error"'))).toContain(
      '"msg":"unhandledRejection"',
    );
    expect(service.logs.join("")).not.toContain("a secret text");
  });
});

describe("what cannot work is refused at the start, with what to do", () => {
  test("a configuration with a mistake: exit 2, the line and the fix", async () => {
    const wrong = await site();
    const text = readFileSync(wrong.configFile, "utf8").replace("fleet:", "fleeet:");
    writeFileSync(wrong.configFile, text);
    const { code, stdout, stderr } = await serve(wrong);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(`${wrong.configFile}:1:1: unknown key "fleeet" — did you mean "fleet"?`);
  });

  test("a configuration that contradicts the manifest: exit 2, with the line", async () => {
    const wrong = await site({ policy: { maxAttempts: 7 } });
    const { code, stderr } = await serve(wrong);
    expect(code).toBe(2);
    const line =
      readFileSync(wrong.configFile, "utf8")
        .split("\n")
        .findIndex((text) => text.includes("maxAttempts")) + 1;
    expect(stderr).toContain(`${wrong.configFile}:${line}:`);
    expect(stderr).toContain("hint: write maxAttempts: 10");
  });

  test("another token's manifest: exit 1", async () => {
    const [here, other] = [await site(), await site()];
    cpSync(join(other.dir, "manifest.json"), join(here.dir, "manifest.json"));
    const { code, stderr } = await serve(here);
    expect(code).toBe(1);
    expect(stderr).toMatch(/the token's identity, session, ake key is not the manifest's\n.*hint: /s);
  });

  test("a port in use", async () => {
    const service = await start();
    const second = await site({ listen: { port: Number(new URL(service.url).port) } });
    const { code, stderr } = await serve(second);
    expect(code).toBe(2);
    expect(stderr).toContain("cannot listen on 127.0.0.1");
  });
});

describe("--check", () => {
  test("everything in order: exit 0, nothing keeps running, and nothing has been made", async () => {
    const made = await site();
    const before = readdirSync(made.dir);
    const { code, stderr } = await serve(made, "--check");
    // A disk that was not mounted looks like a site's first start, and must not pass unnoticed.
    expect(stderr).toMatch(/manifest +ok.*listen +ok.*token +ok.*store +ok +can be made; is new/s);
    expect(code).toBe(0);
    expect(readdirSync(made.dir)).toEqual(before);
  });

  test("a site that is running is in order; that another program has its port is not", async () => {
    const service = await start();
    const { code, stderr } = await serve(service, "--check");
    expect(stderr).toMatch(
      /listen +ok +the site's service is running.*store +ok +in use by the site's service/s,
    );
    expect(code).toBe(0);
    await service.stop();
    const stopped = await serve(service, "--check");
    expect(stopped.stderr).toMatch(/listen +ok.*store +ok +takes writes$/ms);
    const other = createServer((_request, response) => response.end("{}"));
    onTestFinished(() => void other.close());
    other.listen(Number(new URL(service.url).port), "127.0.0.1");
    await once(other, "listening");
    const refused = await serve(service, "--check");
    expect(refused.stderr).toMatch(/listen +failed.*EADDRINUSE.*store +ok/s);
    expect(refused.code).toBe(2);
  });

  test("a directory that cannot be made: exit 1", async () => {
    const made = await site({ store: { lmdb: { path: "./manifest.json/records" } } });
    const { code, stderr } = await serve(made, "--check");
    expect(stderr).toMatch(/store +failed +.*manifest.json is no directory/);
    expect(code).toBe(1);
  });

  test("no token: exit 1, and the rest is checked all the same", async () => {
    const made = await site();
    made.hsm.takeAway();
    const { code, stderr } = await serve(made, "--check");
    made.hsm.putBack();
    expect(code).toBe(1);
    expect(stderr).toMatch(/token +failed.*store +ok/s);
  });

  test("no key file of an issuer: exit 2", async () => {
    const made = await site();
    writeFileSync(join(made.dir, "jwks.json"), "[]");
    const { code, stderr } = await serve(made, "--check");
    expect(code).toBe(2);
    expect(stderr).toContain("jwks.json: no keys");
  });
});

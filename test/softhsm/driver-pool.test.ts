/** The pool of token workers on a real token: results, errors, bounds, and what it must not give away. */
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { TokenConfig } from "../../src/token/pool.ts";
import { codeOfAsync } from "../support/codes.ts";
import { until } from "../support/http.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { DRIVER_KEYS, type KnownKeys, randomPoint, softwareX } from "../support/token-keys.ts";
import { makeKeysOn, type WatchedPool, watchedPool } from "../support/watched-pool.ts";

let hsm: SoftHsm;
let known: KnownKeys;
let watched: WatchedPool | undefined;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  known = await makeKeysOn(hsm);
});
afterAll(() => hsm.remove());
afterEach(async () => {
  await watched?.token.close();
  watched = undefined;
});

async function start(options: Partial<TokenConfig> = {}): Promise<WatchedPool> {
  watched = watchedPool(hsm, options);
  await watched.token.whenReady(20_000);
  return watched;
}
const mac = (data: Uint8Array): Uint8Array =>
  Uint8Array.from(createHmac("sha256", known.secret).update(data).digest());

test("a run gives the results of its steps in their order", async () => {
  const { token } = await start();
  const points = [randomPoint(), randomPoint()];
  const data = new Uint8Array(50_000).fill(7);
  const [xs, tag, share, random] = await token.run([
    { op: "ecdh", key: "ake", points },
    { op: "hmac", key: "record", data },
    { op: "create-share", kek: "share-kek.0", points },
    { op: "random", length: 16 },
  ]);
  expect(xs).toEqual(points.map((point) => softwareX(known.scalar, point)));
  expect(tag).toEqual(mac(data));
  expect(random).toHaveLength(16);
  const [again, signature] = await token.run([
    { op: "evaluate-share", kek: "share-kek.0", share, points },
    { op: "sign", key: "identity", digest: tag },
  ]);
  expect(again).toEqual(share.xs);
  expect(signature).toHaveLength(64);
  expect(await token.run([])).toEqual([]);
  expect(token.health()).toEqual({ ready: true, workers: 1, workersReady: 1, queued: 0 });
});

test("errors come back with their code; corrupt shares do not make a worker restart", async () => {
  const { token, events } = await start();
  const [share] = await token.run([{ op: "create-share", kek: "share-kek.0", points: [] }]);
  const wrapped = Uint8Array.from(share.wrapped);
  wrapped[20] = (wrapped[20] ?? 0) ^ 1;
  const evaluate = (changes: object, points = [randomPoint()]): Promise<string> =>
    codeOfAsync(
      token.run([{ op: "evaluate-share", kek: "share-kek.0", share: { ...share, ...changes }, points }]),
    );
  for (let i = 0; i < 10; i++) expect(await evaluate({ wrapped })).toBe("token-failed");
  expect(await evaluate({ mechanism: 0x1081 })).toBe("token-refused");
  expect(await evaluate({}, [new Uint8Array(65)])).toBe("point-invalid");
  expect(await codeOfAsync(token.run([{ op: "hmac", key: "nobody", data: wrapped }]))).toBe("key-missing");
  expect(await codeOfAsync(token.run([{ op: "hmac", key: "record", data: new Uint8Array(2_000_000) }]))).toBe(
    "internal",
  );
  expect(
    await codeOfAsync(token.run(Array.from({ length: 256 }, () => ({ op: "random", length: 1 }) as const))),
  ).toBe("internal");
  expect(await evaluate({})).toBe("no error");
  expect(events).toEqual(["worker-ready"]);
});

test("10,000 mixed operations on two workers: right answers, every session object destroyed", async () => {
  const { token, counts } = await start({ workers: 2, probeMs: 200 });
  const point = randomPoint();
  const x = softwareX(known.scalar, point);
  const [share] = await token.run([{ op: "create-share", kek: "share-kek.0", points: [point] }]);
  let failures = 0;
  const once = async (i: number): Promise<void> => {
    const data = Uint8Array.of(i, i >> 8);
    switch (i % 5) {
      case 0:
        expect(await token.run([{ op: "ecdh", key: "ake", points: [point] }])).toEqual([[x]]);
        break;
      case 1:
        expect(
          await token.run([
            { op: "hmac", key: "record", data },
            { op: "hmac", key: "record", data: point },
          ]),
        ).toEqual([mac(data), mac(point)]);
        break;
      case 2:
        expect(
          await token.run([{ op: "evaluate-share", kek: "share-kek.0", share, points: [point] }]),
        ).toEqual([share.xs]);
        break;
      case 3:
        await token.run([{ op: "create-share", kek: "share-kek.0", points: [point] }]);
        break;
      default: {
        const points = [point, data];
        const run = token.run([{ op: "evaluate-share", kek: "share-kek.0", share, points }]);
        if ((await codeOfAsync(run)) === "point-invalid") failures++;
      }
    }
  };
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < 10_000) await once(next++);
  };
  await Promise.all(Array.from({ length: 64 }, caller));
  expect(failures).toBe(2000);
  await token.close();
  const ok = (fn: string): number => counts.get(`${fn} CKR_OK`) ?? 0;
  expect(ok("C_DeriveKey")).toBeGreaterThan(8000);
  expect(ok("C_DestroyObject")).toBe(
    ok("C_DeriveKey") + ok("C_UnwrapKey") + ok("C_GenerateKey") + 2 * ok("C_GenerateKeyPair"),
  );
});

test("more runs than the queue takes are refused as token-busy", async () => {
  const { token } = await start({ queueLimit: 10 });
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, () =>
      codeOfAsync(token.run([{ op: "ecdh", key: "ake", points: [randomPoint()] }])),
    ),
  );
  const busy = outcomes.filter((code) => code === "token-busy").length;
  expect(busy).toBeGreaterThan(0);
  expect(outcomes.filter((code) => code === "no error")).toHaveLength(100 - busy);
  expect(await codeOfAsync(token.run([{ op: "random", length: 1 }]))).toBe("no error");
});

test("close finishes what it was given and takes nothing more", async () => {
  const { token, pids, events } = await start();
  const runs = Array.from({ length: 60 }, () =>
    codeOfAsync(token.run([{ op: "ecdh", key: "ake", points: [randomPoint()] }])),
  );
  const closed = token.close();
  expect(await codeOfAsync(token.run([{ op: "random", length: 1 }]))).toBe("token-absent");
  expect(new Set(await Promise.all(runs))).toEqual(new Set(["no error"]));
  await closed;
  expect(token.health().ready).toBe(false);
  expect(events).toEqual(["worker-ready", "worker-exit"]);
  await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
});

test("a worker that has grown is replaced without a failed run", async () => {
  const { token, pids } = await start({ workerGrowthBytes: -1, probeMs: 100 });
  let stop = false;
  const callers = Array.from({ length: 16 }, async () => {
    const codes = new Set<string>();
    while (!stop)
      codes.add(await codeOfAsync(token.run([{ op: "hmac", key: "record", data: new Uint8Array(8) }])));
    return codes;
  });
  await until(() => pids.length >= 3);
  expect(token.health().ready).toBe(true);
  stop = true;
  for (const codes of await Promise.all(callers)) expect(codes).toEqual(new Set(["no error"]));
});

test("a worker's command line and environment name neither PIN nor token", async () => {
  const { pids } = await start();
  const [pid] = pids;
  const seen =
    readFileSync(`/proc/${pid}/cmdline`, "latin1") + readFileSync(`/proc/${pid}/environ`, "latin1");
  expect(seen).toContain("worker");
  for (const secret of [readFileSync(hsm.pinFile, "utf8").trim(), hsm.pinFile, hsm.label, "pkcs11:"])
    expect(seen).not.toContain(secret);
});

test("a worker ends with the process that started it", async () => {
  const source = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const config = { uri: hsm.uri, profile: "softhsm2", keys: DRIVER_KEYS, workers: 1 };
  const parent = spawn(
    process.execPath,
    [
      "--import",
      pathToFileURL(new URL("../../node_modules/tsx/dist/loader.mjs", import.meta.url).pathname).href,
      "--input-type=module",
      "-e",
      `const { startTokenPool } = await import(${source("../../src/token/pool.ts")});
       startTokenPool(${JSON.stringify(config)}, {
         event: (name, { pid }) => { if (name === "worker-ready") process.stdout.write(String(pid)); },
       });`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const pid = await new Promise<string>((resolve) =>
    parent.stdout.once("data", (data: Buffer) => resolve(data.toString())),
  );
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  parent.kill("SIGKILL");
  await until(() => !existsSync(`/proc/${pid}`));
});

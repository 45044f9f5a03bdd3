/**
 * What crosses the PKCS#11 interface, seen from outside by opensc's pkcs11-spy: provisioning, a full run of a service,
 * and ten thousand operations, after which no session object may be left.
 */
import { createECDH } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLoadClient } from "../../scripts/benchmark/load-client.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { openSession } from "../../src/token/open.ts";
import { startTokenPool } from "../../src/token/pool.ts";
import { Runner } from "../../src/token/runner.ts";
import type { CreatedShare, TokenStep } from "../../src/token/token.ts";
import { recover, register } from "../support/flow.ts";
import { exchange } from "../support/sealed.ts";
import { FLEET, startTestService, TENANT, type TestService } from "../support/service.ts";
import { parseSpyLog, readSpyLog, spyEnv, spyModule } from "../support/spy.ts";
import { inspectSpyLog, type SpyReport, type SpyRule } from "../support/spy-rules.ts";

const CODE = "orchard tandem velvet quarry";
const keys = vaultKeys(FLEET, [0]);
const logs = mkdtempSync(join(tmpdir(), "strongroom-spy-"));
const logOf = (name: string): string => join(logs, `${name}.log`);
const inspect = (name: string): Promise<SpyReport> => inspectSpyLog(readSpyLog(logOf(name)));
/** From here on, modules that are started in this process or a child of it write there. */
const spyInto = (name: string): void => {
  Object.assign(process.env, spyEnv(logOf(name)));
};

let service: TestService;
beforeAll(async () => {
  spyInto("provision");
  // Provisioning opens the module in this process, once; the service's workers are processes of their own.
  service = await startTestService({}, { module: spyModule(), provisioned: () => spyInto("service") });
});
afterAll(async () => {
  await service.close();
  rmSync(logs, { recursive: true });
});

const status = async (subject: string) => {
  const request = { op: "status", accountToken: await service.issueToken(subject) } as const;
  return (await exchange(service, request)).answer;
};

/** Every operation, with every outcome that the token has a part in. */
async function fullRun(): Promise<void> {
  await register(service, "alice", CODE);
  expect(await recover(service, "alice", "wrong")).toBeUndefined();
  expect(await recover(service, "alice", CODE)).toBeDefined();
  const again = await register(service, "alice", "another code");
  expect(await recover(service, "alice", "another code")).toEqual(again);
  expect(await status("alice")).toMatchObject({ state: "active", generation: 2 });
  const accountToken = await service.issueToken("alice");
  expect((await exchange(service, { op: "delete", accountToken, generation: 2 })).answer).toMatchObject({
    generation: 3,
  });
  expect(await status("alice")).toMatchObject({ error: "not-registered" });

  await register(service, "bob", CODE);
  for (let i = 0; i < 10; i++) expect(await recover(service, "bob", `wrong ${i}`)).toBeUndefined();
  await expect(recover(service, "bob", CODE)).rejects.toThrow("destroyed");
}

/** @returns how many requests were answered */
async function manyFlows(accounts: number, recoveries: number): Promise<number> {
  const client = createLoadClient(service.url, service.manifest);
  const load = await Promise.all(
    Array.from({ length: accounts }, async (_, i) => {
      const subject = `load-${i}`;
      return { account: { tenant: TENANT, subject }, token: await service.issueToken(subject), next: 0 };
    }),
  );
  await Promise.all(load.map((account) => client.register(account)));
  for (let i = 0; i < recoveries; i++) await Promise.all(load.map((account) => client.recover(account)));
  client.close();
  return 2 * accounts * (1 + recoveries);
}

function randomPoint(): Uint8Array {
  const pair = createECDH("prime256v1");
  return Uint8Array.from(pair.generateKeys());
}

/** Steps of all kinds in turn, the failing ones included. */
function stepsOf(i: number, share: CreatedShare): readonly TokenStep[] {
  const points = [randomPoint(), randomPoint()];
  const spoilt = { ...share, wrapped: share.wrapped.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) };
  const kinds: readonly (readonly TokenStep[])[] = [
    [{ op: "ecdh", key: "ake", points }],
    [{ op: "create-share", kek: "share-kek.0", points }],
    [{ op: "evaluate-share", kek: "share-kek.0", share, points }],
    [
      { op: "hmac", key: "record", data: randomPoint() },
      { op: "sign", key: "identity", digest: randomPoint().slice(0, 32) },
    ],
    [{ op: "evaluate-share", kek: "share-kek.0", share: i % 25 === 4 ? spoilt : share, points }],
  ];
  return kinds[i % kinds.length] ?? [];
}

const expectClean = (report: SpyReport): void => {
  expect(report.findings).toEqual([]);
  expect(report.made).toBe(report.destroyed);
};

test("the spy is where the calls go, and it would show a secret: the PIN of C_Login is in its log", async () => {
  const pin = readFileSync(service.hsm.pinFile, "utf8").trim();
  expect(readFileSync(logOf("provision"), "latin1")).toContain(pin);
  expect(readFileSync(logOf("service"), "latin1")).toContain(pin);
});

test("provisioning: keys are born sealed, nothing is imported and nothing is read", async () => {
  const report = await inspect("provision");
  expectClean(report);
  expect(report.calls.get("C_GenerateKeyPair")).toBe(3);
  expect(report.calls.get("C_GenerateKey")).toBe(3);
});

test("a full run and a thousand operations over HTTP: nothing crosses but derived x-coordinates, nothing stays", async () => {
  await fullRun();
  expect(await manyFlows(50, 10)).toBeGreaterThanOrEqual(1_000);
  expect(service.logs.join("")).not.toContain(readFileSync(service.hsm.pinFile, "utf8").trim());
  expect(service.logs.filter((line) => line.includes("worker-ready"))).toHaveLength(1);
  await service.restart();
  await service.service.close();

  const report = await inspect("service");
  expectClean(report);
  const calls = (name: string): number => report.calls.get(`C_${name}`) ?? 0;
  // Two workers, one after the other; each tests the key wrap and proves its keys on a share of nobody.
  const [workers, registrations, attempts] = [2, 50 + 3, 500 + 13];
  expect(calls("Login")).toBe(workers);
  expect(calls("GenerateKeyPair")).toBe(registrations + workers);
  expect(calls("WrapKey")).toBe(registrations + 2 * workers);
  expect(calls("UnwrapKey")).toBe(attempts + workers);
  expect(report.valuesRead).toBe(calls("DeriveKey"));
  expect(report.valuesRead).toBeGreaterThan(3_000);
  expect(calls("CreateObject") + calls("CopyObject") + calls("SetAttributeValue")).toBe(0);
});

test("ten thousand operations of the pool, failed ones among them, leave nothing behind", async () => {
  spyInto("pool");
  const { hsm } = service;
  const uri = hsm.uri.replace(hsm.module, spyModule());
  // One worker for all of it: a successor would write into the same log at the same time.
  const config = { uri, profile: "softhsm2", keys, workers: 1, workerGrowthBytes: 2 ** 40 };
  const ended: unknown[] = [];
  const pool = startTokenPool(
    { ...config, queueLimit: 10_000, deadlineMs: 60_000 },
    { event: (name) => name === "worker-exit" && ended.push(name) },
  );
  let failures = 0;
  try {
    await pool.whenReady(30_000);
    const [share] = await pool.run([{ op: "create-share", kek: "share-kek.0", points: [randomPoint()] }]);
    for (let done = 0; done < 10_000; done += 500) {
      const runs = Array.from({ length: 500 }, (_, i) => pool.run(stepsOf(done + i, share)));
      failures += (await Promise.allSettled(runs)).filter((run) => run.status === "rejected").length;
    }
    expect(ended).toEqual([]);
  } finally {
    await pool.close();
  }
  expect(failures).toBe(400);
  const report = await inspect("pool");
  expectClean(report);
  // Two derived secrets for most, and two keys or one besides.
  expect(report.made).toBeGreaterThan(20_000);
});

test("the token itself, asked in the session that did the work, knows of no session object", async () => {
  const { session } = await openSession({ uri: service.hsm.uri, profile: "softhsm2", keys });
  try {
    const runner = new Runner(session);
    const [share] = runner.run([{ op: "create-share", kek: "share-kek.0", points: [randomPoint()] }]);
    for (let i = 0; i < 2_000; i++) {
      try {
        runner.run(stepsOf(i, share as CreatedShare));
      } catch {
        // The spoilt shares among them.
      }
    }
    expect(session.find({ TOKEN: false })).toEqual([]);
    // It would know: a key that nobody destroys is found.
    session.generateKey({ mechanism: session.traits.mechanisms.aesKeygen }, { TOKEN: false, VALUE_LEN: 32 });
    expect(session.find({ TOKEN: false })).toHaveLength(1);
  } finally {
    session.close();
  }
});

describe("the rules can fail", () => {
  const call = (fn: string, ...lines: string[]): string[] => [
    `1: ${fn}`,
    ...lines,
    "Returned:  0 CKR_OK",
    "",
  ];
  const IN = "[in] hSession = 0x1";
  const label = (name: string): string[] => {
    const hex = Buffer.from(name).toString("hex").toUpperCase();
    return [
      `    CKA_LABEL             0000000000000000 / ${name.length}`,
      `    ${hex.replace(/(.{8})(?=.)/g, "$1 ")}`,
    ];
  };
  const find = (handle: string, name: string): string[] => [
    ...call("C_FindObjectsInit", IN, "[in] pTemplate[1]: ", ...label(name)),
    ...call("C_FindObjects", IN, "[out] ulObjectCount = 0x1", `Object ${handle} matches`),
  ];
  const template = (token: boolean, sensitive: boolean, extractable: boolean): string[] => [
    `    CKA_TOKEN             ${token ? "True" : "False"}`,
    `    CKA_SENSITIVE         ${sensitive ? "True" : "False"}`,
    `    CKA_EXTRACTABLE       ${extractable ? "True" : "False"}`,
  ];
  const makePair = (handle: string, sensitive = true): string[] =>
    call(
      "C_GenerateKeyPair",
      IN,
      "[in] pPublicKeyTemplate[1]: ",
      "    CKA_TOKEN             True",
      "[in] pPrivateKeyTemplate[3]: ",
      ...template(false, sensitive, true),
      "[out] hPublicKey = 0x99",
      `[out] hPrivateKey = ${handle}`,
    );
  const derive = (base: string, handle: string, mechanism = "CKM_ECDH1_DERIVE"): string[] =>
    call(
      "C_DeriveKey",
      IN,
      `[in] pMechanism->type = ${mechanism}             `,
      `[in] hBaseKey = ${base}`,
      "[in] pTemplate[1]: ",
      "    CKA_TOKEN             False",
      `[out] hKey = ${handle}`,
    );
  const destroy = (handle: string): string[] => call("C_DestroyObject", IN, `[in] hObject = ${handle}`);
  const readAttribute = (handle: string, name: string, session = "0x1"): string[] =>
    call(
      "C_GetAttributeValue",
      `[in] hSession = ${session}`,
      `[in] hObject = ${handle}`,
      "[in] pTemplate[1]: ",
      `    ${name}             0000000000000001 / 2`,
      "[out] pTemplate[1]: ",
      `    ${name}             0000000000000001 / 2`,
      "    00000000  A1 B7                                            ..",
    );
  const wrap = (under: string, key: string): string[] =>
    call("C_WrapKey", IN, `[in] hWrappingKey = ${under}`, `[in] hKey = ${key}`);
  const unwrap = (sensitive: boolean, extractable: boolean): string[] => [
    ...call(
      "C_UnwrapKey",
      IN,
      "[in] pTemplate[3]: ",
      ...template(false, sensitive, extractable),
      "[out] hKey = 0x5",
    ),
    ...destroy("0x5"),
  ];
  const generate = (...args: [token: boolean, sensitive: boolean, extractable: boolean]): string[] =>
    call("C_GenerateKey", IN, "[in] pTemplate[3]: ", ...template(...args), "[out] hKey = 0x6");
  const AKE = find("0x2", "strongroom/f/ake");
  const KEK = find("0x3", "strongroom/f/share-kek.0");

  const logsWith: [string, SpyRule | "allowed", string[]][] = [
    [
      "a derived value, read and destroyed",
      "allowed",
      [...AKE, ...derive("0x2", "0x4"), ...readAttribute("0x4", "CKA_VALUE"), ...destroy("0x4")],
    ],
    [
      "a share that leaves under the key-encryption key",
      "allowed",
      [...KEK, ...makePair("0x4"), ...wrap("0x3", "0x4"), ...destroy("0x4")],
    ],
    ["a sealed share", "allowed", unwrap(true, false)],
    ["a value of a found key", "value", [...AKE, ...readAttribute("0x2", "CKA_VALUE")]],
    [
      "a value of a share",
      "value",
      [...makePair("0x4"), ...readAttribute("0x4", "CKA_VALUE"), ...destroy("0x4")],
    ],
    ["a value of nobody knows what", "value", readAttribute("0x77", "CKA_VALUE")],
    [
      "a value of a handle that was given out again",
      "value",
      [...AKE, ...derive("0x2", "0x4"), ...destroy("0x4"), ...readAttribute("0x4", "CKA_VALUE")],
    ],
    [
      "a derived value read in another session",
      "value",
      [...AKE, ...derive("0x2", "0x4"), ...readAttribute("0x4", "CKA_VALUE", "0x2"), ...destroy("0x4")],
    ],
    ["a prime", "value", readAttribute("0x2", "CKA_PRIME_1")],
    [
      "a value that was not derived by ECDH",
      "value",
      [
        ...AKE,
        ...derive("0x2", "0x4", "CKM_SHA256_KEY_DERIVATION"),
        ...readAttribute("0x4", "CKA_VALUE"),
        ...destroy("0x4"),
      ],
    ],
    [
      "another derivation",
      "derive",
      [...AKE, ...derive("0x2", "0x4", "CKM_SHA256_KEY_DERIVATION"), ...destroy("0x4")],
    ],
    [
      "a derivation from the record key",
      "derive",
      [...find("0x2", "strongroom/f/record"), ...derive("0x2", "0x4"), ...destroy("0x4")],
    ],
    ["an import", "function", call("C_CreateObject", IN, "[out] phObject = 0x9")],
    ["a decryption", "function", call("C_Decrypt", IN)],
    [
      "a share under another key",
      "wrap",
      [...AKE, ...makePair("0x4"), ...wrap("0x2", "0x4"), ...destroy("0x4")],
    ],
    ["a fleet key under the key-encryption key", "wrap", [...AKE, ...KEK, ...wrap("0x3", "0x2")]],
    ["a readable unwrapped key", "unwrap", unwrap(false, false)],
    ["an extractable unwrapped key", "unwrap", unwrap(true, true)],
    ["an extractable token key", "generate", generate(true, true, true)],
    ["a readable token key", "generate", generate(true, false, false)],
    ["a readable share", "generate", [...makePair("0x4", false), ...destroy("0x4")]],
    ["an object at the end", "left-behind", generate(false, true, false)],
    [
      "an object that went with its session",
      "left-behind",
      [...generate(false, true, false), ...call("C_CloseSession", IN)],
    ],
  ];
  test.each(logsWith)("%s (%s)", async (_, rule, lines) => {
    const { findings } = await inspectSpyLog(parseSpyLog(lines));
    if (rule === "allowed") expect(findings).toEqual([]);
    else expect(findings.map((finding) => finding.rule)).toContain(rule);
  });

  test("half a call is no call", async () => {
    await expect(inspectSpyLog(parseSpyLog(["1: C_Sign", "2: C_Sign"]))).rejects.toThrow("no end of call");
  });
});

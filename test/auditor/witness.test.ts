/** C2SP tlog-witness: a witness's service with its key in a real token, asked by a log and by whoever else. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TransparencyLog } from "../../src/auditor/log.ts";
import { openSigner, type SignerToken, witnessKey } from "../../src/auditor/signer.ts";
import { Witness, witnessAnchorLabel } from "../../src/auditor/witness.ts";
import type { WitnessPolicy } from "../../src/auditor/witness-client.ts";
import { loadWitnessConfig, witnessConfigKeys } from "../../src/auditor/witness-config.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { witnessCommand } from "../../src/cli/witness.ts";
import { formatAddCheckpoint } from "../../src/merkle/add-checkpoint.ts";
import { formatCheckpoint, verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { formatNote, parseNote, parseSignatureLines, signNote } from "../../src/merkle/note.ts";
import { parseVkey, type VerifierKey, verifierKey } from "../../src/merkle/vkey.ts";
import { type RunningWitness, startWitness } from "../../src/service/witness-start.ts";
import { STRONGROOM } from "../support/cli.ts";
import { runCommand } from "../support/command.ts";
import { fileSigner, makeLogFolder, ORIGIN, openFileLog } from "../support/log-writer.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const NAME = "witness.example/w1";
const OTHER = "auditor.example/logs/other";
let hsm: SoftHsm;
let data: string;
let dir: string;
let log: TransparencyLog;
let running: RunningWitness;
let key: VerifierKey;
const servers: Server[] = [];
const began = Math.floor(Date.now() / 1000);

const init = (...args: readonly string[]): ReturnType<typeof runCommand> =>
  runCommand(witnessCommand(), ["init", "--data", data, "--name", NAME, ...args]);
async function serve(): Promise<RunningWitness> {
  const config = loadWitnessConfig(data);
  return startWitness({ ...config, drain: { noticeMs: 0, deadlineMs: 1_000 } }, { write: () => {} });
}
const policy = (...urls: readonly string[]): WitnessPolicy => ({
  witnesses: urls.map((url) => ({ vkey: key.vkey, url })),
  quorum: urls.length,
  timeoutMs: 2_000,
});
/** A log of its own under the origin that the witness knows. */
async function openLog(witnesses?: WitnessPolicy): Promise<TransparencyLog> {
  return openFileLog(dir, witnesses === undefined ? {} : { witnesses });
}
const entry = (at: number): Uint8Array => utf8(`entry ${at}`);
const headOf = (of: TransparencyLog): ReturnType<typeof verifyCheckpoint> =>
  verifyCheckpoint(of.checkpoint() ?? "", { logs: [of.key], witnesses: [key] });

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  data = join(hsm.dir, "witness");
  dir = join(hsm.dir, "log");
  makeLogFolder(dir);
  const logKey = verifierKey("note", ORIGIN, fileSigner(dir).publicKey);
  const dry = await init("--uri", hsm.uri, "--log", logKey.vkey, "--dry-run");
  expect([dry.code, dry.stdout]).toEqual([0, ""]);
  const made = await init("--uri", hsm.uri, "--log", logKey.vkey, "--listen", "127.0.0.1:0");
  expect(made.error).toBeUndefined();
  key = parseVkey((JSON.parse(made.stdout) as { vkey: string }).vkey);
  expect([key.kind, key.name]).toEqual(["cosignature", NAME]);
  running = await serve();
  log = await openLog(policy(running.url));
  for (let at = 0; at < 3; at++) await log.append(entry(at), at);
  await log.appendAll(
    Array.from({ length: 5 }, (_, at) => entry(3 + at)),
    3,
  );
});
afterAll(async () => {
  await log.close();
  await running.close();
  hsm.remove();
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A request as a log would make it, but for what is changed. */
async function ask(changes: Partial<Parameters<typeof formatAddCheckpoint>[0]> = {}): Promise<{
  readonly status: number;
  readonly type: string | null;
  readonly body: string;
}> {
  const size = log.size();
  const body = formatAddCheckpoint({
    oldSize: size,
    proof: [],
    checkpoint: log.checkpoint() ?? "",
    ...changes,
  });
  const response = await fetch(`${running.url}/add-checkpoint`, { method: "POST", body });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
}
/** A checkpoint that the log's key signs, true or not. */
async function signed(size: number, root: Uint8Array, origin = ORIGIN): Promise<string> {
  const text = formatCheckpoint({ origin, size, root });
  const by = verifierKey("note", origin, log.key.publicKey);
  return formatNote({ text, signatures: [await signNote(text, by, fileSigner(dir).sign)] });
}

test("a checkpoint is cosigned before it is shown, with the time", () => {
  const [cosignature] = headOf(log).witnesses;
  expect(cosignature?.key.vkey).toBe(key.vkey);
  expect(cosignature?.time).toBeGreaterThanOrEqual(began);
  expect(running.signing.witness.sizes()).toEqual(new Map([[ORIGIN, 8]]));
  // As a mirror of it has it: OpenSSL verifies what the token signed.
  const { text, signatures } = parseNote(log.checkpoint() ?? "");
  const bytes = signatures.find(({ name }) => name === NAME)?.signature ?? new Uint8Array(0);
  const time = Buffer.from(bytes).readBigUInt64BE();
  const at = (name: string): string => join(hsm.dir, name);
  writeFileSync(
    at("key.der"),
    Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key.publicKey]),
  );
  writeFileSync(at("message"), `cosignature/v1\ntime ${time}\n${text}`);
  writeFileSync(at("signature"), bytes.slice(8));
  const args = ["-verify", "-pubin", "-keyform", "DER", "-rawin"];
  const files = ["-inkey", at("key.der"), "-in", at("message"), "-sigfile", at("signature")];
  expect(execFileSync("openssl", ["pkeyutl", ...args, ...files], { encoding: "utf8" })).toContain(
    "Successfully",
  );
});

describe("add-checkpoint", () => {
  test("200: the same checkpoint again gets a cosignature again", async () => {
    const { status, body } = await ask();
    expect(status).toBe(200);
    expect(parseSignatureLines(body).map(({ name, keyId }) => [name, keyId])).toEqual([[NAME, key.id]]);
  });
  test("409 with the known size for another old size, so that anybody can ask for it", async () => {
    for (const oldSize of [0, 7])
      expect(await ask({ oldSize })).toEqual({ status: 409, type: "text/x.tlog.size", body: "8\n" });
  });
  test("409 for another root of the known size", async () => {
    expect(await ask({ checkpoint: await signed(8, new Uint8Array(32)) })).toMatchObject({
      status: 409,
      body: "8\n",
    });
  });
  test("404 for a log that it does not know, whoever signs for it", async () => {
    expect(await ask({ checkpoint: await signed(8, new Uint8Array(32), OTHER) })).toMatchObject({
      status: 404,
    });
  });
  test("403 where no known key signed, or a known one does not verify", async () => {
    const { text, signatures } = parseNote(log.checkpoint() ?? "");
    const [own] = signatures;
    if (!own) throw new Error("no signature");
    const stranger = { ...own, keyId: "00000000" };
    const bad = { ...own, signature: own.signature.map((byte) => byte ^ 1) };
    for (const signature of [stranger, bad])
      expect(await ask({ checkpoint: formatNote({ text, signatures: [signature] }) })).toMatchObject({
        status: 403,
      });
  });
  test("422 for a proof that does not lead there: a fork, a node less, a node more", async () => {
    const checkpoint = await signed(9, new Uint8Array(32).fill(1));
    const node = new Uint8Array(32);
    for (const proof of [[], [node], [node, node]])
      expect(await ask({ checkpoint, proof })).toMatchObject({ status: 422 });
    expect(await ask({ proof: [node] })).toMatchObject({ status: 422 });
    expect(running.signing.witness.sizes().get(ORIGIN)).toBe(8);
  });
  test("400 for an old size above the checkpoint's, and for what is no request", async () => {
    expect(await ask({ oldSize: 9 })).toMatchObject({ status: 400 });
    for (const body of ["", "old 8\n", "old 08\n\n", `old 8\n\n${log.checkpoint()}x`]) {
      const response = await fetch(`${running.url}/add-checkpoint`, { method: "POST", body });
      expect([body, response.status]).toEqual([body, 400]);
    }
  });
  test("other methods and pages, and a body that never ends", async () => {
    expect((await fetch(`${running.url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${running.url}/other`)).status).toBe(404);
    const body = "x".repeat(1 << 20);
    expect((await fetch(`${running.url}/add-checkpoint`, { method: "POST", body })).status).toBe(413);
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${running.url}/metrics`)).text()).toContain('operation="witness"');
  });
});

describe("what the witness remembers", () => {
  /** One token for several starts. */
  let token: SignerToken;
  const spec = witnessKey(NAME);
  beforeAll(async () => {
    await running.close();
    token = await openSigner({
      uri: hsm.uri,
      profile: "softhsm2",
      keys: [{ ...spec, publicKey: key.publicKey }],
    });
  });
  afterAll(async () => {
    await token.close();
    running = await serve();
    await log.close();
    log = await openLog(policy(running.url));
  });
  const open = (stateDir: string): Promise<Witness> =>
    Witness.open({
      stateDir,
      name: NAME,
      signer: token.signer(spec.name),
      logs: [log.key],
      anchorOf: (origin) => token.anchor(witnessAnchorLabel(NAME, origin)),
      now: Date.now,
    });
  const state = (): string => join(data, "state");

  test("survives a restart, and a disk that was set back or lost", async () => {
    const before = log.checkpoint() ?? "";
    cpSync(state(), join(hsm.dir, "old-state"), { recursive: true });
    const witness = await open(state());
    expect(witness.sizes()).toEqual(new Map([[ORIGIN, 8]]));
    await log.close();
    log = await openLog();
    await log.append(entry(8), 8);
    const request = { oldSize: 8, proof: await log.consistency(8, 9), checkpoint: log.checkpoint() ?? "" };
    expect(await witness.addCheckpoint(formatAddCheckpoint(request))).toMatchObject({ status: 200 });
    await witness.close();
    // The history that a restored disk knows of is not believed again.
    const fork = formatAddCheckpoint({ ...request, checkpoint: await signed(9, new Uint8Array(32)) });
    const older = formatAddCheckpoint({ oldSize: 8, proof: [], checkpoint: before });
    for (const dirOf of [join(hsm.dir, "old-state"), join(hsm.dir, "no-state")]) {
      const restored = await open(dirOf);
      expect(restored.sizes()).toEqual(new Map([[ORIGIN, 9]]));
      for (const body of [fork, older])
        expect(await restored.addCheckpoint(body)).toEqual({ status: 409, size: 9 });
      await restored.close();
    }
  });
  test("is refused where the disk knows more than the token, or another process has it", async () => {
    const [name] = readdirSync(join(state(), "logs"));
    const file = join(state(), "logs", name ?? "");
    const before = readFileSync(file, "utf8");
    for (const size of [9, 10]) {
      writeFileSync(file, await signed(size, new Uint8Array(32)));
      await expect(open(state())).rejects.toMatchObject({
        code: "auditor-refused",
        details: { reason: "token-behind" },
      });
    }
    writeFileSync(file, before);
    const witness = await open(state());
    await expect(open(state())).rejects.toMatchObject({ code: "store-unavailable" });
    await witness.close();
  });
});

/** A witness that answers as it likes. */
async function fake(status: number, body: string, type = "text/plain"): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      if (status > 0) response.writeHead(status, { "content-type": type }).end(body);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Where nobody listens any more. */
async function gone(): Promise<string> {
  const url = await fake(500, "");
  for (const server of servers.splice(0)) server.close();
  return url;
}

describe("a log without its witnesses", () => {
  test.each([
    ["none is there", gone, /ECONNREFUSED/],
    ["one never answers", () => fake(0, ""), /no answer in time/],
    ["one answers nonsense", () => fake(200, "yes\n"), /signature line/],
    [
      "one answers somebody else's signature",
      () => fake(200, `— x.example ${"AAAA".repeat(24)}\n`),
      /by the configured key/,
    ],
    [
      "one sends a wrong signature",
      () =>
        fake(
          200,
          `— ${NAME} ${Buffer.concat([Buffer.from(key.id, "hex"), Buffer.alloc(72)]).toString("base64")}\n`,
        ),
      /does not verify/,
    ],
    ["one has seen more", () => fake(409, "99\n", "text/x.tlog.size"), /has seen 99 entries/],
    ["one has seen another root", () => fake(409, "10\n", "text/x.tlog.size"), /another root of 10/],
    ["one sends a book", () => fake(200, "x".repeat(300_000)), /larger than is accepted/],
  ])("%s: nothing is published, and the next try is", async (_, witness, problem) => {
    const size = log.size();
    const before = log.checkpoint();
    await log.close();
    const alone = await openLog({ ...policy(await witness()), timeoutMs: 400 });
    await expect(alone.append(entry(size), size)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(problem),
    });
    expect(alone.checkpoint()).toBe(before);
    await alone.close();
    // The token knows of it: at the next start it is finished by itself, with the witness that answers.
    log = await openLog(policy(running.url));
    expect(log.size()).toBe(size + 1);
    expect(headOf(log).witnesses).toHaveLength(1);
  });
  test("goes on with a quorum of those who answer", async () => {
    await log.close();
    const both = policy(running.url, await gone());
    log = await openLog({ ...both, quorum: 1 });
    await log.append(utf8("with one of two"), log.size());
    expect(headOf(log).witnesses).toHaveLength(1);
  });
  test("refuses to begin with a vkey that is no witness's", async () => {
    makeLogFolder(join(hsm.dir, "another"));
    const bad = { witnesses: [{ vkey: log.key.vkey, url: running.url }], quorum: 0, timeoutMs: 1 };
    await expect(openFileLog(join(hsm.dir, "another"), { witnesses: bad })).rejects.toMatchObject({
      code: "config-invalid",
    });
  });
});

describe("the command", () => {
  test("adds a log to a witness that is there, once, and keeps its key", async () => {
    const other = verifierKey("note", OTHER, log.key.publicKey).vkey;
    const twice = [await init("--log", other), await init("--log", other)];
    for (const { stdout } of twice)
      expect(JSON.parse(stdout)).toEqual({ vkey: key.vkey, logs: [log.key.vkey, other] });
  });
  test.each([
    ["another name", ["--name", "witness.example/w2"], /keeps its name|is witness/],
    ["a witness's vkey for a log's", ["--name", NAME, "--log", "x+00000000+AAAA"], /vkey/],
  ])("refuses %s", async (_, args, message) => {
    const { code, error } = await runCommand(witnessCommand(), ["init", "--data", data, ...args]);
    expect(code).not.toBe(0);
    expect(String(error)).toMatch(message);
  });
  test("serves until it is told to stop", async () => {
    await running.close();
    const child = spawn(process.execPath, [...STRONGROOM, "witness", "serve", "--data", data], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    let url = "";
    while (url === "") {
      const { value, done } = await lines.next();
      if (done) throw new Error("it ended");
      ({ url = "" } = JSON.parse(value) as { url?: string });
    }
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
    running = await serve();
  });
  test("every key of the configuration is explained", () => {
    const text = readFileSync("hsm-config/auditor/witness.yaml", "utf8");
    for (const name of witnessConfigKeys()) expect(text, name).toContain(`${name.split(".").at(-1)}:`);
  });
});

/** The auditor's commands: what they prepare, sign and mirror, and that doing them again changes nothing. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Auditor, openAuditor } from "../../src/auditor/auditor.ts";
import { loadAuditorConfig } from "../../src/auditor/config.ts";
import { auditorCommand } from "../../src/cli/auditor.ts";
import type { AnnouncedKeys } from "../../src/wire/announcement.ts";
import type { Audit } from "../../src/wire/audit.ts";
import {
  type AuditorWorld,
  announce,
  createAuditorWorld,
  NAMESPACE,
  ORIGIN,
  type PaperFleet,
  paperFleet,
  writeEvidence,
} from "../support/auditor-world.ts";
import { STRONGROOM } from "../support/cli.ts";
import { type Ran, runCommand } from "../support/command.ts";

const WITNESS = "witness.example+67550f4e+BD1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM";
let world: AuditorWorld;
let one: PaperFleet;
let evidence: string;
/** Digest of the newest epoch. */
let newest: string | undefined;
/** As the newest epoch has them. */
let announcedKeys: AnnouncedKeys;

beforeAll(async () => {
  [world, one] = await Promise.all([createAuditorWorld(), paperFleet("one")]);
  evidence = join(world.home, "evidence");
  writeEvidence(evidence, one.files);
});
afterAll(() => world.remove());

const run = (...args: readonly string[]): Promise<Ran> => runCommand(auditorCommand(), args);
const init = (namespace: string, ...more: readonly string[]): Promise<Ran> =>
  run(
    "init",
    "--data",
    world.dir,
    "--namespace",
    namespace,
    "--origin",
    `auditor.example/logs/${namespace}`,
    ...more,
  );

async function withAuditor<T>(work: (auditor: Auditor) => Promise<T>): Promise<T> {
  const auditor = await openAuditor(world.config());
  try {
    return await work(auditor);
  } finally {
    await auditor.close();
  }
}

/** Announces an epoch, signs it by the command, and has it logged. */
async function rollOut(epoch: number, change: Parameters<typeof announce>[4] = {}): Promise<Audit> {
  const { bytes, digest } = announce(world, epoch, newest, [one.announced], change);
  const file = join(world.home, `${epoch}.json`);
  writeFileSync(file, bytes);
  const { stdout, error, stderr } = await run(
    "sign",
    "--data",
    world.dir,
    "--announcement",
    file,
    "--evidence",
    evidence,
  );
  expect(error, stderr).toBeUndefined();
  const audit = JSON.parse(stdout) as Audit;
  newest = digest;
  const auditors = world.config().namespaces.find(({ name }) => name === NAMESPACE)?.keys.audit ?? [];
  const key = auditors.find(({ publicKey }) => Number.parseInt(publicKey.slice(-2), 16) === audit.key_id);
  const request = join(world.home, `countersignature-${epoch}.json`);
  writeFileSync(request, JSON.stringify(world.operator.countersign(audit, key?.publicKey ?? "")));
  const logged = await run(
    ...["log", "--data", world.dir, "--namespace", NAMESPACE, "--countersignature", request],
  );
  expect(logged.error, logged.stderr).toBeUndefined();
  expect(JSON.parse(logged.stdout)).toMatchObject({ audit });
  return audit;
}

describe("init", () => {
  test("again changes nothing, and prints the same to pin", async () => {
    const before = readFileSync(join(world.dir, "auditor.yaml"), "utf8");
    const { stdout, stderr, code } = await init(NAMESPACE);
    expect(code).toBe(0);
    expect(stderr).toContain("nothing was changed");
    expect(JSON.parse(stdout)).toEqual({
      namespace: NAMESPACE,
      origin: ORIGIN,
      keys: { auditors: world.keys.auditors, logs: world.keys.logs },
    });
    expect(readFileSync(join(world.dir, "auditor.yaml"), "utf8")).toBe(before);
  });

  test("keeps the operator's token for the operator's eyes", () => {
    const file = join(world.dir, `${NAMESPACE}.operator-token`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(world.dir, "auditor.yaml"), "utf8")).not.toContain(world.token);
  });

  test("never renames a log", async () => {
    const { code, stderr } = await run(
      "init",
      "--data",
      world.dir,
      "--namespace",
      NAMESPACE,
      "--origin",
      "other",
    );
    expect(code).toBe(2);
    expect(stderr).toBe("");
  });

  test("adds a namespace with keys of its own; a dry run does not", async () => {
    const config = () => loadAuditorConfig(world.dir).namespaces;
    expect((await init("second", "--dry-run")).code).toBe(0);
    expect(config()).toHaveLength(1);
    const { code } = await init("second", "--ciphersuite", "2", "--root", `1/${"ab".repeat(32)}`);
    expect(code).toBe(0);
    const [first, second] = config();
    expect(second).toMatchObject({ name: "second", ciphersuite: 2, root: "ab".repeat(32) });
    const keys = [first, second].flatMap((one) => [
      one?.keys.checkpoint.publicKey,
      ...(one?.keys.audit.map(({ publicKey }) => publicKey) ?? []),
    ]);
    expect(new Set(keys).size).toBe(4);
  });

  test("does not begin a line anew that the token has signed already", async () => {
    await rollOut(1);
    const other = join(world.home, "other");
    const { error } = await run(
      ...["init", "--data", other, "--namespace", NAMESPACE, "--origin", ORIGIN, "--uri", world.hsm.uri],
    );
    expect(error).toMatchObject({
      code: "auditor-refused",
      message: expect.stringMatching(/signed epoch 1/),
    });
  });
});

describe("sign", () => {
  test("a dry run checks everything and signs nothing", async () => {
    const { bytes } = announce(world, 2, newest, [one.announced]);
    const file = join(world.home, "dry.json");
    writeFileSync(file, bytes);
    const { code, stderr, stdout } = await run(
      "sign",
      "--data",
      world.dir,
      "--announcement",
      file,
      "--dry-run",
    );
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toContain("would be signed");
    const bad = announce(world, 3, newest, [one.announced]);
    writeFileSync(file, bad.bytes);
    const refused = await run("sign", "--data", world.dir, "--announcement", file, "--dry-run");
    expect(refused.error).toMatchObject({ code: "auditor-refused" });
    await withAuditor(async ({ namespaces }) => {
      expect(namespaces.get(NAMESPACE)?.auditOf(2)).toBeUndefined();
    });
  });

  test("what it signed before, it prints again", async () => {
    const file = join(world.home, "1.json");
    const again = await run("sign", "--data", world.dir, "--announcement", file);
    expect(JSON.parse(again.stdout)).toMatchObject({ epoch: 1, digest: newest });
  });
});

describe("log", () => {
  test("refuses what is no countersignature, or not of the operator, and answers again as before", async () => {
    const file = join(world.home, "refused.json");
    const log = () =>
      run(...["log", "--data", world.dir, "--namespace", NAMESPACE, "--countersignature", file]);
    writeFileSync(file, "{}");
    expect((await log()).error).toMatchObject({ code: "decode-failed" });
    const genuine = readFileSync(join(world.home, "countersignature-1.json"), "utf8");
    const request = JSON.parse(genuine) as { countersignature: string };
    writeFileSync(file, JSON.stringify({ ...request, countersignature: "00".repeat(64) }));
    expect((await log()).stdout).not.toContain("00".repeat(64));
    writeFileSync(file, genuine);
    expect(JSON.parse((await log()).stdout)).toMatchObject({ audit: { epoch: 1 } });
  });
});

describe("rotate", () => {
  test("a new audit key signs once an epoch has announced it, and old audits stay as they are", async () => {
    const { stdout, code } = await run("rotate", "--data", world.dir, "--namespace", NAMESPACE);
    expect(code).toBe(0);
    const { keys } = JSON.parse(stdout) as { keys: { auditors: string[] } };
    const [old = "", added = ""] = keys.auditors;
    const id = (key: string): number => Number.parseInt(key.slice(-2), 16);
    const both = { keys: { ...world.keys, auditors: [old, added] } };
    expect((await rollOut(2, both)).key_id).toBe(id(old));
    // Until the epoch that drops the old one, which the new one signs.
    announcedKeys = { ...world.keys, auditors: [added] };
    expect((await rollOut(3, { keys: announcedKeys })).key_id).toBe(id(added));
  });
});

describe("export", () => {
  const mirror = (): string => join(world.home, "mirror");
  const exported = () => run("export", "--data", world.dir, "--to", mirror(), "--json");

  test("is the whole public tree, and then only what is new", async () => {
    const first = JSON.parse((await exported()).stdout) as {
      namespace: string;
      epochs: number;
      copied: number;
    }[];
    expect(first).toMatchObject([
      { namespace: NAMESPACE, epochs: 3 },
      { namespace: "second", epochs: 0 },
    ]);
    const files = (dir: string) => readdirSync(dir, { recursive: true }).map(String).sort();
    const from = join(world.dir, "public", "log", NAMESPACE);
    expect(files(join(mirror(), "log", NAMESPACE))).toEqual(files(from));
    expect(JSON.parse((await exported()).stdout)).toMatchObject([{ copied: 0 }, { copied: 0 }]);
  });

  test("never overwrites what differs, and never goes back", async () => {
    const policy = join(world.dir, "public", "log", NAMESPACE, "policy.json");
    const before = readFileSync(policy, "utf8");
    // What may change in the auditor's own tree changes in the mirror.
    writeFileSync(policy, before.replace("400", "30"));
    expect((await exported()).error).toBeUndefined();
    expect(readFileSync(join(mirror(), "log", NAMESPACE, "policy.json"), "utf8")).toContain("30");
    writeFileSync(policy, before);
    const file = join(mirror(), "log", NAMESPACE, "bundles", "2.json");
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.toString().replace("active", "actiVe"));
    expect((await exported()).error).toMatchObject({ code: "auditor-refused" });
    writeFileSync(file, bytes);
    const old = join(world.home, "old");
    cpSync(world.dir, old, { recursive: true });
    await rollOut(4, { keys: announcedKeys });
    expect((await exported()).error).toBeUndefined();
    const behind = await run("export", "--data", old, "--to", mirror());
    expect(behind.error).toMatchObject({ code: "auditor-refused", message: expect.stringMatching(/ahead/) });
  });

  test("of a tree that is not whole, there is no mirror", async () => {
    const broken = join(world.home, "broken");
    cpSync(world.dir, broken, { recursive: true });
    const to = join(world.home, "broken-mirror");
    const base = join(broken, "public", "log", NAMESPACE);
    const again = () => run("export", "--data", broken, "--to", to);
    rmSync(join(base, "bundles", "2.json"));
    expect((await again()).error).toMatchObject({
      code: "auditor-refused",
      message: expect.stringMatching(/epoch 2 has no bundle/),
    });
    cpSync(join(base, "bundles", "1.json"), join(base, "bundles", "2.json"));
    expect((await again()).error).toMatchObject({ code: "auditor-refused" });
    expect(existsSync(join(to, "log", NAMESPACE, "checkpoint"))).toBe(false);
  });
});

test("a disabled namespace takes nothing more", async () => {
  const config = world.config();
  const disabled = config.namespaces.map((one) => ({ ...one, disabled: true }));
  const auditor = await openAuditor({ ...config, namespaces: disabled });
  try {
    const namespace = auditor.namespaces.get(NAMESPACE);
    await expect(namespace?.audit(5, "ab".repeat(32))).rejects.toMatchObject({ code: "auditor-refused" });
    expect(namespace?.auditOf(3)).toBeDefined();
  } finally {
    await auditor.close();
  }
});

test("a witness that is away keeps an epoch from being shown, and nobody from anything else", async () => {
  const { bytes, digest } = announce(world, 5, newest, [one.announced], { keys: announcedKeys });
  const config = world.config();
  const away = {
    witnesses: [{ vkey: WITNESS, url: "http://127.0.0.1:9" }],
    witnessQuorum: 1,
    witnessTimeoutMs: 200,
  };
  const witnessed = config.namespaces.map((each) => (each.name === NAMESPACE ? { ...each, ...away } : each));
  const opened = async (namespaces = config.namespaces) => {
    const auditor = await openAuditor({ ...config, namespaces });
    const namespace = auditor.namespaces.get(NAMESPACE);
    if (!namespace) throw new Error("no namespace");
    return { auditor, namespace };
  };
  const first = await opened(witnessed);
  await first.namespace.putAnnouncement(digest, bytes);
  const request = world.operator.countersign(
    await first.namespace.audit(5, digest),
    announcedKeys.auditors[0] ?? "",
  );
  await expect(first.namespace.countersign(request)).rejects.toMatchObject({ code: "unavailable" });
  await first.auditor.close();
  // It starts all the same, with what was shown before.
  const again = await opened(witnessed);
  expect(again.namespace.lastEpoch).toBe(4);
  expect(await again.namespace.bundleOf(5)).toBeUndefined();
  await again.auditor.close();
  // The witness is back: here, nobody asks for it any more. What was countersigned is finished by itself.
  const last = await opened();
  expect(last.namespace.lastEpoch).toBe(5);
  expect((await last.namespace.countersign(request)).audit.epoch).toBe(5);
  await last.auditor.close();
  newest = digest;
});

describe("serve, as a process", () => {
  /** Starts it, and waits for the line that says where it listens. */
  async function serve(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
    const child = spawn(process.execPath, [...STRONGROOM, "auditor", "serve", "--data", world.dir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    for await (const chunk of child.stdout ?? []) {
      output += String(chunk);
      const url = /"url":"([^"]+)"/.exec(output)?.[1];
      if (url !== undefined) return { child, url };
    }
    throw new Error(`it ended: ${output}`);
  }

  test("comes back after SIGKILL, and ends with 0 when it is asked to", async () => {
    const killed = await serve();
    killed.child.kill("SIGKILL");
    await once(killed.child, "exit");
    const { child, url } = await serve();
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const last = await fetch(`${url}/namespaces/${NAMESPACE}/last-verified-epoch`);
    expect(await last.json()).toMatchObject({ epoch: 5, end_hash: newest });
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});

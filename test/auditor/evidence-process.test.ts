/**
 * Evidence is checked beside the auditor, in a process of its own: real evidence, of a rehearsal on SoftHSM tokens. The
 * auditor answers meanwhile; whatever becomes of the process, the answer says so, nothing was written, and the next
 * request is served.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AuditorConfig } from "../../src/auditor/config.ts";
import { checkEvidence } from "../../src/auditor/evidence-check.ts";
import { EvidenceChecks, type EvidenceOrder } from "../../src/auditor/evidence-process.ts";
import { EvidenceStore } from "../../src/auditor/evidence-store.ts";
import { publicDirOf, stateDirOf } from "../../src/auditor/places.ts";
import { loadPolicy } from "../../src/auditor/policy.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { copyEvidence } from "../../src/ceremony/evidence-build.ts";
import { EVIDENCE_FILE } from "../../src/ceremony/evidence-files.ts";
import { readEvidenceFiles } from "../../src/ceremony/evidence-folder.ts";
import { openEvidence } from "../../src/ceremony/evidence-statement.ts";
import { rehearse } from "../../src/ceremony/rehearse.ts";
import { type RunningAuditor, startAuditor } from "../../src/service/auditor-start.ts";
import { type AnnouncedFleet, decodeAnnouncement } from "../../src/wire/announcement.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import {
  type Answer,
  type AuditorWorld,
  announce,
  createAuditorWorld,
  NAMESPACE,
  OperatorClient,
  paperFleet,
  writeEvidence,
} from "../support/auditor-world.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { until } from "../support/http.ts";

const LIMITS = { deadlineMs: 60_000, memoryMb: 1_024 };
const home = mkdtempSync(join(tmpdir(), "evidence-process-"));
const evidence = join(home, "evidence");
const policyFile = join(home, "policy.yaml");
let world: AuditorWorld;
let running: RunningAuditor;
let client: OperatorClient;
let fleet: AnnouncedFleet;
let first: { readonly bytes: Uint8Array; readonly digest: string };

async function start(change: Partial<AuditorConfig> = {}): Promise<void> {
  const config = world.config({
    policy: policyFile,
    evidenceCheck: LIMITS,
    requestsPerSecondPerAddress: 10_000,
    ...change,
  });
  running = await startAuditor(config, { write: () => undefined });
  client = new OperatorClient(running.url, world.token);
}
async function restart(change?: Partial<AuditorConfig>): Promise<void> {
  await running.close();
  await start(change);
}

beforeAll(async () => {
  world = await createAuditorWorld();
  const example = readFileSync("hsm-config/auditor/policy.yaml", "utf8");
  writeFileSync(policyFile, example.replace("production: true", "production: false"));
  const dir = join(home, "rehearsal");
  await rehearse({ plan: planOf({ sites: 1, spares: 0 }, { fleet: "one" }), planDir: home, dir });
  copyEvidence(dir, evidence);
  const manifest = readFileSync(join(evidence, "manifest.json"));
  const list = openEvidence(readFileSync(join(evidence, EVIDENCE_FILE)));
  fleet = {
    status: "active",
    manifest: decodeManifest(manifest),
    manifestSha256: sha256HexOf(manifest),
    evidenceSha256: sha256HexOf(list.envelope.payload),
  };
  await start();
  first = announce(world, 1, undefined, [fleet]);
  const files = [...readEvidenceFiles(evidence).keys()].map(
    (path) => [path, Uint8Array.from(readFileSync(join(evidence, path)))] as const,
  );
  await client.evidence({ evidenceSha256: fleet.evidenceSha256 ?? "", files: new Map(files) });
  await client.put(`announcements/${first.digest}`, first.bytes);
});
afterAll(async () => {
  await running.close();
  world.remove();
  rmSync(home, { recursive: true });
});

interface Child {
  readonly pid: number;
  readonly args: readonly string[];
  signal(name: NodeJS.Signals): void;
}

/** Processes of this one, or of another one, that check evidence. */
function children(of: number | undefined = process.pid): readonly Child[] {
  return readdirSync("/proc").flatMap((name): readonly Child[] => {
    try {
      const args = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1];
      if (Number(parent) !== of || !args.some((each) => each.includes("evidence-child"))) return [];
      return [{ pid: Number(name), args, signal: (signal) => void process.kill(Number(name), signal) }];
    } catch {
      // It is no process, or it has gone.
      return [];
    }
  });
}

/** The next check, as soon as it runs. */
async function nextCheck(): Promise<Child> {
  let found: Child | undefined;
  await until(() => {
    [found] = children();
    return found !== undefined;
  });
  return found ?? expect.unreachable("until there is one");
}

/** The next check, stopped: it runs for as long as it has to. */
async function heldCheck(): Promise<Child> {
  const child = await nextCheck();
  child.signal("SIGSTOP");
  return child;
}

const audit = (): Promise<Answer> => client.post("audits", { epoch: 1, digest: first.digest });
const get = (path: string): Promise<Response> => fetch(`${running.url}${path}`);
const publicDir = (): string => publicDirOf(world.dir, NAMESPACE);
const stateDir = (): string => stateDirOf(world.dir, NAMESPACE);

/** Nothing of the first epoch is signed or published, and no work is left over. */
async function expectNothing(): Promise<void> {
  expect((await get(`/namespaces/${NAMESPACE}/audits/1`)).status).toBe(404);
  for (const folder of ["evidence", "announcements"])
    expect(existsSync(join(publicDir(), folder)), folder).toBe(false);
  expect(existsSync(join(stateDir(), "audits"))).toBe(false);
  expect(existsSync(join(stateDir(), "work"))).toBe(false);
  expect(children()).toEqual([]);
}

function expectNoVerdict({ status, json }: Answer, reason: string): void {
  expect(status).toBe(503);
  expect(json).toMatchObject({ error: "unavailable", code: "unavailable", details: { reason } });
  expect(json.hint).toMatch(/nothing was signed/);
}

describe("a process that comes to no verdict is told as that", () => {
  beforeEach(() => restart());

  test("killed by somebody", async () => {
    const answer = audit();
    (await heldCheck()).signal("SIGKILL");
    expectNoVerdict(await answer, "check-died");
    await expectNothing();
  });

  test("at the end of its time", async () => {
    await restart({ evidenceCheck: { ...LIMITS, deadlineMs: 1_500 } });
    const answer = audit();
    // Otherwise it might be done before.
    await heldCheck();
    expectNoVerdict(await answer, "check-timeout");
    await expectNothing();
  });

  test("with more memory than it may have, on the heap or off it", async () => {
    await restart({ evidenceCheck: { ...LIMITS, memoryMb: 48 } });
    const answer = audit();
    // The process is larger than that when it has loaded its program; its heap is not.
    expect((await nextCheck()).args).toContain("--max-old-space-size=48");
    expectNoVerdict(await answer, "check-memory");
    await expectNothing();
  });

  test("ended because the auditor stops", async () => {
    await restart({ drain: { noticeMs: 0, deadlineMs: 100 } });
    const request = audit().catch(() => "cut");
    await heldCheck();
    const waiting = running.signing.namespaces.get(NAMESPACE)?.audit(1, first.digest);
    const refused = expect(waiting).rejects.toMatchObject({
      code: "unavailable",
      details: { reason: "check-stopped" },
    });
    await running.close();
    await refused;
    expect(await request).toBe("cut");
    await start();
    await expectNothing();
  });
});

describe("while a check runs", () => {
  beforeEach(() => restart());

  test("everything is read, other operators' and operations' pages too", async () => {
    const answer = audit();
    const child = await heldCheck();
    const checkpoints = await get(`/log/${NAMESPACE}/checkpoint`);
    expect(checkpoints.status).toBe(404);
    for (const path of ["healthz", "readyz", "metrics", "info", `namespaces/${NAMESPACE}`])
      expect((await get(`/${path}`)).status, path).toBe(200);
    expect((await get(`/log/${NAMESPACE}/index.json`)).status).toBe(200);
    child.signal("SIGKILL");
    expectNoVerdict(await answer, "check-died");
  });

  test("an operator's further requests wait, so many of them and no more, and one check runs at a time", async () => {
    let waiting = 8;
    const answers = Array.from({ length: waiting }, () => audit().finally(() => waiting--));
    const child = await heldCheck();
    // Those that are over the limit are answered at once, whatever they are.
    let refused: Answer | undefined;
    await until(async () => {
      refused = await client.put(`announcements/${first.digest}`, first.bytes);
      return refused.status === 503;
    });
    expect(refused?.json).toMatchObject({ code: "unavailable", retryAfter: 1 });
    expect(waiting).toBe(8);
    expect(children()).toHaveLength(1);
    child.signal("SIGKILL");
    while (waiting > 0) {
      const running = children();
      expect(running.length).toBeLessThan(2);
      for (const each of running) each.signal("SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const answer of await Promise.all(answers)) expectNoVerdict(answer, "check-died");
    expect((await client.put(`announcements/${first.digest}`, first.bytes)).status).toBe(204);
    await expectNothing();
  });
});

describe("verdicts are those of the check itself", () => {
  const checks = new EvidenceChecks(LIMITS);
  const policy = (): EvidenceOrder["policy"] => loadPolicy(policyFile);
  const store = join(home, "store");
  const order = (fleets: readonly AnnouncedFleet[], change: Partial<EvidenceOrder> = {}): EvidenceOrder => ({
    fleets,
    before: undefined,
    policy: policy(),
    waiting: store,
    published: join(home, "published"),
    work: join(home, "work"),
    ...change,
  });
  /** A store of its own, with one file of the evidence changed. */
  const changed = (name: string, file: string, change: (text: string) => string): EvidenceOrder => {
    const waiting = join(home, name);
    const dir = join(waiting, fleet.evidenceSha256 ?? "");
    copyEvidence(evidence, dir);
    writeFileSync(join(dir, file), change(readFileSync(join(dir, file), "utf8")));
    return order([fleet], { waiting });
  };
  const said = (work: Promise<readonly string[]>): Promise<unknown> =>
    work.catch((error: unknown) => {
      if (!isStrongroomError(error)) throw error;
      const { code, message, hint, details } = error;
      return { code, message, hint, details };
    });
  const refused = (message: RegExp, code = "auditor-refused") => ({
    code,
    message: expect.stringMatching(message),
  });

  beforeAll(() => copyEvidence(evidence, join(store, fleet.evidenceSha256 ?? "")));

  test.each<readonly [string, () => EvidenceOrder | Promise<EvidenceOrder>, () => unknown]>([
    ["evidence that holds", () => order([fleet]), () => [fleet.evidenceSha256]],
    [
      "evidence that was looked at before, and is not there any more",
      () => {
        const announcement = { ...decodeAnnouncement(first.bytes), fleets: [fleet] };
        const before = { announcement, digest: first.digest };
        return order([fleet], { before, waiting: join(home, "none") });
      },
      () => [],
    ],
    [
      "a rehearsal, where the policy asks for production",
      () => order([fleet], { policy: { ...policy(), production: true } }),
      () => refused(/mode: THIS IS A REHEARSAL/),
    ],
    [
      "more than the evidence can show",
      () => order([fleet], { policy: { ...policy(), claims: { ...policy().claims, devices: "proved" } } }),
      () => refused(/devices is library-reported, and the policy asks for proved/),
    ],
    [
      "evidence that is not there",
      () => order([{ ...fleet, evidenceSha256: "00".repeat(32) }]),
      () => ({ ...refused(/no evidence whose signed list/), hint: expect.stringContaining("hand in") }),
    ],
    [
      "a fleet without evidence",
      () => {
        const { evidenceSha256: _, ...bare } = fleet;
        return order([bare]);
      },
      () => refused(/brings no evidence/),
    ],
    [
      "a manifest that says something else",
      () => order([{ ...fleet, manifest: { ...fleet.manifest, createdAt: 1 } }]),
      () => refused(/says otherwise/),
    ],
    [
      "a transcript that was changed",
      () => changed("transcript", "transcripts/root.jsonl", (text) => text.replace("C_Login", "C_Logim")),
      () => refused(/files-intact: transcripts\/root.jsonl/),
    ],
    [
      "a list that is none",
      () => changed("no-list", EVIDENCE_FILE, () => "{}"),
      () => refused(/DSSE/, "evidence-invalid"),
    ],
    [
      "an approval that is missing",
      async () => {
        const unsigned = await paperFleet("three", { falsehoods: { closing: [0] } });
        writeEvidence(join(store, unsigned.evidenceSha256), unsigned.files);
        return order([unsigned.announced], {
          policy: { ...policy(), claims: { "closing-approved": "proved" } },
        });
      },
      () => refused(/closing-approved: 1 officers signed/),
    ],
  ])("%s", async (_what, prepared, expected) => {
    const asked = await prepared();
    const { fleets, before, waiting, published, work } = asked;
    const evidenceStore = new EvidenceStore(waiting, published);
    const direct = await said(checkEvidence(fleets, before, asked.policy, evidenceStore, work));
    const verdict = await said(checks.check(asked));
    expect(verdict).toEqual(direct);
    expect(verdict).toMatchObject(Object(expected()));
    expect(existsSync(work)).toBe(false);
  });

  test("one ends with the auditor, whatever it is doing", async () => {
    const waiting = join(home, "endless");
    const dir = join(waiting, fleet.evidenceSha256 ?? "");
    copyEvidence(evidence, dir);
    const pipe = join(dir, "manifest.json");
    rmSync(pipe);
    execFileSync("bash", ["-c", 'mkfifo "$0"', pipe]);
    const program = `import { EvidenceChecks } from ${JSON.stringify(pathToFileURL("dist/auditor/evidence-process.js").href)};
      await new EvidenceChecks(${JSON.stringify(LIMITS)}).check(${JSON.stringify(order([fleet], { waiting }))});`;
    const auditor = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "ignore" });
    let writer: number | undefined;
    await until(() => {
      try {
        // Possible when somebody reads, who then waits for what is never written.
        writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
      } catch {
        return false;
      }
      return true;
    });
    const check = children(auditor.pid)[0] ?? expect.unreachable("it reads");
    auditor.kill("SIGKILL");
    // Where nobody waits for orphans it stays as a zombie.
    const state = (): string => readFileSync(`/proc/${check.pid}/status`, "utf8");
    await until(() => !existsSync(`/proc/${check.pid}`) || /^State:\s+Z/m.test(state()));
    closeSync(writer ?? expect.unreachable("it was opened"));
  });

  test("none is begun after the stop", async () => {
    const stopped = new EvidenceChecks(LIMITS);
    stopped.stop();
    await expect(stopped.check(order([fleet]))).rejects.toMatchObject({
      code: "unavailable",
      details: { reason: "check-stopped" },
    });
  });

  test("one is found after the other, whoever asks", async () => {
    let waiting = 2;
    const asked = ["one", "two"].map((name) =>
      checks.check(order([fleet], { work: join(home, name) })).finally(() => waiting--),
    );
    for (; waiting > 0; await new Promise((resolve) => setTimeout(resolve, 20)))
      expect(children().length).toBeLessThan(2);
    expect(await Promise.all(asked)).toEqual([[fleet.evidenceSha256], [fleet.evidenceSha256]]);
  });
});

test("after all of it, the same request is signed; a signal to the whole group does not end its check", async () => {
  await restart();
  const answer = audit();
  const child = await heldCheck();
  // It has its handlers when it works; what comes before is the start of Node itself.
  child.signal("SIGCONT");
  await until(() => existsSync(join(stateDir(), "work")));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) child.signal(signal);
  const { status, text } = await answer;
  expect(status, text).toBe(200);
  const listing = JSON.parse(
    readFileSync(join(publicDir(), "evidence", fleet.evidenceSha256 ?? "", "files.json"), "utf8"),
  ) as { files: unknown };
  expect(listing.files).toEqual(
    [...readEvidenceFiles(evidence)].map(([path, { size, sha256: hash }]) => ({ path, size, sha256: hash })),
  );
});

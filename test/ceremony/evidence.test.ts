/** The evidence of a rehearsal on SoftHSM tokens, as files and at the terminal. */
import { execFile } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { checkClaims } from "../../src/ceremony/claims/all.ts";
import { CLAIM_IDS, type ClaimId } from "../../src/ceremony/claims/claim.ts";
import { addOfficerSignature, buildEvidence, copyEvidence } from "../../src/ceremony/evidence-build.ts";
import { EVIDENCE_FILE, type EvidenceFiles, evidenceFile } from "../../src/ceremony/evidence-files.ts";
import { readEvidenceFiles } from "../../src/ceremony/evidence-folder.ts";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { EvidenceReading } from "../../src/ceremony/evidence-reading.ts";
import { readEvidence } from "../../src/ceremony/evidence-verify.ts";
import { type Rehearsal, rehearse } from "../../src/ceremony/rehearse.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { printedPage } from "../support/chromium.ts";
import { STRONGROOM } from "../support/cli.ts";
import { signList } from "../support/paper-ceremony.ts";
import { paperOfficer } from "../support/signers.ts";

const home = mkdtempSync(join(tmpdir(), "evidence-"));
const dir = join(home, "rehearsal");
const published = join(home, "published");
let made: Rehearsal;
let reading: EvidenceReading;

beforeAll(async () => {
  made = await rehearse({ plan: planOf({ sites: 3, spares: 1 }), planDir: home, dir });
  copyEvidence(dir, published);
  reading = await readEvidence(published);
});
afterAll(() => rmSync(home, { recursive: true }));

const failedOf = (files: EvidenceFiles, questions = {}): readonly ClaimId[] => {
  const { plannedCalls } = reading;
  const claims = checkClaims(new EvidenceReading(files, { questions, plannedCalls }));
  return failedClaims(claims.filter(({ detail }) => !detail.startsWith("Not checked")));
};

/** The files with one of them changed, and the list signed anew by all officers. */
async function signedAnew(path: string, change: (text: string) => string): Promise<EvidenceFiles> {
  const files = new Map([...reading.files].flatMap(([name, { bytes }]) => (bytes ? [[name, bytes]] : [])));
  files.set(path, utf8(change(Buffer.from(files.get(path) ?? utf8("")).toString())));
  const officers = made.officers.map(({ name, signer }) => ({
    name,
    publicKey: signer.publicKey,
    sign: (pae: Uint8Array) => signer.sign(pae),
  }));
  await signList(files, made.plan, officers);
  return new Map(
    [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, bytes]) => [name, evidenceFile(bytes)]),
  );
}

test("holds in every claim that is for a new fleet", () => {
  const claims = checkClaims(reading);
  expect(claims.filter(({ ok }) => !ok)).toEqual([]);
  const ids = CLAIM_IDS.filter((id) => id !== "predecessor" && id !== "change");
  expect([...new Set(claims.map(({ id }) => id))]).toEqual(ids);
  expect(claims.find(({ id }) => id === "mode")?.detail).toMatch(/^REHEARSAL/);
  // Nothing that a vendor would have to vouch for is ever said to be vouched for.
  expect(claims.filter(({ source }) => source === "vendor-attested")).toEqual([]);
});

test("no secret and no token is among what is published", () => {
  const folders = new Set([...reading.files.keys()].map((path) => path.split("/")[0]));
  expect(folders).toEqual(
    new Set([
      "approvals",
      "certificates",
      EVIDENCE_FILE,
      "manifest.json",
      "manifest.sig.json",
      "plan.yaml",
      "steps",
      "transcripts",
    ]),
  );
});

test("is no evidence of production", () => {
  expect(failedOf(reading.files, { production: true })).toEqual(["mode"]);
});

test("a bit of any file flipped: the files are not those that were signed for", () => {
  const others = CLAIM_IDS.filter((id) => id !== "files-intact" && id !== "closing-approved");
  for (const [path, { bytes = utf8("") }] of reading.files) {
    const flipped = Uint8Array.from(bytes);
    const at = Math.floor(Math.random() * bytes.length * 8);
    flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7));
    const files = new Map([...reading.files, [path, evidenceFile(flipped)] as const]);
    expect(failedClaims(checkClaims(new EvidenceReading(files), others)), `${path} ${at}`).not.toEqual([]);
  }
});

describe("although the officers sign the list anew", () => {
  const TRANSCRIPT = "transcripts/site-b.jsonl";
  const lines = (change: (all: string[]) => string[]) => (text: string) =>
    `${change(text.trimEnd().split("\n")).join("\n")}\n`;

  test.each([
    ["a dropped line", lines((all) => all.toSpliced(40, 1))],
    ["swapped lines", lines((all) => all.toSpliced(40, 2, all[41] ?? "", all[40] ?? ""))],
    ["a line cut off at the end", lines((all) => all.slice(0, -1))],
    ["another return code", (text: string) => text.replace("CKR_OK", "CKR_KO")],
  ] as const)("%s is found in a transcript", async (_name, change) => {
    expect(failedOf(await signedAnew(TRANSCRIPT, change))).toContain("transcript-intact");
  });

  test("a changed plan is found", async () => {
    const files = await signedAnew("plan.yaml", (text) => text.replace("maxAttempts: 10", "maxAttempts: 50"));
    expect(failedOf(files)).toEqual(expect.arrayContaining(["plan-fixed", "plan-approved"]));
  });

  test("a call that the dry run does not have is found, even in a chain that was made to fit", () => {
    const planned = new Map([...reading.plannedCalls()].map(([step, calls]) => [step, calls.slice(1)]));
    const claims = checkClaims(new EvidenceReading(reading.files, { plannedCalls: () => planned }));
    const failed = claims.filter(({ ok }) => !ok);
    expect(new Set(failed.map(({ id }) => id))).toEqual(new Set(["transcript-follows-plan"]));
    expect(failed[0]?.detail).toMatch(/planned was C_\w+.*made was C_\w+/);
  });
});

describe("put together", () => {
  const copy = (name: string): string => {
    const to = join(home, name);
    cpSync(published, to, { recursive: true });
    return to;
  };

  test("again it says the same, and its signatures stay", async () => {
    const again = copy("again");
    const before = readFileSync(join(again, EVIDENCE_FILE));
    expect(await buildEvidence(again)).toMatchObject({ state: "unchanged" });
    expect(readFileSync(join(again, EVIDENCE_FILE))).toEqual(before);
  });

  test("with an attachment more, it is refused until the list is made anew", async () => {
    const more = copy("more");
    mkdirSync(join(more, "attachments"));
    writeFileSync(join(more, "attachments/seal 17.jpg"), "a photograph");
    await expect(buildEvidence(more)).rejects.toMatchObject({ code: "evidence-invalid" });
    rmSync(join(more, EVIDENCE_FILE));
    const [officer] = made.officers;
    if (officer) expect(await addOfficerSignature(more, officer.signer)).toBe(1);
    const { plannedCalls } = reading;
    const claims = checkClaims(new EvidenceReading(readEvidenceFiles(more), { plannedCalls }));
    expect(failedClaims(claims)).toEqual(["closing-approved"]);
    expect(claims.find(({ id }) => id === "attachments")).toMatchObject({
      source: "officer-stated",
      detail: expect.stringContaining("seal 17.jpg"),
    });
  });

  test("by a stranger, it is refused", async () => {
    await expect(addOfficerSignature(copy("stranger"), paperOfficer("Eve"))).rejects.toMatchObject({
      code: "evidence-invalid",
    });
  });

  test("from a ceremony that does not hold, it is refused, and nothing is written", async () => {
    const torn = copy("torn");
    rmSync(join(torn, EVIDENCE_FILE));
    appendFileSync(join(torn, "transcripts/root.jsonl"), "{}\n");
    await expect(buildEvidence(torn)).rejects.toMatchObject({ code: "evidence-invalid" });
    expect(() => readFileSync(join(torn, EVIDENCE_FILE))).toThrow();
  });

  test("with a link among the files, it is refused", async () => {
    const linked = copy("linked");
    symlinkSync("/etc/hostname", join(linked, "approvals/Eve.json"));
    await expect(readEvidence(linked)).rejects.toMatchObject({ code: "evidence-invalid" });
  });
});

describe("at the terminal", () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [...STRONGROOM, "evidence", ...args])
      .then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }))
      .catch((error: { code: number; stdout: string; stderr: string }) => error);

  test("verify: a table, and a hint to compare the plan's hash", async () => {
    const { code, stdout, stderr } = await run("verify", published);
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^hint: .*--expect-plan/),
    });
    expect(stdout).toMatch(/^\*\*\* REHEARSAL \*\*\*/);
    expect(stdout).toContain("REHEARSAL: all 25 claims hold.");
    expect(stdout).toContain(made.planHash);
  });

  test("verify: exit code 1, the claim and a hint where one does not hold", async () => {
    const { code, stdout, stderr } = await run("verify", published, "--production", "--json");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, failed: ["mode"], mode: "rehearsal" });
    expect(stderr).toMatch(/^strongroom: the evidence does not hold: mode\nhint: /);
  });

  test("verify: what is no hash is wrong usage", async () => {
    expect(await run("verify", published, "--expect-plan", "abc")).toMatchObject({ code: 2 });
  });

  test("show: one page that loads and runs nothing", async () => {
    const out = join(home, "report.html");
    expect(await run("show", published, "--out", out)).toMatchObject({ code: 0 });
    const page = readFileSync(out, "utf8");
    expect(page).toContain("<strong>REHEARSAL</strong>");
    expect(page).not.toMatch(/<script|<link|<img|\son\w+=|(?:src|href)="(?!#)/);
    expect(await run("show", published, "--out", out)).toMatchObject({ code: 2 });
    // On paper nothing can be scrolled.
    expect((await printedPage(out)).overflowing).toEqual([]);
  });

  test("show: exit code 1 where a claim does not hold, and the page says which", async () => {
    const out = join(home, "production.html");
    expect(await run("show", published, "--production", "--out", out)).toMatchObject({ code: 1 });
    expect(readFileSync(out, "utf8")).toContain("1 of 25 claims");
  });

  test.each(["verify", "show", "build"])(
    "%s: a folder without any evidence is said to be one",
    async (what) => {
      const empty = mkdtempSync(join(home, "empty-"));
      const { code, stdout, stderr } = await run(what, empty);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/ has no evidence of a ceremony\nhint: /);
    },
  );

  test("build: copies what can be published", async () => {
    const out = join(home, "copied");
    const { code, stdout } = await run("build", dir, "--out", out, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ state: "unchanged", copied: reading.files.size });
  });
});

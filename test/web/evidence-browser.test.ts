/** A browser judges evidence as Node does: the same claims, the same report, the same planned calls for every device. */
import { beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { bundleForPage } from "../../scripts/page-bundle.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { checkClaims } from "../../src/ceremony/claims/all.ts";
import type { Claim, ClaimId } from "../../src/ceremony/claims/claim.ts";
import { dryRun } from "../../src/ceremony/dry-run.ts";
import {
  decodeEnvelope,
  type EnvelopeSignature,
  encodeEnvelope,
  payloadTypeOf,
} from "../../src/ceremony/dsse.ts";
import { evidenceFile } from "../../src/ceremony/evidence-files.ts";
import {
  type EvidenceSource,
  failedClaims,
  judgeEvidence,
  readingOf,
} from "../../src/ceremony/evidence-judge.ts";
import type { ActionOutputs } from "../../src/ceremony/outputs.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { decodePlan } from "../../src/ceremony/plan-file.ts";
import { reportHtml } from "../../src/ceremony/report.ts";
import { planOf, replacement } from "../support/ceremony-plan.ts";
import { type BrowserPage, withChromium } from "../support/chromium.ts";
import {
  asEvidence,
  type Falsehoods,
  type PaperFiles,
  paperCeremony,
  withOfficers,
} from "../support/paper-ceremony.ts";
import { PaperOutputs } from "../support/paper-outputs.ts";
import { paperOfficer } from "../support/signers.ts";

const officers = ["Ada", "Bela", "Chen"].map(paperOfficer);
/** Read by other code each. */
const FLIPPED = ["manifest.json", "certificates/site-a.pem"];
const SHAPE = { sites: 1, threshold: 1, spares: 1 };
let plan: CeremonyPlan;
let outputs: PaperOutputs;
let made: PaperFiles;
let program: string;

/** What the bundle gives to the test. */
const ENTRY = `
import { judgeFiles, judgePublished } from "./src/web/evidence.ts";
import { dryRun } from "./src/ceremony/dry-run.ts";
import { decodePlan } from "./src/ceremony/plan-file.ts";
globalThis.judge = (files) =>
  judgeFiles(files.map(([path, base64]) => ({ path, blob: new Blob([Uint8Array.fromBase64(base64)]) })));
globalThis.judgePublished = (evidence, manifest) =>
  judgePublished("replaced", {
    files: async (id) => evidence[id].map(([path, base64]) => ({ path, blob: new Blob([Uint8Array.fromBase64(base64)]) })),
    ofManifest: (sha256) => (sha256 === manifest ? "created" : undefined),
  });
globalThis.calls = (yaml) => dryRun({ plan: decodePlan(new TextEncoder().encode(yaml), "plan.yaml"), sha256: "ab".repeat(32) });
`;

beforeAll(async () => {
  plan = withOfficers(planOf({ ...SHAPE, spares: 0 }), officers, 3);
  outputs = await new PaperOutputs(plan).prepare();
  made = await paperCeremony(plan, officers, outputs);
  const { outputFiles, metafile } = await bundleForPage({
    stdin: { contents: ENTRY, resolveDir: process.cwd() },
    format: "iife",
    logLevel: "silent",
  });
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
  program = outputFiles[0]?.text ?? "";
});

interface Judged {
  readonly folder: string;
  readonly claims: readonly Claim[];
  readonly report: string;
}

const encoded = (folder: string, files: PaperFiles): readonly (readonly [string, string])[] =>
  [...files].map(([path, bytes]) => [`${folder}${path}`, Buffer.from(bytes).toString("base64")]);

/** As it was dropped: folders by name. */
function judged(
  page: BrowserPage,
  folders: Readonly<Record<string, PaperFiles>>,
): Promise<readonly Judged[]> {
  const files = Object.entries(folders).flatMap(([folder, all]) => encoded(`${folder}/`, all));
  return page.evaluate(`judge(${JSON.stringify(files)})`);
}

const sourceOf = (files: PaperFiles, before?: PaperFiles): EvidenceSource => ({
  files: asEvidence(files),
  before: () => before && sourceOf(before),
});
/** JSON has no `undefined`. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** All but the sentence, which may quote what an engine says of bad JSON. */
const verdicts = (claims: readonly Claim[] = []): unknown =>
  plain(claims.map(({ id, ok, station, key, source, title }) => ({ id, ok, station, key, source, title })));

function flipped(files: PaperFiles, path: string): PaperFiles {
  const bytes = Uint8Array.from(files.get(path) ?? []);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return new Map([...files, [path, bytes]]);
}

// One browser for all, which computes while Node does.
test("a browser and Node say the same", async () => {
  await withChromium(async (page) => {
    await page.evaluate(program);
    await ofCeremony(page);
    await ofForgeries(page);
    await ofChange(page);
    await ofDevices(page);
    expect(page.complaints).toEqual([]);
  });
});

/** The same claims and the same report; one flipped byte: the same that fail. */
async function ofCeremony(page: BrowserPage): Promise<void> {
  const own = judged(page, { ceremony: made });
  const reading = await readingOf(sourceOf(made));
  const claims = checkClaims(reading);
  // On paper nobody called a token: page.test.ts has evidence of a rehearsal, all of which holds.
  expect(failedClaims(claims)).toEqual(["transcript-follows-plan"]);
  const [found] = await own;
  expect(found?.claims).toEqual(plain(claims));
  expect(found?.report).toBe(reportHtml(reading, claims));
  for (const path of FLIPPED) {
    const files = flipped(made, path);
    const inPage = judged(page, { ceremony: files });
    const expected = await judgeEvidence(sourceOf(files));
    expect(failedClaims(expected).length, path).toBeGreaterThan(1);
    expect(verdicts((await inPage)[0]?.claims), path).toEqual(verdicts(expected));
  }
}

/** What is signed by nobody, or by somebody else, with all the rest properly signed. */
async function ofForgeries(page: BrowserPage): Promise<void> {
  const flip = (hex: string, at: number): string =>
    hex.slice(0, at) + (hex[at] === "0" ? "1" : "0") + hex.slice(at + 1);
  const said = (action: string, change: (output: never) => unknown): Falsehoods => ({
    output: (output, step) => (step.action === action ? change(output as never) : output),
  });
  const forgeries: readonly (readonly [ClaimId, Falsehoods])[] = [
    [
      "plan-approved",
      { files: (files) => forge(files, "approvals/Ada.json", payloadTypeOf("plan-approval")) },
    ],
    [
      "statements-signed",
      {
        envelope: (envelope, step) =>
          step.action === "certify" ? { ...envelope, signatures: envelope.signatures.map(forged) } : envelope,
      },
    ],
    [
      "certificates",
      said("certify", (output: ActionOutputs["certify"]) => ({
        ...output,
        certificates: Object.fromEntries(
          Object.entries(output.certificates).map(([name, der]) => [name, flip(der, der.length - 1)]),
        ),
      })),
    ],
    [
      "possession",
      said("prove", (output: ActionOutputs["prove"]) => ({
        ...output,
        possession: { ...output.possession, session: "77".repeat(32) },
      })),
    ],
  ];
  for (const [id, falsehoods] of forgeries) {
    const files = await paperCeremony(plan, officers, outputs, falsehoods);
    const inPage = judged(page, { forged: files });
    const expected = await judgeEvidence(sourceOf(files));
    const found = (await inPage)[0]?.claims ?? [];
    const own = (claims: readonly Claim[]): boolean =>
      claims.some((claim) => claim.id === id && !claim.ok && !claim.detail.startsWith("Not checked"));
    expect(own(expected), `${id} in Node`).toBe(true);
    expect(own(found), `${id} in the browser`).toBe(true);
    expect(verdicts(found), id).toEqual(verdicts(expected));
  }
}

const forged = <T extends EnvelopeSignature>({ keyid, sig }: T): EnvelopeSignature => ({
  keyid,
  sig: sig.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
});

/** The envelope with other signatures, in its place. */
function forge(files: Map<string, Uint8Array>, path: string, type: string): void {
  const envelope = decodeEnvelope(files.get(path) ?? utf8(""), type);
  files.set(path, encodeEnvelope({ ...envelope, signatures: envelope.signatures.map(forged) }));
}

/** A change of a fleet finds the evidence before it, if that was dropped beside it. */
async function ofChange(page: BrowserPage): Promise<void> {
  const created = withOfficers(planOf(SHAPE), officers, 3);
  const before = await paperCeremony(created, officers, await new PaperOutputs(created).prepare());
  const manifest = evidenceFile(before.get("manifest.json") ?? utf8("")).sha256;
  const change = replacement(SHAPE, { predecessor: { manifest, evidence: "../created" } });
  const replaced = withOfficers(change, officers, 3);
  const files = await paperCeremony(replaced, officers, await new PaperOutputs(replaced).prepare());
  const inPage = judged(page, { "all/replaced": files, "all/created": before });
  const expected = plain(await judgeEvidence(sourceOf(files, before)));
  const beside = await inPage;
  expect(beside.map(({ folder }) => folder)).toEqual(["all/replaced", "all/created"]);
  expect(beside[0]?.claims).toEqual(expected);
  const [alone] = await judged(page, { replaced: files });
  expect(alone?.claims).toEqual(plain(await judgeEvidence(sourceOf(files))));
  expect(alone?.claims).not.toEqual(expected);
  // As an auditor publishes them: under the hashes of their lists, found by the manifest that the plan names.
  const found = await page.evaluate<Judged>(
    `judgePublished(${JSON.stringify({ replaced: encoded("", files), created: encoded("", before) })}, "${manifest}")`,
  );
  expect(found.claims).toEqual(expected);
}

/** What wraps in different ways, and what cannot take part. */
const DEVICES = ["aws-cloudhsm", "nss-softokn", "tpm2", "yubihsm2"];

/** The calls that are planned for a device, or why there can be none. */
async function ofDevices(page: BrowserPage): Promise<void> {
  const plans = DEVICES.map((profile) =>
    stringify({ ...planOf(SHAPE), mode: "rehearsal" } satisfies CeremonyPlan).replaceAll("luna7", profile),
  );
  const inPage = page.evaluate<readonly unknown[]>(
    `Promise.all(${JSON.stringify(plans)}.map((yaml) => calls(yaml).catch((error) => String(error.code))))`,
  );
  const expected = await Promise.all(
    plans.map((yaml) =>
      dryRun({ plan: decodePlan(utf8(yaml), "plan.yaml"), bytes: utf8(yaml), sha256: "ab".repeat(32) }).then(
        plain,
        (error: { code?: string }) => String(error.code),
      ),
    ),
  );
  for (const [i, profile] of DEVICES.entries()) expect((await inPage)[i], profile).toEqual(expected[i]);
  expect(expected.filter((calls) => typeof calls !== "string").length).toBe(3);
}

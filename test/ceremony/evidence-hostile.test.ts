/**
 * Evidence that somebody made who wants it to be believed, or to stop the verifier: a bit, a file or a field that is
 * another than it was. Some claim fails; nothing crashes.
 */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { checkClaims } from "../../src/ceremony/claims/all.ts";
import { CLAIM_IDS } from "../../src/ceremony/claims/claim.ts";
import { EVIDENCE_FILE } from "../../src/ceremony/evidence-files.ts";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { EvidenceReading } from "../../src/ceremony/evidence-reading.ts";
import { reportHtml } from "../../src/ceremony/report.ts";
import { planOf } from "../support/ceremony-plan.ts";
import {
  asEvidence,
  type PaperFiles,
  paperCeremony,
  signList,
  withOfficers,
} from "../support/paper-ceremony.ts";
import { PaperOutputs } from "../support/paper-outputs.ts";
import { paperOfficer } from "../support/signers.ts";

const officers = ["Ada", "Bela"].map(paperOfficer);
const plan = withOfficers(planOf({ sites: 3, spares: 1 }), officers, 2);
let outputs: PaperOutputs;
let honest: PaperFiles;

beforeAll(async () => {
  outputs = await new PaperOutputs(plan).prepare();
  honest = await paperCeremony(plan, officers, outputs);
});

const reading = (files: PaperFiles) =>
  new EvidenceReading(asEvidence(files), { plannedCalls: () => new Map() });
const verify = (files: PaperFiles) => failedClaims(checkClaims(reading(files)));

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[at >> 3] = (out[at >> 3] ?? 0) ^ (1 << (at & 7));
  return out;
}

function withFlip(path: string, place: number): Map<string, Uint8Array> {
  const bytes = honest.get(path) ?? utf8("");
  return new Map([...honest, [path, flipped(bytes, Math.floor(place * bytes.length * 8))]]);
}

/** Each kind of file once: of the steps, one for each action. */
function kinds(): readonly string[] {
  const kind = (path: string) => (path.startsWith("steps/") ? path.split(".")[2] : path.split("/")[0]);
  return [...new Map([...honest.keys()].map((path) => [kind(path), path])).values()];
}

describe("a flipped bit", () => {
  // Nobody signed these bytes; that alone must be enough.
  const CHEAP = CLAIM_IDS.filter((id) => id !== "files-intact" && id !== "closing-approved");

  test("in any file, at any place", () => {
    const paths = [...honest.keys()];
    for (const path of paths) {
      const failed = failedClaims(checkClaims(reading(withFlip(path, Math.random())), CHEAP));
      expect(failed, path).not.toEqual([]);
    }
    const place = fc.double({ min: 0, max: 0.999999, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...paths, EVIDENCE_FILE), place, (path, at) => {
        expect(failedClaims(checkClaims(reading(withFlip(path, at)), CHEAP))).not.toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test("in any kind of file, although the officers sign the list anew", async () => {
    for (const path of kinds().filter((one) => one !== EVIDENCE_FILE)) {
      const files = withFlip(path, Math.random());
      await signList(files, plan, officers);
      const failed = verify(files);
      expect(failed, path).not.toEqual([]);
      expect(failed, path).not.toContain("files-intact");
    }
  });
});

test("a file less fails, whichever it is", () => {
  for (const path of kinds()) {
    const files = new Map(honest);
    files.delete(path);
    expect(verify(files), path).not.toEqual([]);
  }
});

test("any bytes in any file give claims that fail, and a page that says so", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => utf8(text)),
    fc.constantFrom(...honest.values()),
  );
  fc.assert(
    fc.property(fc.constantFrom(...kinds()), bytes, (path, content) => {
      if (Buffer.compare(content, honest.get(path) ?? utf8("")) === 0) return;
      const evidence = reading(new Map([...honest, [path, content]]));
      const claims = checkClaims(evidence);
      expect(failedClaims(claims)).not.toEqual([]);
      expect(reportHtml(evidence, claims)).toContain("do not hold");
    }),
    { numRuns: 60 },
  );
});

/** One leaf of a JSON value replaced by another value of JSON. */
function withLeaf(value: unknown, leaf: number, by: unknown): unknown {
  let at = 0;
  const walk = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(walk);
    if (typeof one === "object" && one !== null)
      return Object.fromEntries(Object.entries(one).map(([name, inner]) => [name, walk(inner)]));
    at += 1;
    return at - 1 === leaf ? by : one;
  };
  return walk(value);
}

test("any value in any field of a properly signed statement is judged and never crashes", async () => {
  const actions = new Set(kinds().map((path) => path.split(".")[2] ?? ""));
  const value = fc.oneof(
    fc.constantFrom(0, -1, true, "", "ff", "00".repeat(32), "04".repeat(65), "CKR_OK", "site-x/session"),
    fc.jsonValue({ maxDepth: 1 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...actions), fc.nat(120), value, async (action, leaf, by) => {
      const files = await paperCeremony(plan, officers, outputs, {
        output: (output, step) => (step.action === action ? withLeaf(output, leaf, by) : output),
      });
      const evidence = reading(files);
      expect(reportHtml(evidence, checkClaims(evidence))).toContain("</html>");
    }),
    { numRuns: 30 },
  );
});

test("what a person wrote cannot become a part of the page", async () => {
  const files = await paperCeremony(plan, officers, outputs, {
    lines: (lines, step) =>
      step.action === "import" && step.station === "site-a"
        ? [
            ...lines,
            {
              kind: "exception",
              expected: "<script>x()</script>",
              happened: "a & b",
              decided: "<b>",
              by: "'\"",
            },
          ]
        : lines,
  });
  const evidence = reading(files);
  const page = reportHtml(evidence, checkClaims(evidence));
  expect(page).toContain("&lt;script&gt;x()&lt;/script&gt;");
  expect(page).not.toMatch(/<script|<b>|https?:\/\//);
});

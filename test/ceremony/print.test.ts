/** The script for people: the same for the same plan, safe with whatever a plan says, and fit to be printed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { afterAll, describe, expect, test } from "vitest";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { printScript } from "../../src/ceremony/script.ts";
import { stepsOf } from "../../src/ceremony/steps.ts";
import { planOf, replacement, retirement } from "../support/ceremony-plan.ts";
import { printedPage } from "../support/chromium.ts";

const folder = mkdtempSync(join(tmpdir(), "strongroom-print-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A script of a plan that was never a file. */
function scriptOf(plan: CeremonyPlan): string {
  const bytes = utf8(JSON.stringify(plan));
  return printScript({ plan, bytes, sha256: toHex(sha256(bytes)) });
}

/** What people read: without tags and style, entities as they are. */
const textOf = (script: string): string =>
  script
    .replace(/<style>.*<\/style>/s, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");

describe("the script", () => {
  test("of the example with three sites is, to the byte, the one that was read and approved", async () => {
    const script = printScript(readPlan("hsm-config/ceremonies/three-sites.yaml"));
    await expect(script).toMatchFileSnapshot("golden/three-sites.html");
  });

  test.each([
    ["a new fleet", planOf({ sites: 3 })],
    ["a fleet of one", planOf({ sites: 1, spares: 0 })],
    ["a replacement", replacement({ sites: 3 })],
    ["a retirement", retirement({ sites: 3 })],
  ])("of %s has every step once, in order", (_, plan) => {
    const ids = [...scriptOf(plan).matchAll(/<article class="step" id="s(\d+)">/g)].map(([, id]) => id);
    expect(ids).toEqual(stepsOf(plan).map(({ id }) => id.slice(0, 3)));
  });

  test("of one station has its steps alone, under the numbers that they have in the whole", () => {
    const plan = planOf({ sites: 3 });
    const file = { plan, bytes: new Uint8Array(), sha256: "ab".repeat(32) };
    const ids = [...printScript(file, "site-b").matchAll(/<article class="step" id="s(\d+)">/g)];
    const own = stepsOf(plan).filter(({ station }) => station === "site-b");
    expect(ids.map(([, id]) => id)).toEqual(own.map(({ id }) => id.slice(0, 3)));
    expect(() => printScript(file, "site-z")).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("has each expected serial number where the token is opened, and everybody who signs", () => {
    const plan = planOf({ sites: 3, spares: 1 });
    const text = textOf(scriptOf(plan));
    for (const { token } of [plan.root, ...plan.sites, ...plan.spares])
      expect(text).toContain(`on the device and on the screen is ${token.serial}`);
    for (const { name } of plan.officers.members) expect(text).toContain(`officer ${name}`);
  });

  test("says on every page that a rehearsal is one, and in production never", () => {
    const rehearsal = scriptOf(planOf({ sites: 1 }, { mode: "rehearsal" }));
    expect(rehearsal).toContain('@top-left { content: "REHEARSAL - demo');
    expect(rehearsal).toContain("<title>REHEARSAL: ");
    expect(scriptOf(planOf({ sites: 1 }))).not.toContain("REHEARSAL");
  });

  test("says what becomes of the security officers' PINs as the plan does", () => {
    const destroyed = textOf(scriptOf(planOf({ sites: 1 }, { credentials: { soPin: "destroy" } })));
    expect(destroyed).toContain("replaced by a random one");
    expect(destroyed).not.toContain("envelope no.");
    expect(textOf(scriptOf(planOf({ sites: 1 })))).toContain("Dora: envelope no.");
  });

  test("shows what a plan says as text, whatever it says", () => {
    const nasty = `"><script>alert('1')</script><img src=https://elsewhere.example>&amp;`;
    const plan = planOf({ sites: 1 });
    const script = scriptOf({
      ...plan,
      title: nasty,
      auditor: { name: nasty },
      root: { ...plan.root, location: nasty },
      officers: { quorum: 1, members: plan.officers.members.map((one) => ({ ...one, name: nasty })) },
      credentials: { soPin: "split", quorum: 2, custodians: [nasty, "Dora"] },
      softwareTokensAccepted: nasty,
    });
    expect(script).not.toMatch(/<(?:script|img|link|iframe)/i);
    expect(script).toContain("&quot;&gt;&lt;script&gt;");
    expect(script).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  });
});

test("a browser prints it on A4 with nothing cut off, and loads nothing else", async () => {
  const long = "an-extraordinarily-long-name-of-sixty-three-characters-for-site-";
  const plan = planOf({ sites: 3 });
  const file = join(folder, "script.html");
  const sites = plan.sites.map((site, i) => ({
    ...site,
    name: `${long.slice(0, 61)}${i}`,
    location: "W".repeat(200),
  }));
  const spares = plan.spares.map((spare, i) => ({ ...spare, for: sites[i]?.name ?? "" }));
  writeFileSync(file, scriptOf({ ...plan, sites, spares }));
  const { sheets, overflowing, requests, pdf } = await printedPage(file);
  expect(overflowing).toEqual([]);
  expect(requests).toEqual([`file://${file}`]);
  expect(sheets).toBeGreaterThan(10);
  expect(sheets).toBeLessThan(60);
  expect(Buffer.from(pdf.subarray(0, 5)).toString()).toBe("%PDF-");
});

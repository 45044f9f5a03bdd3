/**
 * The verification page as a browser shows it: what is well, each refusal with its own reason in plain words, what it
 * remembers, and that it stays within its policy and asks nobody else.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { copyEvidence } from "../../src/ceremony/evidence-build.ts";
import { readEvidenceFiles } from "../../src/ceremony/evidence-folder.ts";
import { openEvidence } from "../../src/ceremony/evidence-statement.ts";
import { rehearse } from "../../src/ceremony/rehearse.ts";
import { encodePins, type Pins } from "../../src/trust/pins.ts";
import { REFUSALS, type Refusal } from "../../src/trust/refusal.ts";
import { PLAIN_WORDS } from "../../src/web/words.ts";
import type { AnnouncedFleet } from "../../src/wire/announcement.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { type BrowserPage, withChromium } from "../support/chromium.ts";
import { FixtureLog, fixtureFleet, type Tampering, tampered } from "../support/log-fixture.ts";
import { type PageServer, servePage } from "../support/page-server.ts";

const home = mkdtempSync(join(tmpdir(), "verification-page-"));
const evidenceDir = join(home, "published");
let server: PageServer;
let rehearsed: AnnouncedFleet;
let log: FixtureLog;

beforeAll(async () => {
  const dir = join(home, "rehearsal");
  await rehearse({ plan: planOf({ sites: 1, spares: 0 }, { fleet: "fleet-2" }), planDir: home, dir });
  copyEvidence(dir, evidenceDir);
  const manifest = readFileSync(join(evidenceDir, "manifest.json"));
  const list = openEvidence(readFileSync(join(evidenceDir, "evidence.dsse.json")));
  rehearsed = {
    status: "active",
    manifest: decodeManifest(manifest),
    manifestSha256: sha256HexOf(manifest),
    evidenceSha256: sha256HexOf(list.envelope.payload),
  };
  log = await FixtureLog.of(2, { witnesses: 1 });
  const old = { ...log.newest.announcement.fleets[0], status: "draining" } as AnnouncedFleet;
  await log.add({ fleets: [rehearsed, old] });
  const files = [...readEvidenceFiles(evidenceDir).keys()];
  log.addEvidence(
    rehearsed.evidenceSha256 ?? "",
    new Map(files.map((path) => [path, readFileSync(join(evidenceDir, path))])),
  );
  server = await servePage();
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true });
});

const pinsText = (pins: Pins): string => Buffer.from(encodePins(pins)).toString();
const textOf = (page: BrowserPage, selector: string): Promise<string> =>
  page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
const settled = (page: BrowserPage, id = "verdict"): Promise<void> =>
  page.until(`document.getElementById("${id}").getAttribute("aria-busy") === "false"`);

async function open(page: BrowserPage, shown: FixtureLog | ReadonlyMap<string, Uint8Array>): Promise<void> {
  const namespaces = Buffer.from(JSON.stringify({ namespaces: [{ name: log.namespace }] }));
  server.serve(new Map(shown instanceof FixtureLog ? shown.files() : shown).set("namespaces", namespaces));
  await page.open(server.url);
  await settled(page);
}

async function pin(page: BrowserPage, pins: Pins): Promise<void> {
  await page.evaluate(`(() => {
    document.querySelector("#trust-panel form") ?? document.querySelector("#trust-panel button").click();
    document.getElementById("pins-text").value = ${JSON.stringify(pinsText(pins))};
    document.querySelector("#trust-panel form").requestSubmit();
  })()`);
  await settled(page);
}

/** Forgets pins and all that was seen. */
const forget = (page: BrowserPage): Promise<unknown> => page.evaluate("localStorage.clear()");

async function drop(page: BrowserPage, name: string, bytes: Uint8Array | string): Promise<void> {
  const path = join(home, "dropped", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  await dropPath(page, path);
}
async function dropPath(page: BrowserPage, path: string): Promise<void> {
  await page.evaluate(`document.getElementById("checked").removeAttribute("aria-busy")`);
  await page.drop("#drop", [path]);
  await settled(page, "checked");
}

/** Says that it is refused for that reason, in its own words, and what to do. */
async function expectRefusal(page: BrowserPage, place: string, refusal: Refusal): Promise<void> {
  const found = await page.evaluate<readonly string[]>(
    `[...document.querySelectorAll("${place} .banner[data-refusal]")].map((one) => one.dataset.refusal)`,
  );
  expect(found, `${place}: ${await textOf(page, place)}`).toEqual([refusal]);
  const text = await textOf(page, `${place} [data-refusal]`);
  const { title, meaning, todo } = PLAIN_WORDS[refusal];
  expect(text.toLowerCase()).toContain(title.toLowerCase());
  expect(text).toContain(meaning);
  expect(text).toContain(todo);
}

test("every refusal has words of its own", () => {
  const all = Object.values(PLAIN_WORDS);
  expect(Object.keys(PLAIN_WORDS).sort()).toEqual(Object.keys(REFUSALS).sort());
  for (const part of ["title", "meaning"] as const)
    expect(new Set(all.map((words) => words[part])).size).toBe(all.length);
});

test("in a browser", async () => {
  await withChromium(async (page) => {
    await page.look({});
    await withoutPins(page);
    await byKeyboard(page);
    await withPins(page);
    await droppedBundles(page);
    await droppedEvidence(page);
    await servedLies(page);
    await mirror(page);
    expect(page.complaints).toEqual([]);
    const others = page.requests.filter(
      (url) => !url.startsWith(server.url) && !/^(?:data|blob|about):/.test(url),
    );
    expect(others).toEqual([]);
  });
});

async function withoutPins(page: BrowserPage): Promise<void> {
  await open(page, log);
  expect(await textOf(page, "#verdict")).toContain("Nothing is verified against a pin");
  expect(await page.evaluate(`document.querySelectorAll("#verdict .banner.good").length`)).toBe(0);
  await drop(page, "genuine.json", log.newest.bytes);
  expect(await textOf(page, "#checked")).toContain("not verified against a pin");
  await drop(page, "pins.json", "{}");
  expect(await textOf(page, "#checked")).toContain("this is not an announcement");
  await page.evaluate(`document.querySelector("#trust-panel form").requestSubmit()`);
  expect(await textOf(page, "#pins-problem")).toContain("These are no pins");
}

/** Taking pins and forgetting them leaves the keyboard where it was: in the panel. */
async function byKeyboard(page: BrowserPage): Promise<void> {
  const focused = (): Promise<string> =>
    page.evaluate(`document.activeElement.closest("#trust-panel") && document.activeElement.tagName`);
  await page.evaluate(`(() => {
    document.getElementById("pins-text").value = ${JSON.stringify(pinsText(log.pins))};
    document.querySelector("#trust-panel form button").focus();
  })()`);
  await page.press("Enter");
  expect(await focused()).toBe("SUMMARY");
  await settled(page);
  await page.press("Tab");
  expect(await focused()).toBe("BUTTON");
  await page.press("Enter");
  expect(await focused()).toBe("TEXTAREA");
  await settled(page);
}

async function withPins(page: BrowserPage): Promise<void> {
  await drop(page, "pins.json", pinsText(log.pins));
  await settled(page);
  const verdict = await textOf(page, "#verdict");
  expect(verdict).toContain("Everything checks out");
  expect(verdict).toContain("New backups go to the fleet fleet-2");
  expect(verdict).toContain("1 independent witness has seen the same record");
  const policy = await page.evaluate(`document.querySelector("#verdict a[href$='policy.json']").href`);
  expect(policy).toBe(`${server.url}log/${log.namespace}/policy.json`);
  const timeline = await textOf(page, ".timeline");
  expect(timeline).toContain("fleet-1 is new, with 3 sites");
  expect(timeline).toContain("fleet-1 is now being emptied");
  expect(await page.evaluate(`document.querySelectorAll(".timeline > li.good").length`)).toBe(3);
  for (const look of [{ width: 360 }, { width: 1600 }, { width: 360, dark: true }]) {
    await page.look(look);
    const wide = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
    expect(wide, JSON.stringify(look)).toBeLessThanOrEqual(0);
  }
  await page.look({});
  // The published evidence of a fleet: judged here, and what the command says.
  await page.evaluate(`document.querySelector("article.fleet button").click()`);
  await page.until(`document.querySelector("article.fleet .report")`);
  expect(await textOf(page, "article.fleet .banner")).toContain(
    "This is the evidence of fleet-2: a rehearsal",
  );
  const report = await page.evaluate<string>(`document.querySelector(".report").shadowRoot.textContent`);
  expect(report).toContain("REHEARSAL: all 25 claims hold.");
}

const BUNDLES: readonly Tampering[] = [
  "malformed",
  "wrong-namespace",
  "wrong-auditor-key",
  "bad-auditor-signature",
  "wrong-operator-key",
  "bad-countersignature",
  "manifest-changed",
  "wrong-log-key",
  "unlogged",
  "too-few-witnesses",
  "older-epoch",
  "not-yet-valid",
  "forked-log",
  "equivocation",
  "broken-chain",
  // Genuine, and remembered as the newest: last.
  "expired",
];

/** Each by one bundle that somebody sent, after the genuine log was seen. */
async function droppedBundles(page: BrowserPage): Promise<void> {
  await drop(page, "genuine.json", log.newest.bytes);
  expect(await textOf(page, "#checked")).toContain("genuine.json is genuine");
  for (const refusal of BUNDLES) {
    await drop(page, `${refusal}.json`, await tampered(log, refusal));
    await expectRefusal(page, "#checked", refusal);
  }
  // What proves a lie is kept over a reload.
  await open(page, log);
  expect(await textOf(page, "#verdict")).toContain("This browser has proof that somebody lied");
  await forget(page);
  await open(page, log);
  await pin(page, { ...log.pins, minimumEpoch: 3 });
  await drop(page, "below-minimum.json", log.epoch(1).bytes);
  await expectRefusal(page, "#checked", "below-minimum");
}

async function droppedEvidence(page: BrowserPage): Promise<void> {
  await dropPath(page, evidenceDir);
  expect(await textOf(page, "#checked .banner")).toContain("This is the evidence of fleet-2: a rehearsal");
  const changed = join(home, "changed");
  copyEvidence(evidenceDir, changed);
  const transcript = join(changed, "transcripts", "root.jsonl");
  writeFileSync(transcript, readFileSync(transcript, "utf8").replace("C_Login", "C_Logim"));
  await dropPath(page, changed);
  await expectRefusal(page, "#checked", "evidence-mismatch");
  expect(await textOf(page, "#checked .terms")).toContain("transcript-intact");
  // Of a fleet that is announced under its hashes, with a key of somebody else.
  const swapped = await FixtureLog.of(1);
  const [first, ...rest] = rehearsed.manifest.keys;
  const publicKey = `04${"ab".repeat(64)}`;
  const manifest = { ...rehearsed.manifest, keys: first ? [{ ...first, publicKey }, ...rest] : [] };
  await swapped.add({ fleets: [{ ...rehearsed, manifest }] });
  await forget(page);
  await open(page, swapped);
  await dropPath(page, evidenceDir);
  await expectRefusal(page, "#checked", "evidence-mismatch");
  // Of a fleet that nobody announced.
  const other = await FixtureLog.of(1);
  await forget(page);
  await open(page, other);
  await dropPath(page, evidenceDir);
  await expectRefusal(page, "#checked", "evidence-mismatch");
}

/** What the site itself shows. */
async function servedLies(page: BrowserPage): Promise<void> {
  await forget(page);
  await open(page, log);
  await pin(page, log.pins);
  const fork = log.fork(2);
  await fork.add({ fleets: [fixtureFleet("fleet-9")] });
  await open(page, fork);
  await expectRefusal(page, "#verdict", "equivocation");
  expect(await textOf(page, "#fleets")).toContain("the last one that could be verified");
  expect(await textOf(page, "#verdict")).toContain("This browser has proof that somebody lied");
  await open(page, log.fork(2));
  await expectRefusal(page, "#verdict", "older-epoch");
  const gap = new Map(log.files());
  gap.delete(`log/${log.namespace}/bundles/2.json`);
  await open(page, gap);
  await expectRefusal(page, "#verdict", "unlogged");
  // Evidence that is named and not shown: this script's errors are not the page's.
  const hidden = [...log.files()].filter(([path]) => !path.includes("/evidence/"));
  await open(page, new Map(hidden));
  await page.evaluate(`document.querySelector("article.fleet button").click()`);
  await page.until(`document.querySelector("article.fleet .banner")`);
  await expectRefusal(page, "article.fleet", "evidence-mismatch");
  expect(await textOf(page, "article.fleet .terms")).toContain("not published");
  const stale = await FixtureLog.of(1);
  await stale.add({ change: { createdAt: Date.now() - 9e8, validUntil: Date.now() - 1000 } });
  await forget(page);
  await open(page, stale);
  await pin(page, stale.pins);
  await expectRefusal(page, "#verdict", "expired");
}

/** A folder in the hand is as good as a server. */
async function mirror(page: BrowserPage): Promise<void> {
  const dir = join(home, "mirror");
  log.write(dir);
  await forget(page);
  await open(page, new Map());
  expect(await textOf(page, "#verdict")).toContain("Nothing was announced here");
  await pin(page, log.pins);
  await dropPath(page, dir);
  await settled(page);
  expect(await textOf(page, "#verdict")).toContain("Everything checks out");
  expect(await textOf(page, "#verdict")).not.toContain("policy");
}

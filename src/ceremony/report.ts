/**
 * The evidence of a ceremony as one page, for people who never saw one: what is proved, by whom, and what is only said.
 * It loads nothing and runs nothing, and decides nothing: every sentence of it is a claim's, or a file's.
 */
import { fromHex } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { ACTIONS_TEXT } from "./actions-text.ts";
import type { Claim } from "./claims/claim.ts";
import { summarise, verdict } from "./claims/summary.ts";
import type { EvidenceReading } from "./evidence-reading.ts";
import { type CeremonyPlan, ROOT } from "./plan.ts";
import { holdersOf } from "./plan-holders.ts";
import { claimsHtml, sourcesHtml } from "./report-claims.ts";
import { holdersPicture } from "./report-picture.ts";
import { REPORT_STYLE } from "./report-style.ts";
import { grid, Html, html, wordList } from "./script-html.ts";
import type { StepStatement } from "./statement.ts";
import { fingerprintWords, wordsOf } from "./words.ts";

const KINDS: Readonly<Record<CeremonyPlan["kind"], string>> = {
  create: "A new fleet was made",
  replace: "A spare took the place of a site's token",
  retire: "A site left the fleet",
};

/** Undefined for what cannot be read; the claims say why. */
function known<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

function head(plan: CeremonyPlan | undefined, claims: readonly Claim[]): Html {
  const failed = summarise(claims).filter(({ ok }) => !ok);
  const rehearsal =
    plan?.mode === "rehearsal"
      ? html`<p class="rehearsal" role="note"><strong>REHEARSAL</strong>It shows that the plan works. It says nothing about any
fleet in production, and its keys must protect nothing.</p>\n`
      : html``;
  const links = failed.map(({ id }) => html`<a href="#${id}">${id}</a> `);
  const which = failed.length === 0 ? html`` : html`<p>These do not hold: ${links}</p>\n`;
  const about = plan
    ? html`<h1>${plan.title}</h1>
<p class="soft">${KINDS[plan.kind]}. Fleet <strong>${plan.fleet}</strong>, ${plan.date}: ${plan.sites.length} sites, of which
${plan.threshold} together can evaluate; ${plan.spares.length} spare tokens.</p>\n`
    : html`<h1>Evidence of a ceremony whose plan cannot be read</h1>\n`;
  const said = verdict(claims, plan?.mode);
  return html`${rehearsal}${about}
<p class="verdict ${failed.length === 0 ? "good" : "bad"}">${said.charAt(0).toUpperCase()}${said.slice(1)}</p>\n${which}`;
}

function introduction(claims: readonly Claim[]): Html {
  return html`<h2>What this page is</h2>
<p>A key ceremony makes the keys of a vault inside tamper-resistant devices (tokens), in front of people, by a plan that was
fixed before. What it left behind is in this folder. Each sentence below was checked against the files; beside it stands
on what the answer rests:</p>\n${sourcesHtml(claims)}`;
}

/** What nothing in the folder can vouch for: it has to be compared with what was published elsewhere. */
function comparisons(reading: EvidenceReading): Html {
  const plan = known(() => reading.planHash);
  const root = known(() => reading.keyOf(ROOT));
  const manifest = reading.files.get("manifest.json")?.sha256;
  const row = (what: string, hash: string, words: string): Html =>
    html`<div class="card"><h3>${what}</h3><p class="hash">${hash.replace(/(.{8})(?=.)/g, "$1 ")}</p>${wordList(words)}</div>\n`;
  return html`<h2>Compare this yourself</h2>
<p>Evidence cannot vouch for its own plan or its own root. Compare these values with what the officers published, or had
printed, by another way.</p>
${plan === undefined ? html`` : row("The plan (SHA-256)", plan, wordsOf(fromHex(plan)))}
${root === undefined ? html`` : row("The root's public key (SHA-256)", sha256HexOf(root), fingerprintWords(root))}
${manifest === undefined ? html`` : row("The manifest that clients will trust (SHA-256)", manifest, wordsOf(fromHex(manifest)))}`;
}

function holders(plan: CeremonyPlan, claims: readonly Claim[]): Html {
  const failed = claims.some(({ id, ok }) => id === "holders" && !ok);
  const warning = failed
    ? html`<p class="verdict bad">This is what was planned. It is not so: see <a href="#holders">holders</a>.</p>\n`
    : html``;
  return html`<h2>Who holds what</h2>
<p>A full dot: the token has the keys. An empty one: it never had them and never can. Every account's secret is split over the
shares; ${plan.threshold} of ${plan.sites.length} sites have all of them between them, fewer lack one. A spare has what its site has.</p>
${warning}${holdersPicture(plan)}
<details><summary>The same in words</summary><div class="scroll">${grid(
    "Holders of the fleet's keys",
    ["keys", "made at", "held by", "never at"],
    holdersOf(plan).map(({ what, keys, origin, holders: by, without }) => [
      `${what}: ${keys.join(", ")}`,
      origin,
      by.join(", "),
      without.length === 0 ? "–" : without.join(", "),
    ]),
  )}</div></details>\n`;
}

function fleetKeys(reading: EvidenceReading): Html {
  const manifest = known(() => reading.manifest);
  if (!manifest) return html``;
  return html`<h2>The public keys of the fleet</h2>
<p>From the manifest. Clients seal what they send to session keys and verify the sites by them; an identity key signs what its
site says; the ake key is the fleet's side of each login.</p>
<div class="scroll">${grid(
    `${manifest.keys.length} keys; ${manifest.policy.maxAttempts} wrong codes destroy a record`,
    ["key", "site", "key id"],
    manifest.keys.map(({ role, site, kid }) => [role, site ?? "all sites", kid]),
  )}</div>
<details><summary>Points, in full</summary><ul class="findings">${manifest.keys.map(
    ({ role, site, publicKey }) =>
      html`<li>${role}${site === undefined ? "" : ` of ${site}`}: <span class="hash">${publicKey}</span></li>\n`,
  )}</ul></details>\n`;
}

/** Steps of one kind that follow each other, as one entry. */
function chapters(statements: readonly StepStatement[]): readonly (readonly StepStatement[])[] {
  const all: StepStatement[][] = [];
  for (const statement of statements) {
    const last = all.at(-1);
    if (last?.[0]?.action === statement.action) last.push(statement);
    else all.push([statement]);
  }
  return all;
}

const clock = (time: number): string => new Date(time).toISOString().slice(0, 16).replace("T", " ");

function timeline(reading: EvidenceReading): Html {
  const statements = known(() => reading.steps.map(({ id }) => reading.statement(id)));
  if (!statements) return html``;
  const rows = chapters(statements).map((group) => {
    const times = group.map(({ time }) => time);
    const [first, last] = [clock(Math.min(...times)), clock(Math.max(...times))];
    const { title, explanation, destructive } = ACTIONS_TEXT[group[0]?.action ?? "open"];
    const until = first === last ? "" : ` – ${last.slice(first.slice(0, 10) === last.slice(0, 10) ? 11 : 0)}`;
    return html`<tr><td class="time">${first}${until}</td><th scope="row">${title}${destructive ? " (cannot be undone)" : ""}</th>
<td>${group.map(({ station }) => station).join(", ")}</td><td class="soft">${explanation}</td></tr>\n`;
  });
  return html`<h2>What was done</h2>
<div class="scroll"><table><caption>${statements.length} steps, by the clocks of the stations (UTC)</caption>
<thead><tr><th scope="col">when</th><th scope="col">what</th><th scope="col">where</th><th scope="col">why</th></tr></thead>
<tbody>${rows}</tbody></table></div>\n`;
}

function exceptions(claims: readonly Claim[]): Html {
  const found = claims.filter(({ id }) => id === "exceptions");
  const items = found.map(
    ({ ok, station, detail }) =>
      html`<li${ok ? html`` : html` class="bad"`}>${station === undefined ? "" : `${station}: `}${detail}</li>\n`,
  );
  return html`<h2>What went otherwise than planned</h2>\n<ul class="findings">${items}</ul>\n`;
}

function files({ files: all }: EvidenceReading): Html {
  const rows = [...all].map(([path, { sha256, size }]) => [path, `${size}`, sha256]);
  return html`<h2>Files</h2>
<details><summary>${all.size} files with their digests</summary><div class="scroll">${grid("", ["file", "bytes", "SHA-256"], rows)}</div></details>
<p>To check all of this again: <code>strongroom evidence verify</code> with the folder's name, and with
<code>--expect-plan</code> and the plan's SHA-256 as it was published.</p>\n`;
}

/** The page as UTF-8 text. @param claims what `checkClaims` said of the same reading */
export function reportHtml(reading: EvidenceReading, claims: readonly Claim[]): string {
  const plan = known(() => reading.plan);
  const title = `${plan?.mode === "rehearsal" ? "REHEARSAL: " : ""}evidence of ${plan?.title ?? "a ceremony"}`;
  return html`${new Html("<!doctype html>")}
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title><style>${new Html(REPORT_STYLE)}</style></head><body>
<header>${head(plan, claims)}</header>
<main>${introduction(claims)}${comparisons(reading)}${plan ? holders(plan, claims) : html``}
${claimsHtml(claims)}${exceptions(claims)}${fleetKeys(reading)}${timeline(reading)}${files(reading)}</main>
</body></html>\n`.text;
}

/**
 * The script of a ceremony: one HTML file that people print, follow and annotate. It follows from the plan alone, to
 * the byte, so that anybody can print the same; it loads nothing and runs nothing.
 */
import { fromHex } from "../base/bytes.ts";
import type { CeremonyPlan } from "./plan.ts";
import { tokensOf } from "./plan-check.ts";
import type { PlanFile } from "./plan-file.ts";
import { holdersOf } from "./plan-holders.ts";
import { duration, timesOf } from "./plan-times.ts";
import { planWarnings } from "./plan-warnings.ts";
import { blank, grid, Html, html, tick, wordList } from "./script-html.ts";
import { ranges, stepChapters } from "./script-steps.ts";
import { scriptStyle } from "./script-style.ts";
import { type CeremonyStep, stepsAt, stepsOf } from "./steps.ts";
import { wordsOf } from "./words.ts";

const KINDS: Readonly<Record<CeremonyPlan["kind"], string>> = {
  create: "A new fleet is made.",
  replace: "A spare takes the place of a site's token.",
  retire: "A site leaves the fleet.",
};

/** For when something is not as it should be, which it will be at some time. */
const EXCEPTION_SHEETS = 3;

function cover({ plan, sha256 }: PlanFile, steps: readonly CeremonyStep[]): Html {
  const { oneTeam, atOnce } = timesOf(steps);
  return html`<h1>${plan.title}</h1>
<p>${KINDS[plan.kind]} Fleet <strong>${plan.fleet}</strong>, ${plan.date}. ${steps.length} steps:
${duration(oneTeam)} with one team, ${duration(atOnce)} with people at all stations at once.</p>
<section class="lead"><h2>The plan that this script follows</h2>
<p>SHA-256 of the file <code>plan.yaml</code>. At each station one officer reads the words from the screen, another
follows them here. If one differs, the ceremony does not begin.</p>
<p class="hash">${sha256.replace(/(.{8})(?=.)/g, "$1 ")}</p>
${wordList(wordsOf(fromHex(sha256)))}
${tick(`The officers have approved this plan with their signatures: ${plan.officers.quorum} of ${plan.officers.members.length}`)}
</section>
${grid(
  "The fleet",
  ["what", "value"],
  [
    ["sites", String(plan.sites.length)],
    ["take part in each evaluation", String(plan.threshold)],
    ["recovery attempts", String(plan.maxAttempts)],
    ["spares", String(plan.spares.length)],
    ["software", `${plan.software.release}, digest ${plan.software.digest}`],
    ["auditor", plan.auditor?.name ?? "none"],
  ],
)}
<section><h2>What to know before</h2>
${planWarnings(plan).map((warning) => html`<p class="warning">${warning}</p>\n`)}</section>`;
}

function people({ officers, credentials, auditor }: CeremonyPlan): Html {
  const rows = [
    ...officers.members.map(({ name }) => ["officer", name]),
    ...(credentials.soPin === "split" ? credentials.custodians.map((name) => ["custodian", name]) : []),
    ...(auditor ? [["auditor", auditor.name]] : []),
    ["operator", undefined],
    ["security officer", undefined],
    ["witness", undefined],
  ].map(([role, name]) => [role, name, undefined, undefined]);
  return html`<section class="page"><h2>Roles</h2>
<ul>
<li><strong>Operator</strong>: sits at the computer, enters the user PIN, does only what the script says.</li>
<li><strong>Security officer</strong>: enters the token's security officer's PIN, and nobody else does.</li>
<li><strong>Officers</strong>: compare and decide. They approve the plan before and sign the evidence after.</li>
<li><strong>Custodians</strong>: each keeps one share of a PIN and never lays it next to another.</li>
<li><strong>Witness</strong>: writes times and initials into this script, and says when it is not followed.</li>
</ul>
<div class="signing">${grid("Who is here", ["role", "name", "identity seen by", "signature"], rows)}</div></section>`;
}

function materials(plan: CeremonyPlan): Html {
  const places = new Map([...plan.sites, ...plan.spares].map(({ name, location }) => [name, location]));
  const rows = tokensOf(plan).map(([name, { serial, profile }]) => [
    name,
    serial ?? "any",
    profile,
    (name === "root" ? plan.root.location : places.get(name)) ?? "",
    undefined,
  ]);
  return html`<section><h2>Materials</h2>
${grid("Tokens", ["station", "serial number", "profile", "where", "seal no."], rows)}
${tick("At each station: a computer without a network, with the software of the plan and nothing else")}
${tick("At each station: this script on paper, pens, a clock that shows UTC")}
${tick("Media that carry files between stations, empty and numbered")}
${tick("Tamper-evident bags and envelopes, numbered; a shredder; a camera for photographs of seals and devices")}
</section>
<section><h2>Rules</h2>
<ul>
<li>One step at a time, in the order of the script. Stations that do not wait for each other may go on.</li>
<li>Each line is done before its box is ticked. No box is ticked later.</li>
<li>Words are compared aloud and to the last. A word that differs stops the ceremony.</li>
<li>No PIN is written into this script, said aloud or shown to a camera.</li>
<li>Whatever is not as it should be goes on an exception sheet: what was expected, what happened, what was decided. The
program asks for the same.</li>
<li>After a loss of power the program goes on where it was. A step that cannot be undone is never done twice.</li>
</ul></section>`;
}

function overview(plan: CeremonyPlan, steps: readonly CeremonyStep[]): Html {
  const place = new Map(steps.map(({ id }, i) => [id, i + 1]));
  return html`<section class="page"><h2>Who holds what</h2>
${grid(
  "Keys of the fleet",
  ["keys", "made at", "held by", "never at"],
  holdersOf(plan).map(({ what, origin, holders, without }) => [
    what,
    origin,
    holders.join(", "),
    without.length > 0 ? without.join(", ") : "–",
  ]),
)}</section>
<section><h2>Stations</h2>
${grid(
  "Steps and times",
  ["station", "steps", "time"],
  timesOf(steps).stations.map(({ station, steps: own, minutes }) => [
    station,
    ranges(own.map(({ id }) => place.get(id) ?? 0)),
    duration(minutes),
  ]),
)}</section>`;
}

function closing({ officers, auditor }: CeremonyPlan): Html {
  const signers = [
    ...officers.members.map(({ name }) => ["officer", name]),
    ...(auditor ? [["auditor", auditor.name]] : []),
    ["operator", undefined],
    ["witness", undefined],
  ].map(([role, name]) => [role, name, undefined, undefined]);
  return html`<section class="page"><h2>Closing</h2>
${tick("Each station's transcript is closed, and its last line is written down above")}
${tick("Tokens are in bags; seal numbers are written below")}
${tick("Photographs and scans of this script are in the folder attachments")}
${tick("Officers have signed the evidence, and it was verified on another computer")}
<div class="fill">${blank("exception sheets used")}${blank("seal numbers", "wide")}${blank("evidence file, SHA-256, first 16 digits", "wide")}</div>
<div class="signing">${grid("This script was followed; deviations are on the exception sheets", ["role", "name", "date and time (UTC)", "signature"], signers)}</div></section>`;
}

function exceptionSheet(number: number): Html {
  const lines = (label: string): Html => html`<div class="lines"><span class="label">${label}</span></div>\n`;
  return html`<section class="sheet"><h2>Exception sheet ${number}</h2>
<div class="fill">${blank("step")}${blank("station")}${blank("time (UTC)")}</div>
${lines("What was expected")}${lines("What happened")}${lines("What was decided, and why")}
<div class="signing">${grid(
    "Who decided, and who saw it",
    ["role", "name", "signature"],
    [
      ["officer", undefined, undefined],
      ["officer", undefined, undefined],
      ["witness", undefined, undefined],
    ],
  )}</div>
</section>\n`;
}

/**
 * @param file a plan that `checkPlan` has passed
 * @param station whose steps alone are printed; all without it
 * @returns the HTML file; the same for the same bytes
 * @throws usage for a station that takes no step
 */
export function printScript(file: PlanFile, station?: string): string {
  const { plan, sha256 } = file;
  const steps = stepsOf(plan);
  const own = stepsAt(steps, station);
  const rehearsal = plan.mode === "rehearsal";
  const mark = `${rehearsal ? "REHEARSAL - " : ""}${plan.fleet} - plan ${sha256.slice(0, 16)}${station === undefined ? "" : ` - ${station}`}`;
  const sheets = Array.from({ length: EXCEPTION_SHEETS }, (_, i) => exceptionSheet(i + 1));
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${rehearsal ? "REHEARSAL: " : ""}${plan.title}</title>
<style>${new Html(scriptStyle(mark))}</style>
</head>
<body>
<main>
${rehearsal ? html`<p class="rehearsal">REHEARSAL: nothing that is made here may serve anybody</p>` : ""}
${cover(file, steps)}
${station === undefined ? "" : html`<p class="destructive">This copy has the steps of ${station} only.</p>`}
${people(plan)}
${materials(plan)}
${overview(plan, steps)}
<div class="page">${stepChapters(plan, steps, own)}</div>
${closing(plan)}
${sheets}
</main>
</body>
</html>
`.text;
}

/** The claims of a report, by what they are about. */
import type { Claim, ClaimId, ClaimSource } from "./claims/claim.ts";
import { type ClaimSummary, type SameFindings, sameFindings, summarise } from "./claims/summary.ts";
import { type Html, html } from "./script-html.ts";

const GROUPS: readonly (readonly [string, readonly ClaimId[]])[] = [
  [
    "The plan, and the people who approved it",
    ["plan-possible", "plan-fixed", "plan-approved", "mode", "closing-approved"],
  ],
  [
    "The record: complete and unchanged",
    [
      "files-intact",
      "statements-signed",
      "statements-linked",
      "transcript-intact",
      "transcript-follows-plan",
      "exceptions",
      "closed",
      "attachments",
    ],
  ],
  [
    "The stations, their devices and their software",
    ["sites", "devices", "software", "certificates", "credentials"],
  ],
  ["The keys", ["possession", "holders", "attributes", "refusals", "inventory", "sealed"]],
  ["What clients will trust", ["predecessor", "manifest", "change"]],
];

/** What each source is worth, for somebody who reads it for the first time. */
const SOURCES: Readonly<Record<ClaimSource, { readonly name: string; readonly meaning: string }>> = {
  proved: {
    name: "proved",
    meaning: "Follows from signatures and arithmetic on the files. Anybody can repeat it, with any software.",
  },
  "vendor-attested": {
    name: "vendor-attested",
    meaning: "The maker of a device signed it, and the signature was verified.",
  },
  "library-reported": {
    name: "reported by the library",
    meaning:
      "The token's own software said so to the tool, and the station's key signed what the tool wrote down. As good as both of them.",
  },
  "officer-stated": {
    name: "stated by people",
    meaning: "People said so. The files show that they did, not that it is true.",
  },
};

const SHOWN = 3;

function badge(source: ClaimSource): Html {
  return html`<span class="badge ${source}">${SOURCES[source].name}</span> `;
}

function finding({ about, ok, detail }: SameFindings): Html {
  const head = about === "" ? html`` : html`<strong>${about}</strong>: `;
  return html`<li${ok ? html`` : html` class="bad"`}>${head}${detail}</li>\n`;
}

function claim({ id, title, ok, sources, findings }: ClaimSummary): Html {
  const all = sameFindings(findings);
  const shown = all.length <= SHOWN ? all : all.filter((one) => !one.ok);
  const rest = all.filter((one) => !shown.includes(one));
  const more =
    rest.length === 0
      ? html``
      : html`<details><summary>${rest.length} answers, all well</summary><ul class="findings">${rest.map(finding)}</ul></details>`;
  return html`<li id="${id}"><span class="mark ${ok ? "good" : "bad"}">${ok ? "✓ holds" : "✗ FAILED"}</span>
<div><h3>${title}</h3><div>${sources.map(badge)}<span class="claim-id">${id}</span></div>
<ul class="findings">${shown.map(finding)}</ul>${more}</div></li>\n`;
}

export function claimsHtml(claims: readonly Claim[]): Html {
  const all = summarise(claims);
  return html`${GROUPS.map(([heading, ids]) => {
    const own = ids.flatMap((id) => all.filter((one) => one.id === id));
    return own.length === 0 ? html`` : html`<h2>${heading}</h2>\n<ul class="claims">${own.map(claim)}</ul>\n`;
  })}`;
}

/** What the words at the claims mean. */
export function sourcesHtml(claims: readonly Claim[]): Html {
  const all = summarise(claims);
  return html`<dl class="facts">${(Object.keys(SOURCES) as ClaimSource[]).map((source) => {
    const count = all.filter(({ sources }) => sources.includes(source)).length;
    const many = count === 0 ? "none here" : count === 1 ? "one claim" : `${count} claims`;
    return html`<dt>${badge(source)}</dt><dd>${SOURCES[source].meaning} <span class="soft">(${many})</span></dd>\n`;
  })}</dl>`;
}

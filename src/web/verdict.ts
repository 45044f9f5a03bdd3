/** The headline: what a visitor has to know, in one sentence, and what was checked to be able to say it. */
import { fromUtf8 } from "../base/bytes.ts";
import { type Contradiction, contradictionName, encodeContradiction } from "../trust/contradiction.ts";
import type { Misbehaviour } from "../trust/state.ts";
import { h, moment } from "./dom.ts";
import type { LogView, Refused } from "./read-log.ts";
import { PLAIN_WORDS } from "./words.ts";

export type Tone = "good" | "note" | "bad";

/** A headline with its colour, which says nothing that the words do not say too. */
export function banner(tone: Tone, title: string, ...text: readonly (Node | string)[]): HTMLElement {
  const mark = { good: "✓", note: "!", bad: "✗" }[tone];
  return h(
    "div",
    { class: `banner ${tone}` },
    h("span", { class: "mark", "aria-hidden": "true" }, mark),
    h("div", {}, h("p", { class: "title" }, title), ...text),
  );
}

/** What a refusal means and what to do; the terms of the trade are below. */
export function refusalBanner({ refusal, detail, epoch }: Refused, lead?: string): HTMLElement {
  const { title, meaning, todo } = PLAIN_WORDS[refusal];
  const element = banner(
    "bad",
    lead === undefined ? title : `${lead}: ${title.charAt(0).toLowerCase()}${title.slice(1)}`,
    h("p", {}, epoch === undefined ? meaning : `Announcement ${epoch}. ${meaning}`),
    h("p", {}, h("strong", {}, "What to do: "), todo),
    h("p", { class: "terms" }, `${refusal} — ${detail}`),
  );
  element.dataset.refusal = refusal;
  return element;
}

interface Check {
  readonly ok: boolean;
  readonly what: string;
}

function checksOf(view: LogView): readonly Check[] {
  const { newest, isPinned, pins, epochs, head } = view;
  const witnesses = head?.witnesses.length ?? 0;
  const whose = isPinned ? "that you pinned" : "that this site names";
  const count = epochs.length;
  const checks: Check[] = [
    { ok: newest !== undefined, what: `The auditor ${whose} signed the newest announcement.` },
    {
      ok: newest !== undefined,
      what: `The operator ${whose} confirmed it.`,
    },
    {
      ok: head !== undefined,
      what: `It stands in a public record of ${count === 1 ? "one announcement" : `${count} announcements`}, none of which is missing or was exchanged.`,
    },
    {
      ok: epochs.every(({ refusal }) => !refusal),
      what: "Each announcement names the one before it.",
    },
  ];
  if (pins.witnessQuorum > 0)
    checks.push({
      ok: witnesses >= pins.witnessQuorum,
      what: `${witnesses} independent ${witnesses === 1 ? "witness has" : "witnesses have"} seen the same record; your pins ask for ${pins.witnessQuorum}.`,
    });
  return checks;
}

/** Two signed statements that cannot both be honest: the visitor may be the only one who has them. */
export function proofBanner(
  contradictions: readonly Contradiction[],
  proofs: readonly Misbehaviour[] = [],
): HTMLElement | undefined {
  const found: readonly (readonly [string, string])[] =
    contradictions.length > 0
      ? contradictions.map((one) => [contradictionName(one), fromUtf8(encodeContradiction(one))])
      : proofs.map((proof, i) => [
          `proof-${proof.reason}-${i + 1}.json`,
          `${JSON.stringify(proof, null, 2)}\n`,
        ]);
  if (found.length === 0) return undefined;
  const buttons = found.map(([name, text]) => {
    const button = h("button", { type: "button" }, "Save the proof");
    button.addEventListener("click", () => save(name, text));
    return button;
  });
  return banner(
    "bad",
    "This browser has proof that somebody lied",
    h(
      "p",
      {},
      "It keeps both of two statements that were signed and cannot both be honest. Anybody can verify them: save them, and show them to the auditor and to others who use the service.",
    ),
    h("p", {}, ...buttons),
  );
}

/** As a file, from here. */
export function save(name: string, text: string, type = "application/json"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

/** What the auditor's signature means, in the auditor's own words. */
export function policyLink(namespace: string): HTMLElement {
  return h(
    "p",
    { class: "soft" },
    "What the auditor asks of a fleet before it signs: ",
    h("a", { href: `log/${namespace}/policy.json` }, "its policy"),
    ".",
  );
}

export function verdictOf(view: LogView): readonly HTMLElement[] {
  const found = proofBanner(view.contradictions, view.state?.proofs);
  return [headline(view), ...(found ? [found] : [])];
}

function headline(view: LogView): HTMLElement {
  const { refused, isPinned, newest, pins } = view;
  if (refused) return refusalBanner(refused, "Do not rely on this");
  if (!newest) return banner("note", "Nothing was announced yet");
  const { announcement } = newest;
  const active = announcement.fleets.find(({ status }) => status === "active")?.manifest.fleet;
  const now = [
    active === undefined
      ? "No fleet takes new backups at present. "
      : `New backups go to the fleet ${active}. `,
    `Announcement ${newest.epoch} is the newest, and valid until `,
    moment(announcement.validUntil),
    ".",
  ];
  const checks = h(
    "ul",
    { class: "checks" },
    ...checksOf(view).map(({ ok, what }) =>
      h("li", { class: ok ? "good" : "bad" }, h("span", { class: "mark" }, ok ? "✓ " : "✗ "), what),
    ),
  );
  if (isPinned)
    return banner(
      "good",
      "Everything checks out",
      h("p", {}, ...now),
      h("p", {}, "Checked on your device, just now, against your pins:"),
      checks,
      pins.witnessQuorum === 0
        ? h(
            "p",
            { class: "terms" },
            "Your pins ask for no witnesses: that others see the same record is not checked.",
          )
        : "",
    );
  return banner(
    "note",
    "Nothing is verified against a pin",
    h(
      "p",
      {},
      "What this site shows fits together, but the keys to check it by came from this site too. A false site would look just the same. ",
      h("a", { href: "#trust" }, "Enter your pins"),
      " to find out whether it is genuine.",
    ),
    h("p", {}, ...now),
    h("p", {}, "What fits together:"),
    checks,
  );
}

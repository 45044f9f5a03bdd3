/** The headline: what a visitor has to know, in one sentence, and what was checked to be able to say it. */
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
  const { newest, isPinned, witnesses, pins, epochs, checkpoint } = view;
  const whose = isPinned ? "that you pinned" : "that this site names";
  const count = epochs.length;
  const checks: Check[] = [
    { ok: newest !== undefined, what: `The auditor ${whose} signed the newest announcement.` },
    {
      ok: newest !== undefined,
      what: `The operator ${whose} confirmed it with a key in a device of its own.`,
    },
    {
      ok: checkpoint !== undefined,
      what: `It stands in a public record of ${count === 1 ? "one announcement" : `${count} announcements`}, none of which is missing or was exchanged.`,
    },
    {
      ok: epochs.every(({ refused, isBeforePins }) => !refused || isBeforePins),
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

export function verdictOf(view: LogView): HTMLElement {
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

/** All announcements, the newest first: what each changed, and whether it is believed. */
import type { Announcement } from "../wire/announcement.ts";
import { changesOf } from "./changes.ts";
import { day, h, hashText, moment } from "./dom.ts";
import type { EpochView, LogView } from "./read-log.ts";
import { PLAIN_WORDS } from "./words.ts";

/** Older ones are behind a button. */
const SHOWN = 20;

function stateOf(
  { refused, verified, isBeforePins }: EpochView,
  isPinned: boolean,
): readonly [string, string] {
  if (refused) return ["bad", "✗ refused"];
  if (isBeforePins) return ["note", "in the record, older than your pins"];
  if (verified && isPinned) return ["good", "✓ verified"];
  return ["note", "fits together, no pins"];
}

function details(view: EpochView, announcement: Announcement): HTMLElement {
  const { verified } = view;
  const facts: (readonly [string, Node | string])[] = [
    ["Made", moment(announcement.createdAt)],
    ["Valid until", moment(announcement.validUntil)],
    [
      "Follows",
      announcement.previous === undefined ? "nothing: it is the first" : hashText(announcement.previous),
    ],
  ];
  if (verified) {
    const { bundle, digest, witnesses } = verified;
    facts.push(
      ["Its own digest", hashText(digest)],
      ["Signed by the auditor at", moment(bundle.audit.timestamp)],
      ["Auditor's signature", hashText(bundle.audit.signature)],
      ["Operator's signature", hashText(bundle.countersignature)],
      ["Witnesses of your pins", String(witnesses.length)],
    );
  }
  return h(
    "details",
    {},
    h("summary", {}, "Digests and signatures"),
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
  );
}

function entry(view: EpochView, before: EpochView | undefined, isPinned: boolean): HTMLElement {
  const { epoch, announcement, refused } = view;
  const [tone, words] = stateOf(view, isPinned);
  const changes = announcement ? changesOf(before?.announcement, announcement) : [];
  return h(
    "li",
    { id: `epoch-${epoch}`, class: tone },
    h(
      "h3",
      {},
      `Announcement ${epoch}`,
      announcement ? h("span", { class: "soft" }, " · ", day(announcement.createdAt)) : undefined,
      " ",
      h("span", { class: `badge ${tone}` }, words),
    ),
    refused
      ? h(
          "p",
          { class: "bad", "data-refusal": refused.refusal },
          `${PLAIN_WORDS[refused.refusal].title}. ${PLAIN_WORDS[refused.refusal].meaning}`,
        )
      : undefined,
    h("ul", { class: "changes" }, ...changes.map(({ kind, text }) => h("li", { class: kind }, text))),
    announcement ? details(view, announcement) : undefined,
  );
}

export function timeline({ epochs, isPinned }: LogView): HTMLElement {
  const all = epochs
    .map((view, i) => ({ view, before: epochs[i - 1] }))
    .reverse()
    .map(
      ({ view, before }) =>
        () =>
          entry(view, before, isPinned),
    );
  const list = h("ol", { class: "timeline", reversed: "" }, ...all.slice(0, SHOWN).map((make) => make()));
  if (all.length <= SHOWN) return list;
  const more = h("button", { type: "button" }, `Show ${all.length - SHOWN} older announcements`);
  more.addEventListener("click", () => {
    list.append(...all.slice(SHOWN).map((make) => make()));
    list.children.item(SHOWN)?.scrollIntoView();
    more.remove();
  });
  return h("div", {}, list, more);
}

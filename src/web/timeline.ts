/** All announcements, the newest first: what each changed, and whether it is believed. */

import { type DeltaKind, deltaOf } from "../trust/deltas.ts";
import type { WalkedEpoch } from "../trust/walk.ts";
import type { Announcement } from "../wire/announcement.ts";
import { changesOf } from "./changes.ts";
import { day, h, hashText, moment, table } from "./dom.ts";
import { type LogView, refusedBy } from "./read-log.ts";
import { PLAIN_WORDS } from "./words.ts";

/** Older ones are behind a button. */
const SHOWN = 20;

function stateOf(
  { refusal, verified, isBeforePins }: WalkedEpoch,
  isPinned: boolean,
): readonly [string, string] {
  if (refusal) return ["bad", "✗ refused"];
  if (isBeforePins) return ["note", "in the record, older than your pins"];
  if (verified && isPinned) return ["good", "✓ verified"];
  return ["note", "fits together, no pins"];
}

function details(view: WalkedEpoch, announcement: Announcement): HTMLElement {
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

const KINDS: Readonly<Record<DeltaKind, string>> = {
  baseline: "there from the first",
  added: "added",
  removed: "removed",
  "role-changed": "another role",
  unchanged: "as before",
};

function keyByKey(before: Announcement | undefined, after: Announcement): HTMLElement {
  const { keys } = deltaOf(before, after);
  const changed = keys.filter(({ kind }) => kind !== "unchanged");
  const rest = keys.length - changed.length;
  return h(
    "details",
    {},
    h("summary", {}, `Key by key (${keys.length})`),
    table(
      rest === 0 ? "All keys" : `All keys that changed; ${rest} are as before`,
      ["what", "role", "fleet", "site", "key"],
      changed.map(({ kind, role, fleet, site, publicKey }) => [
        KINDS[kind],
        role,
        fleet ?? "–",
        site ?? "–",
        h("code", { class: "hash long" }, publicKey),
      ]),
    ),
  );
}

function entry(view: WalkedEpoch, before: WalkedEpoch | undefined, isPinned: boolean): HTMLElement {
  const { epoch, announcement, refusal } = view;
  const refused = refusal && refusedBy(refusal);
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
    announcement ? keyByKey(before?.announcement, announcement) : undefined,
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

/** The pins: whom the visitor trusts, from where the page's own server cannot exchange it. */
import { utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { decodePins, type Pins } from "../trust/pins.ts";
import { h, hashText } from "./dom.ts";
import { banner } from "./verdict.ts";

export interface TrustActions {
  set(pins: Pins): void;
  forget(): void;
}

const NAMES = [
  ["auditors", "Auditor's keys"],
  ["operators", "Operator's keys"],
  ["logs", "Public record's keys"],
] as const;

function pinned(pins: Pins, { forget }: TrustActions): HTMLElement {
  const button = h("button", { type: "button" }, "Forget these pins");
  button.addEventListener("click", forget);
  const facts: (readonly [string, readonly (Node | string)[]])[] = [
    ["Service", [pins.namespace]],
    ...NAMES.map(
      ([name, words]) => [words, pins.keys[name].map((key) => h("div", {}, hashText(key)))] as const,
    ),
    [
      "Witnesses",
      pins.witnesses.length === 0
        ? ["none asked for"]
        : [
            `${pins.witnessQuorum} of these:`,
            ...pins.witnesses.map((vkey) => h("div", {}, h("code", { class: "hash" }, vkey))),
          ],
    ],
    ["Oldest announcement accepted", [String(pins.minimumEpoch)]],
  ];
  return h(
    "div",
    {},
    banner("good", `You have pins for ${pins.namespace}`),
    h(
      "details",
      {},
      h("summary", {}, "What they say"),
      h(
        "dl",
        { class: "facts" },
        ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, ...value)]),
      ),
    ),
    h("p", {}, button),
  );
}

function form({ set }: TrustActions): HTMLElement {
  const text = h("textarea", {
    id: "pins-text",
    rows: "6",
    spellcheck: "false",
    autocomplete: "off",
    "aria-describedby": "pins-problem",
  });
  const problem = h("p", { id: "pins-problem", class: "bad", role: "alert" });
  const element = h(
    "form",
    {},
    h("label", { for: "pins-text" }, "Paste your pins file here, or drop it anywhere on this page:"),
    text,
    problem,
    h("button", { type: "submit" }, "Use these pins"),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      set(decodePins(utf8(text.value)));
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      problem.textContent = `These are no pins: ${error.message}.`;
      text.setAttribute("aria-invalid", "true");
      text.focus();
    }
  });
  return element;
}

export function trustPanel(pins: Pins | undefined, actions: TrustActions): HTMLElement {
  return pins ? pinned(pins, actions) : form(actions);
}

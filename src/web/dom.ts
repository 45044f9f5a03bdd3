/** Elements from text that anybody may have written: it is only ever set as text, never read as HTML. */

type Child = Node | string | undefined;
type Attributes = Readonly<Record<string, string | undefined>>;

function fill<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(name, value);
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** What index.html has. */
export function byId<E extends HTMLElement>(id: string, type: abstract new () => E): E {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new TypeError(`the page has no ${id}`);
}

/** A long hexadecimal value, in groups that people can compare. */
export function hashText(hex: string): HTMLElement {
  return h("code", { class: hex.length > 64 ? "hash long" : "hash" }, hex.replace(/(.{8})(?=.)/g, "$1 "));
}

/** The first cell of a row heads it. */
export function table(
  caption: string,
  heading: readonly string[],
  rows: readonly (readonly (Node | string)[])[],
): HTMLElement {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, ...heading.map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        ...rows.map((row) =>
          h(
            "tr",
            {},
            ...row.map((cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", {}, cell))),
          ),
        ),
      ),
    ),
  );
}

const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });

/** Times in announcements are as far from now as whoever signs likes. */
function time(milliseconds: number, format: Intl.DateTimeFormat): HTMLElement {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime())) return h("span", {}, `${milliseconds} ms`);
  return h("time", { datetime: date.toISOString() }, format.format(date));
}
export function day(milliseconds: number): HTMLElement {
  return time(milliseconds, DAY);
}
/** With hours and minutes. */
export function moment(milliseconds: number): HTMLElement {
  return h("span", {}, time(milliseconds, MINUTE), " UTC");
}

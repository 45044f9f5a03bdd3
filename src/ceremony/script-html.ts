/** HTML as text, with everything that a plan says escaped. Elements that a printed form is made of. */

/** Text that is safe as HTML; only `html` and the elements below make it. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Html | readonly Html[];

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(({ text }) => text).join("");
  return String(part).replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}

/** A template whose values are escaped unless they are Html themselves. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((text, i) => (i === 0 ? text : escaped(parts[i - 1] ?? "") + text)).join(""));
}

/** Something to do, with a box to tick. */
export function tick(what: Html | string): Html {
  return html`<label class="tick"><input type="checkbox"> <span>${what}</span></label>\n`;
}

/** A line to write on. */
export function blank(label: string, width: "short" | "wide" = "short"): Html {
  return html`<span class="blank ${width}"><span class="label">${label}</span></span>\n`;
}

/** Numbered places for words that are read aloud. */
export function wordBlanks(label: string, count: number): Html {
  const places = Array.from({ length: count }, () => html`<li></li>`);
  return html`<div class="compare"><span class="label">${label}</span><ol class="words">${places}</ol></div>\n`;
}

/** The words themselves, numbered in the same way. */
export function wordList(words: string): Html {
  return html`<ol class="words said">${words.split(" ").map((word) => html`<li>${word}</li>`)}</ol>\n`;
}

/** A table; its first column heads the rows. `undefined` is a cell to write in. */
export function grid(
  caption: string,
  heading: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
): Html {
  const cell = (text: string | undefined, column: number): Html =>
    column === 0 && text !== undefined ? html`<th scope="row">${text}</th>` : html`<td>${text ?? ""}</td>`;
  return html`<table><caption>${caption}</caption>
<thead><tr>${heading.map((text) => html`<th scope="col">${text}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${row.map(cell)}</tr>\n`)}</tbody></table>\n`;
}

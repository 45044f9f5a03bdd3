/** Text in the columns of a terminal: what it takes, and how it is broken. */
import { stripVTControlCharacters } from "node:util";

const ESCAPE = "\u001b";
const RESET = "\u001b[0m";
const ASCII = /^[ -~]*$/;
/** What takes two columns: the East Asian scripts and full-width forms of UAX #11, and pictures. */
const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
const GRAPHEMES = new Intl.Segmenter();

/** Colours take none. */
export function columnsOf(text: string): number {
  const shown = stripVTControlCharacters(text);
  if (ASCII.test(shown)) return shown.length;
  return [...GRAPHEMES.segment(shown)].reduce((sum, { segment }) => sum + (WIDE.test(segment) ? 2 : 1), 0);
}

/** The colour that a line leaves on. */
function colourAfter(line: string): string {
  const at = line.lastIndexOf(ESCAPE);
  const code = at < 0 ? RESET : line.slice(at, line.indexOf("m", at) + 1);
  return code === RESET ? "" : code;
}

/** Lines of whole words; a word that is longer than a line stays whole. Each line has its own colour. */
export function wrapped(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of text.split(" ")) {
    const longer: string = line === undefined ? word : `${line} ${word}`;
    if (line === undefined || columnsOf(longer) <= columns) {
      line = longer;
      continue;
    }
    const colour = colourAfter(line);
    lines.push(colour === "" ? line : line + RESET);
    line = colour + word;
  }
  return [...lines, line ?? ""];
}

/** Widths that fit, taken from the widest; they stay as they are where that leaves too little of each. */
export function fitted(widths: readonly number[], columns: number): readonly number[] {
  const fit = [...widths];
  for (let over = fit.reduce((sum, one) => sum + one, 0) - columns; over > 0; over--) {
    const widest = Math.max(...fit);
    if (widest <= MIN_COLUMNS) return fit;
    fit[fit.indexOf(widest)] = widest - 1;
  }
  return fit;
}
const MIN_COLUMNS = 10;

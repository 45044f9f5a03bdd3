/** Who holds what, as a picture: a column for each token, a row for each set of keys, a dot where a token has them. */
import type { CeremonyPlan } from "./plan.ts";
import { membersOf } from "./plan.ts";
import { holdersOf } from "./plan-holders.ts";
import { type Html, html } from "./script-html.ts";

const LABEL = 110;
const COLUMN = 106;
const ROW = 30;
const HEAD = 66;

/** As planned; whether it is so is what the claim "holders" says. */
export function holdersPicture(plan: CeremonyPlan): Html {
  const members = membersOf(plan);
  const rows = holdersOf(plan);
  const width = LABEL + members.length * COLUMN;
  const height = HEAD + rows.length * ROW + 6;
  const x = (column: number): number => LABEL + column * COLUMN + COLUMN / 2;
  const y = (row: number): number => HEAD + row * ROW + ROW / 2;
  const heads = members.map(({ name, isSpare, seat }, i) => {
    const about = isSpare ? `spare for ${plan.sites[seat]?.name ?? ""}` : `site ${seat + 1}`;
    const kind = isSpare ? "token spare" : "token";
    return html`<rect class="${kind}" x="${x(i) - COLUMN / 2 + 5}" y="4" width="${COLUMN - 10}" height="50" rx="6"/>
<text x="${x(i)}" y="26" text-anchor="middle">${short(name)}</text>
<text class="faint" x="${x(i)}" y="43" text-anchor="middle">${short(about)}</text>\n`;
  });
  const lines = rows.map(({ what, holders }, row) => {
    const dots = members.map(({ name }, i) =>
      holders.includes(name)
        ? html`<circle class="has" cx="${x(i)}" cy="${y(row)}" r="8"/>`
        : html`<circle class="never" cx="${x(i)}" cy="${y(row)}" r="7"/>`,
    );
    const band =
      row % 2 === 0
        ? html`<rect class="row" x="0" y="${y(row) - ROW / 2}" width="${width}" height="${ROW}"/>`
        : html``;
    return html`${band}<text x="6" y="${y(row) + 4}">${what}</text>${dots}\n`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Picture: who holds what">
<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="holders-title">
<title id="holders-title">Which token holds which keys; the table under it says the same in words</title>
${heads}${lines}</svg></div>\n`;
}

const short = (text: string): string => (text.length > 16 ? `${text.slice(0, 15)}…` : text);

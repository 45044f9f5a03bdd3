/**
 * How the printed script looks: black on white, so that it copies and prints in grayscale; on A4 nothing that belongs
 * together is torn apart. The margin of each page says which plan it belongs to.
 */

/** @param mark what stands at the top of each page: letters, digits, spaces and hyphens only */
export function scriptStyle(mark: string): string {
  return `
@page { size: A4; margin: 18mm 15mm 16mm; @top-left { content: "${mark}"; font: 8pt sans-serif; }
  @bottom-right { content: "page " counter(page) " of " counter(pages); font: 8pt sans-serif; }
  @bottom-left { content: "initials: ____________"; font: 8pt sans-serif; } }
* { box-sizing: border-box; }
body { font: 10.5pt/1.4 "Liberation Sans", Arial, Helvetica, sans-serif; color: #000; background: #fff;
  max-width: 179mm; margin: 0 auto; overflow-wrap: anywhere; }
h1 { font-size: 22pt; line-height: 1.2; margin: 8mm 0 2mm; }
h2 { font-size: 15pt; margin: 0 0 2mm; border-bottom: 1.5pt solid #000; }
h3 { font-size: 11.5pt; margin: 0; }
p { margin: 1.5mm 0; }
ul { margin: 1mm 0; padding-left: 6mm; }
section { margin: 8mm 0 0; }
h1, h2, h3 { break-after: avoid; }
.page { break-before: page; margin-top: 0; }
.rehearsal { border: 2.5pt solid #000; padding: 3mm; font-size: 15pt; font-weight: bold; text-align: center; }
.hash { font: 11pt/1.6 "Liberation Mono", Consolas, monospace; border: 1pt solid #000; padding: 2mm 3mm; }
.lead { break-inside: avoid; }
.meta { color: #333; }
.warning { border-left: 3pt solid #000; padding-left: 3mm; margin: 2mm 0; }
.destructive { border: 1.5pt solid #000; padding: 1mm 3mm; font-weight: bold; }
.step { border: 0.75pt solid #000; margin: 3mm 0; padding: 2mm 3mm 3mm; break-inside: avoid; }
.step header { display: flex; justify-content: space-between; gap: 4mm; border-bottom: 0.5pt solid #777;
  padding-bottom: 1mm; margin-bottom: 1mm; }
.step header .meta { text-align: right; }
.tick { display: flex; gap: 2.5mm; margin: 1.2mm 0; align-items: flex-start; }
.tick input { appearance: none; flex: none; width: 4mm; height: 4mm; margin: 0.4mm 0 0; border: 1pt solid #000;
  background: #fff; }
.tick input:checked { background: #000; }
.fill { display: flex; flex-wrap: wrap; gap: 0 6mm; }
.blank { display: inline-flex; align-items: flex-end; gap: 1.5mm; height: 9mm; flex: 1 1 50mm; white-space: nowrap;
  max-width: 100%; }
.blank::after { content: ""; flex: 1; min-width: 18mm; border-bottom: 0.75pt solid #000; margin-bottom: 1.2mm; }
.blank.wide { flex-basis: 100%; }
.label { font-size: 9.5pt; }
.compare { margin: 2mm 0; }
ol.words { display: grid; grid-template-columns: repeat(6, 1fr); gap: 1mm 3mm; margin: 1mm 0; padding: 0;
  list-style: none; counter-reset: word; }
ol.words li { counter-increment: word; height: 7.5mm; border-bottom: 0.75pt solid #000; display: flex;
  align-items: flex-end; }
ol.words li::before { content: counter(word); font-size: 7pt; color: #333; width: 5mm; flex: none; }
ol.words.said li { height: auto; border: 0; font-weight: bold; align-items: baseline; }
table { border-collapse: collapse; width: 100%; margin: 2mm 0; font-size: 9.5pt; }
caption { text-align: left; font-weight: bold; padding-bottom: 1mm; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border: 0.5pt solid #555; padding: 1.2mm 2mm; text-align: left; vertical-align: top; height: 7mm; }
thead th { border-bottom: 1.25pt solid #000; }
.signing table { table-layout: fixed; }
.signing td, .signing tbody th { height: 11mm; vertical-align: middle; }
.sheet { break-before: page; margin: 0; }
.sheet .lines { height: 38mm; border: 0.75pt solid #000; padding: 1mm 2mm; margin: 2mm 0; }
@media screen { body { padding: 8mm; font-size: 12pt; } .page, .sheet { margin-top: 14mm; } }
`;
}

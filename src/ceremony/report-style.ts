/**
 * How the evidence report looks: readable on a telephone, on a wide screen, in the dark and on paper. No colour says
 * anything that words do not say too.
 */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --card: #f6f8fa; --line: #d0d7de;
  --good: #116329; --bad: #a40e26; --note: #7d4e00; --note-paper: #fff4d6; --bad-paper: #ffebe9; --good-paper: #e6f6e9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa5b1; --paper: #0d1117; --card: #161b22;
  --line: #30363d; --good: #5fd37a; --bad: #ff8e86; --note: #f0c36a; --note-paper: #2d2410; --bad-paper: #37161a;
  --good-paper: #10271a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 1.25rem 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .5rem; padding-bottom: .25rem; border-bottom: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 0; }
p { margin: .5rem 0; max-width: 46rem; }
code, .hash { font-family: "Liberation Mono", Consolas, ui-monospace, monospace; font-size: .875rem; }
.soft { color: var(--soft); }
.rehearsal { background: var(--note-paper); color: var(--note); border: 4px double currentColor; text-align: center;
  padding: 1rem; margin: 0 0 1rem; max-width: none; }
.rehearsal strong { display: block; font-size: clamp(1.8rem, 8vw, 3.2rem); letter-spacing: .12em; line-height: 1.2; }
.verdict { padding: 1rem 1.25rem; border-left: .5rem solid currentColor; font-size: 1.2rem; font-weight: 600;
  max-width: none; }
.verdict.good { background: var(--good-paper); color: var(--good); }
.verdict.bad { background: var(--bad-paper); color: var(--bad); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem;
  margin: .75rem 0; }
.card p { max-width: none; }
dl.facts { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .25rem 1.25rem; margin: .75rem 0; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; }
ol.words { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: .1rem .75rem; margin: .5rem 0;
  padding: 0; list-style: none; counter-reset: word; font-weight: 600; }
ol.words li { counter-increment: word; }
ol.words li::before { content: counter(word); color: var(--soft); font-weight: 400; font-size: .75rem;
  display: inline-block; min-width: 1.4rem; }
ul.claims, ul.findings { list-style: none; margin: 0; padding: 0; }
ul.claims > li { border-top: 1px solid var(--line); padding: .75rem 0; display: grid; gap: .1rem .9rem;
  grid-template-columns: 5.2rem 1fr; break-inside: avoid; }
ul.claims > li:first-child { border-top: 0; }
.mark { font-weight: 700; white-space: nowrap; }
.mark.good { color: var(--good); }
.mark.bad { color: var(--bad); }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-size: .78rem;
  color: var(--soft); white-space: nowrap; }
.badge.proved { color: var(--good); font-weight: 600; }
.claim-id { font-size: .8rem; color: var(--soft); }
ul.findings { margin: .25rem 0 0; font-size: .93rem; }
ul.findings li { padding: .1rem 0 .1rem 1rem; position: relative; color: var(--soft); }
ul.findings li::before { content: "·"; position: absolute; left: .25rem; }
ul.findings li.bad { color: var(--bad); font-weight: 600; }
ul.findings li.bad::before { content: "✗"; left: 0; }
details summary { cursor: pointer; color: var(--soft); font-size: .93rem; padding: .15rem 0; }
details summary:hover, details summary:focus-visible { color: var(--ink); text-decoration: underline; }
.scroll { overflow-x: auto; }
.scroll table { min-width: 34rem; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-size: .93rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .25rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); white-space: nowrap; }
td.time { white-space: nowrap; font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); font: 13px system-ui, "Liberation Sans", Arial, sans-serif; }
svg .faint { fill: var(--soft); font-size: 11px; }
svg .has { fill: var(--good); }
svg .never { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 2; }
svg .row { fill: var(--card); }
svg .token { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
svg .spare { stroke-dasharray: 5 4; }
@media (max-width: 34rem) { ul.claims > li { grid-template-columns: 1fr; } dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: .5rem; } }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; } .scroll table { min-width: 0; } svg { max-width: 100%; height: auto; }
  h2 { break-after: avoid; } tr, .card { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; } }
`;

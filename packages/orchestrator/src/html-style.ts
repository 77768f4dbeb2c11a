// SPDX-License-Identifier: Apache-2.0

/** The report's style sheet: colours as variables for light, dark and print. */
export const reportStyle = `
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --ink: #1c1d1f; --soft: #5d6066; --line: #e3e3df;
  --canary: #1f66d1; --canary-soft: rgba(31, 102, 209, .12); --confirmed: #6b7078;
  --halt: #b42336; --good: #17734a; --warn: #8a5a00;
  --halt-bg: #fbeaec; --good-bg: #e6f4ed; --warn-bg: #fbf1dc; --plain-bg: #eeeeea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131417; --card: #1b1d21; --ink: #ececec; --soft: #a3a7ae; --line: #303339;
    --canary: #7ab0ff; --canary-soft: rgba(122, 176, 255, .16); --confirmed: #a6abb3;
    --halt: #ff8a96; --good: #6fd6a5; --warn: #f0c065;
    --halt-bg: #3a2025; --good-bg: #183227; --warn-bg: #382d17; --plain-bg: #2a2d32;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 32px 20px 48px; }
header { margin-bottom: 20px; }
.eyebrow { margin: 0; color: var(--soft); }
h1 { margin: 0 0 12px; font-size: 30px; line-height: 1.2; display: flex; gap: 12px; align-items: center; flex-wrap: wrap; overflow-wrap: anywhere; }
h2 { margin: 0 0 8px; font-size: 17px; }
h3 { margin: 16px 0 6px; font-size: 15px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 14px 0; break-inside: avoid; }
section p { margin: 0 0 10px; }
section.verdict { border-left: 5px solid var(--line); }
section.verdict.bad { border-left-color: var(--halt); }
section.verdict.good { border-left-color: var(--good); }
section.verdict.warn { border-left-color: var(--warn); }
blockquote { margin: 0 0 10px; padding: 8px 12px; background: var(--plain-bg); border-radius: 6px; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 26px; margin: 0; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.badge { display: inline-block; padding: 1px 9px; border-radius: 999px; font-size: 12.5px; font-weight: 600; line-height: 1.6; background: var(--plain-bg); color: var(--soft); white-space: nowrap; }
.badge.good { background: var(--good-bg); color: var(--good); }
.badge.bad { background: var(--halt-bg); color: var(--halt); }
.badge.warn { background: var(--warn-bg); color: var(--warn); }
h1 .badge { font-size: 14px; }
.wide { overflow-x: auto; }
.arms { font-size: 12.5px; }
.arms tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 7em; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 5px 8px 5px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; font-size: 12.5px; border-top: 0; white-space: nowrap; }
thead .group { text-align: center; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.words td { border-top: 0; padding-top: 0; color: var(--soft); overflow-wrap: anywhere; }
td.bar { width: 45%; }
td.bar span { display: block; height: 10px; margin-top: 6px; border-radius: 3px; background: var(--canary); min-width: 1px; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--soft); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 14px 24px; }
figure { margin: 0; break-inside: avoid; }
figcaption { display: flex; justify-content: space-between; gap: 10px; font-size: 13.5px; }
figcaption span { color: var(--soft); font-variant-numeric: tabular-nums; }
figcaption span.halt { color: var(--halt); font-weight: 600; }
.legend { color: var(--soft); font-size: 13px; }
.key { display: inline-block; width: 18px; height: 0; border-top: 2.5px solid var(--canary); vertical-align: middle; margin: 0 5px 0 0; }
.key.confirmed { border-top: 2px dashed var(--confirmed); margin-left: 14px; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--soft); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg line.mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; }
svg line.mark.halt { stroke: var(--halt); stroke-dasharray: none; stroke-width: 1.5; }
svg text.mark.halt { fill: var(--halt); font-weight: 600; }
svg .threshold { stroke: var(--halt); stroke-width: 1.5; stroke-dasharray: 6 4; }
svg text.threshold { stroke: none; fill: var(--halt); }
svg .canary-line { fill: none; stroke: var(--canary); stroke-width: 2; stroke-linejoin: round; }
svg .confirmed-line { fill: none; stroke: var(--confirmed); stroke-width: 1.8; stroke-dasharray: 5 3; }
svg .exposed-area { fill: var(--canary-soft); stroke: none; }
svg .canary-dot { fill: var(--canary); stroke: var(--card); stroke-width: 1.5; }
svg .canary-dot.halt, svg .halt .canary-dot { fill: var(--halt); }
svg .interval { stroke: var(--canary); stroke-width: 3; stroke-linecap: round; }
svg .interval-end { stroke: var(--canary); stroke-width: 2; fill: none; }
svg .halt .interval, svg .halt .interval-end { stroke: var(--halt); }
svg line.reference { stroke: var(--soft); stroke-width: 1.5; }
svg line.margin { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg text.margin { fill: var(--warn); }
svg text.row { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg text.row-value { font-size: 12.5px; }
footer { color: var(--soft); font-size: 12.5px; margin-top: 18px; }
@media print {
  :root {
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc;
    --canary: #1f66d1; --canary-soft: rgba(31, 102, 209, .12); --confirmed: #555;
    --halt: #b42336; --good: #17734a; --warn: #8a5a00;
    --halt-bg: #fbeaec; --good-bg: #e6f4ed; --warn-bg: #fbf1dc; --plain-bg: #f0f0f0;
  }
  body { font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  section { border-radius: 0; border-width: 1px 0 0; padding: 10px 0; }
  section.verdict { padding-left: 10px; }
  table { font-size: 8.5pt; }
  .wide { overflow: visible; }
}
`;

// SPDX-License-Identifier: Apache-2.0
// Charts of a report as inline SVG: no script, colours by CSS class, so that print and dark mode follow the page.

/** Text that may come from devices or operators, safe inside HTML and attributes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+/g, " ")
    .replaceAll(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A vertical mark on a time axis. */
export interface TimeMark {
  readonly at: number;
  readonly label: string;
  readonly tone?: "halt";
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const hourMs = 3_600_000;

/** Hours since the start, at round distances. */
function timeTicks(from: number, to: number, most = 7): { readonly at: number; readonly label: string }[] {
  const hours = Math.max((to - from) / hourMs, 1 / 60);
  const steps = [1 / 60, 5 / 60, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 72, 96, 168, 336, 720, 2_160];
  const step = steps.find((candidate) => hours / candidate <= most) ?? 8_760;
  const label = (at: number): string => (step >= 24 ? `${at / 24} d` : step >= 1 ? `${at} h` : `${Math.round(at * 60)} min`);
  return Array.from({ length: Math.floor(hours / step + 1e-9) + 1 }, (_, index) => ({ at: from + index * step * hourMs, label: label(index * step) }));
}

const n = (value: number): string => Number(value.toFixed(1)).toString();

interface Axes {
  readonly from: number;
  readonly to: number;
  readonly low: number;
  readonly high: number;
}

function scales(frame: Frame, axes: Axes): { readonly x: (at: number) => number; readonly y: (value: number) => number } {
  const span = Math.max(1, axes.to - axes.from);
  const rise = Math.max(1e-9, axes.high - axes.low);
  return {
    x: (at) => frame.left + ((at - axes.from) / span) * (frame.width - frame.left - frame.right),
    y: (value) => frame.top + (1 - (value - axes.low) / rise) * (frame.height - frame.top - frame.bottom),
  };
}

function grid(frame: Frame, axes: Axes, ticks: readonly { readonly value: number; readonly label: string }[], marks: readonly TimeMark[]): string {
  const { x, y } = scales(frame, axes);
  const right = frame.width - frame.right;
  const base = frame.height - frame.bottom;
  const rows = ticks.map(
    ({ value, label }) =>
      `<line class="grid" x1="${frame.left}" x2="${n(right)}" y1="${n(y(value))}" y2="${n(y(value))}"/><text class="tick" x="${frame.left - 6}" y="${n(y(value) + 3.5)}" text-anchor="end">${escapeHtml(label)}</text>`,
  );
  const columns = timeTicks(axes.from, axes.to).map(({ at, label }) => `<text class="tick" x="${n(x(at))}" y="${base + 15}" text-anchor="middle">${label}</text>`);
  // Labels that would run into each other are left to the tooltip; that of a halt is the one to keep.
  const taken: (readonly [number, number])[] = [];
  const lines = [...marks]
    .sort((a, b) => Number(b.tone === "halt") - Number(a.tone === "halt"))
    .map(({ at, label, tone }) => {
      const place = x(at);
      const length = 6.2 * label.length;
      const atEnd = place + 4 + length > right;
      const extent = atEnd ? ([place - 4 - length, place - 4] as const) : ([place + 4, place + 4 + length] as const);
      const shown = taken.every(([from, to]) => extent[1] + 4 < from || extent[0] - 4 > to);
      if (shown) {
        taken.push(extent);
      }
      const text = shown ? `<text class="mark ${tone ?? ""}" x="${n(place + (atEnd ? -4 : 4))}" y="${frame.top - 5}"${atEnd ? ' text-anchor="end"' : ""}>${escapeHtml(label)}</text>` : "";
      return `<g><title>${escapeHtml(label)}</title><line class="mark ${tone ?? ""}" x1="${n(place)}" x2="${n(place)}" y1="${frame.top}" y2="${base}"/>${text}</g>`;
    });
  return [...rows, `<line class="axis" x1="${frame.left}" x2="${n(right)}" y1="${base}" y2="${base}"/>`, ...columns, ...lines].join("");
}

const svg = (frame: Frame, label: string, body: string): string =>
  `<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${escapeHtml(label)}" preserveAspectRatio="xMidYMid meet">${body}</svg>`;

/** An e-value in words a person reads: 0.3, 12, 2.1e9. */
export function oddsText(lnE: number): string {
  const log10 = lnE / Math.LN10;
  return log10 >= 5 ? `10^${Math.round(log10)}` : Number(Math.exp(lnE).toPrecision(2)).toString();
}

/** One gate's e-value over time against what it halts at; logarithmic. */
export function evidenceChart(options: {
  readonly gate: string;
  readonly points: readonly { readonly at: number; readonly lnE: number }[];
  readonly haltAt: number;
  readonly from: number;
  readonly to: number;
  readonly marks: readonly TimeMark[];
}): string {
  const frame: Frame = { width: 420, height: 190, left: 46, right: 12, top: 22, bottom: 26 };
  const { points, haltAt } = options;
  const floor = -Math.log(100);
  const shown = points.map(({ at, lnE }) => ({ at, lnE: Math.max(lnE, floor) }));
  const low = Math.min(0, ...shown.map((point) => point.lnE)) - 0.4;
  const high = Math.max(haltAt, ...shown.map((point) => point.lnE)) * 1.08 + 0.3;
  const axes = { from: options.from, to: options.to, low, high };
  const { x, y } = scales(frame, axes);
  const decade = Math.max(1, Math.ceil((high - low) / Math.LN10 / 5));
  const ticks = [];
  for (let power = Math.ceil(low / Math.LN10); power <= high / Math.LN10; power += 1) {
    if (power % decade === 0) {
      ticks.push({ value: power * Math.LN10, label: power >= 5 ? `10^${power}` : String(Number((10 ** power).toPrecision(2))) });
    }
  }
  const path = shown.map((point, index) => `${index === 0 ? "M" : "L"}${n(x(point.at))} ${n(y(point.lnE))}`).join("");
  const last = shown.at(-1);
  const end = last === undefined ? "" : `<circle class="canary-dot${last.lnE >= haltAt ? " halt" : ""}" cx="${n(x(last.at))}" cy="${n(y(last.lnE))}" r="3.5"><title>${oddsText(points.at(-1)?.lnE ?? 0)} at the end</title></circle>`;
  const threshold =
    `<line class="threshold" x1="${frame.left}" x2="${frame.width - frame.right}" y1="${n(y(haltAt))}" y2="${n(y(haltAt))}"/>` +
    `<text class="threshold" x="${frame.left + 5}" y="${n(y(haltAt) + 12)}">halts at ${oddsText(haltAt)}</text>`;
  return svg(frame, `Evidence of harm of gate ${options.gate} over time; it halts at ${oddsText(haltAt)}`, `${grid(frame, axes, ticks, options.marks)}${threshold}<path class="canary-line" d="${path}"/>${end}`);
}

/** Devices exposed over time as steps: updates begun, and confirmed. */
export function exposureChart(options: {
  readonly started: readonly number[];
  readonly confirmed: readonly number[];
  readonly from: number;
  readonly to: number;
  readonly marks: readonly TimeMark[];
}): string {
  const frame: Frame = { width: 860, height: 220, left: 46, right: 12, top: 22, bottom: 26 };
  const high = Math.max(1, options.started.length) * 1.06;
  const axes = { from: options.from, to: options.to, low: 0, high };
  const { x, y } = scales(frame, axes);
  const steps = (times: readonly number[]): string => {
    let d = `M${n(x(options.from))} ${n(y(0))}`;
    // One step for each half pixel is all that can be seen.
    let column = Number.NEGATIVE_INFINITY;
    for (const [index, at] of times.entries()) {
      const next = times[index + 1];
      if (next === undefined || x(next) - column >= 0.5) {
        d += `H${n(x(at))}V${n(y(index + 1))}`;
        column = x(next ?? at);
      }
    }
    return `${d}H${n(x(options.to))}`;
  };
  const step = niceStep(high / 4);
  const ticks = Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => ({ value: index * step, label: (index * step).toLocaleString("en") }));
  const body =
    `${grid(frame, axes, ticks, options.marks)}<path class="exposed-area" d="${steps(options.started)}V${n(y(0))}Z"/>` +
    `<path class="canary-line" d="${steps(options.started)}"/><path class="confirmed-line" d="${steps(options.confirmed)}"/>`;
  return svg(frame, `Devices on the release over time: ${options.started.length} began the update, ${options.confirmed.length} confirmed it`, body);
}

function niceStep(least: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return Math.max(1, [1, 2, 5, 10].map((factor) => factor * magnitude).find((step) => step >= least) ?? 1);
}

/** One estimate with its interval. Values are places on the axis, already transformed. */
export interface EffectRow {
  readonly label: string;
  readonly estimate: number | null;
  readonly lower: number | null;
  readonly upper: number | null;
  /** Where "no harm" lies, and the worsening that a pass excludes. */
  readonly reference: number;
  readonly referenceLabel: string;
  readonly margin: number;
  readonly marginLabel: string;
  /** An axis place as people read it. */
  readonly format: (value: number) => string;
  readonly halted: boolean;
}

/** Each gate's estimate and anytime interval against what is harmless and what a pass excludes; every row has its own axis. */
export function effectChart(rows: readonly EffectRow[]): string {
  const height = 58;
  const frame: Frame = { width: 860, height: rows.length * height + 8, left: 150, right: 24, top: 4, bottom: 4 };
  const width = frame.width - frame.left - frame.right;
  const body = rows.map((row, index) => {
    const top = frame.top + index * height;
    const middle = top + 26;
    const known = [row.reference, row.margin, row.estimate, row.lower, row.upper].filter((value): value is number => value !== null && Number.isFinite(value));
    // A bound far out would squeeze everything else: the axis reaches twice as far as margin and estimate, and arrows say that it goes on.
    const core = [row.reference, row.margin, row.estimate ?? row.reference];
    const reach = Math.max(...core) - Math.min(...core);
    const low = Math.max(Math.min(...known), Math.min(...core) - reach);
    const high = Math.min(Math.max(...known), Math.max(...core) + reach);
    const pad = (high - low || 1) * 0.08;
    const x = (value: number): number => frame.left + ((value - (low - pad)) / (high - low + 2 * pad || 1)) * width;
    const left = row.lower === null || row.lower < low - 1e-12 ? undefined : row.lower;
    const right = row.upper === null || row.upper > high + 1e-12 ? undefined : row.upper;
    const from = left === undefined ? frame.left : x(left);
    const to = right === undefined ? frame.width - frame.right : x(right);
    const arrow = (at: number, direction: -1 | 1): string => `<path class="interval-end" d="M${n(at - direction * 5)} ${middle - 4}L${n(at)} ${middle}L${n(at - direction * 5)} ${middle + 4}"/>`;
    const known2 = row.estimate !== null || row.lower !== null || row.upper !== null;
    const interval = known2
      ? `<g class="${row.halted ? "halt" : ""}"><title>${escapeHtml(`${row.label}: ${row.estimate === null ? "no estimate" : row.format(row.estimate)}, between ${row.lower === null ? "?" : row.format(row.lower)} and ${row.upper === null ? "?" : row.format(row.upper)}`)}</title>` +
        `<line class="interval" x1="${n(from)}" x2="${n(to)}" y1="${middle}" y2="${middle}"/>${left === undefined ? arrow(from, -1) : ""}${right === undefined ? arrow(to, 1) : ""}` +
        `${row.estimate === null ? "" : `<circle class="canary-dot" cx="${n(x(row.estimate))}" cy="${middle}" r="5"/>`}</g>`
      : `<text class="tick" x="${n(frame.left + width / 2)}" y="${middle - 6}" text-anchor="middle">no comparison yet</text>`;
    const place = (value: number, label: string, name: string, below: boolean): string => {
      const at = x(value);
      const anchor = at > frame.width - frame.right - 60 ? "end" : at < frame.left + 60 ? "start" : "middle";
      return `<line class="${name}" x1="${n(at)}" x2="${n(at)}" y1="${middle - 13}" y2="${middle + 13}"/><text class="${name}" x="${n(at)}" y="${below ? middle + 25 : middle - 17}" text-anchor="${anchor}">${escapeHtml(label)}</text>`;
    };
    const said = row.estimate === null ? "" : row.format(row.estimate);
    return (
      `<text class="row" x="0" y="${middle - 2}">${escapeHtml(row.label)}</text><text class="row-value" x="0" y="${middle + 14}">${escapeHtml(said)}</text>` +
      `<line class="grid" x1="${frame.left}" x2="${frame.width - frame.right}" y1="${middle}" y2="${middle}"/>` +
      `${place(row.reference, row.referenceLabel, "reference", true)}${place(row.margin, row.marginLabel, "margin", false)}${interval}`
    );
  });
  return svg(frame, "Estimate and anytime interval of each gate", body.join(""));
}

// SPDX-License-Identifier: Apache-2.0
// Curves over time on a canvas, in the page's colours.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { exactMoment } from "./words.ts";

export interface Curve {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** Name of a colour of the style sheet, without its dashes. */
  readonly colour: string;
  readonly dashed?: boolean;
  readonly steps?: boolean;
  readonly width?: number;
  /** An interval around the curve. */
  readonly band?: { readonly lower: readonly (number | null)[]; readonly upper: readonly (number | null)[] };
}

export interface Mark {
  readonly at: number;
  readonly label: string;
  readonly bad?: boolean;
}

export interface ChartProps {
  /** What the chart shows, for whoever cannot see it. */
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly at: readonly number[];
  readonly curves: readonly Curve[];
  readonly format: (value: number) => string;
  readonly height?: number;
  readonly marks?: readonly Mark[];
  /** Values that the vertical axis must reach. */
  readonly reach?: readonly number[];
  readonly whole?: boolean;
}

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

type Series = (number | null)[];

function dataOf({ at, curves }: ChartProps): uPlot.AlignedData {
  const columns: Series[] = curves.flatMap(({ values, band }): Series[] => (band === undefined ? [[...values]] : [[...values], [...band.lower], [...band.upper]]));
  return [at.map((moment) => moment / 1_000), ...columns];
}

function optionsOf(props: ChartProps, width: number, say: (text: string) => void): uPlot.Options {
  const ink = colour("soft");
  const line = colour("line");
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const curve of props.curves) {
    const stroke = colour(curve.colour);
    series.push({
      label: curve.label,
      stroke,
      width: curve.width ?? 2,
      points: { show: false },
      spanGaps: true,
      ...(curve.dashed === true ? { dash: [6, 4] } : {}),
      ...(curve.steps === true ? { paths: (uPlot.paths.stepped as (options: object) => uPlot.Series.PathBuilder)({ align: 1 }) } : {}),
    });
    if (curve.band !== undefined) {
      const hidden: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push({ ...hidden, label: "from" }, { ...hidden, label: "to" });
      bands.push({ series: [series.length - 1, series.length - 2], fill: colour(`${curve.colour}-soft`) });
    }
  }
  return {
    width,
    height: props.height ?? 190,
    series,
    bands,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: { time: true },
      y: {
        range: (_plot, low, high) => {
          const reach = [...(props.reach ?? []), low, high].filter((value): value is number => value !== null && Number.isFinite(value));
          const from = Math.min(...reach);
          const to = Math.max(...reach);
          const pad = (to - from || Math.abs(to) || 1) * 0.06;
          return [from === 0 ? 0 : from - pad, to + pad];
        },
      },
    },
    axes: [
      { stroke: ink, grid: { show: false }, ticks: { stroke: line, size: 4 }, font: "11px system-ui, sans-serif", space: 64, size: 38, values: timeTicks },
      {
        stroke: ink,
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        size: 58,
        font: "11px system-ui, sans-serif",
        values: (_plot, ticks) => ticks.map((tick) => (props.whole === true && !Number.isInteger(tick) ? "" : props.format(tick))),
      },
    ],
    hooks: {
      draw: [(plot) => drawMarks(plot, props.marks ?? [])],
      setCursor: [(plot) => say(readout(plot, props))],
    },
  };
}

/** Hours of a day of 24, and the day where it changes. */
const timeTicks = [
  [3_600 * 24 * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [3_600 * 24, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
] as uPlot.Axis.Values;

/** Moments of the rollout as vertical lines with their names. */
function drawMarks(plot: uPlot, marks: readonly Mark[]): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  let free = Number.NEGATIVE_INFINITY;
  for (const { at, label, bad } of marks) {
    const x = Math.round(plot.valToPos(at / 1_000, "x", true));
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) {
      continue;
    }
    ctx.strokeStyle = ctx.fillStyle = colour(bad === true ? "bad" : "soft");
    ctx.setLineDash(bad === true ? [] : [2 * ratio, 3 * ratio]);
    ctx.lineWidth = ratio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(label).width;
    const left = x + width + 8 * ratio > bbox.left + bbox.width ? x - width - 4 * ratio : x + 4 * ratio;
    if (left > free) {
      ctx.fillText(label, left, bbox.top + 11 * ratio);
      free = left + width + 6 * ratio;
    }
  }
  ctx.restore();
}

function readout(plot: uPlot, props: ChartProps): string {
  const index = plot.cursor.idx;
  const at = typeof index === "number" ? props.at[index] : undefined;
  if (typeof index !== "number" || at === undefined) {
    return "";
  }
  const values = props.curves.flatMap(({ label, values: list, band }) => {
    const value = list[index];
    if (typeof value !== "number") {
      return [];
    }
    const [lower, upper] = [band?.lower[index], band?.upper[index]];
    return [`${label} ${props.format(value)}${typeof lower !== "number" || typeof upper !== "number" ? "" : ` (${props.format(lower)} to ${props.format(upper)})`}`];
  });
  return `${exactMoment(at)}: ${values.join(", ")}`;
}

export function Chart(props: ChartProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const said = useRef<HTMLParagraphElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const [look, setLook] = useState(0);
  // Another number of curves, other marks or colours: another chart. New values only move the one there is.
  const shape = JSON.stringify([props.curves.map(({ label, colour: name, band, dashed }) => [label, name, band !== undefined, dashed]), props.marks, props.reach, look]);

  useEffect(() => {
    const element = host.current as HTMLDivElement;
    const say = (text: string): void => {
      if (said.current !== null) {
        said.current.textContent = text;
      }
    };
    const made = new uPlot(optionsOf(latest.current, Math.max(200, element.clientWidth), say), dataOf(latest.current), element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0 && Math.abs(element.clientWidth - made.width) > 1) {
        made.setSize({ width: element.clientWidth, height: made.height });
      }
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [props.at, props.curves]);

  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const onChange = (): void => setLook((before) => before + 1);
    scheme.addEventListener("change", onChange);
    return () => scheme.removeEventListener("change", onChange);
  }, []);

  return (
    <div class="chart">
      <div ref={host} role="img" aria-label={props.label} />
      <p class="readout" ref={said} aria-hidden="true" />
    </div>
  );
}

/** What the lines of a chart mean. */
export function Legend({ curves }: { readonly curves: readonly (Pick<Curve, "label" | "colour" | "dashed"> & { readonly band?: unknown })[] }): JSX.Element {
  return (
    <ul class="legend">
      {curves.map(({ label, colour: name, dashed, band }) => (
        <li key={label}>
          <i class={`key ${name}${dashed === true ? " dashed" : ""}`} aria-hidden="true" />
          {label}
          {band === undefined ? "" : ", 95 % interval"}
        </li>
      ))}
    </ul>
  );
}

// SPDX-License-Identifier: Apache-2.0
// One gate: its verdict in words, its evidence against what it halts at, and both arms over time.
import type { RolloutSeriesView } from "@coalmine/api";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Chart, type Curve, Legend, type Mark } from "./chart.tsx";
import { Badge, Table } from "./parts.tsx";
import { changeWords, count, curveTitle, estimateKind, estimateWords, type GateView, odds, percent, short, superscript } from "./words.ts";

interface GateCardProps {
  readonly gate: GateView;
  readonly series: RolloutSeriesView | undefined;
  readonly marks: readonly Mark[];
  readonly overridden: boolean;
  readonly criterion: { readonly min?: number } | undefined;
}

/** The lowest evidence that is told apart on the chart: 1 in 100. */
const floor = -2;

export function GateCard({ gate, series, marks, overridden, criterion }: GateCardProps): JSX.Element {
  const curves = series?.gates.find((one) => one.gate === gate.gate);
  const weighed = gate.evidence !== undefined;
  const kind = estimateKind(gate);
  const evidence = useMemo((): Curve[] | undefined => {
    if (series === undefined || curves === undefined || curves.haltAt === null) {
      return undefined;
    }
    const threshold = curves.haltAt / Math.LN10;
    return [
      { label: "evidence of harm", colour: "canary", values: curves.lnEHalt.map((value) => (value === null ? null : Math.max(floor, value / Math.LN10))) },
      { label: "halts at", colour: "bad", dashed: true, width: 1.5, values: series.at.map(() => threshold) },
    ];
  }, [series, curves]);
  const arms = useMemo((): Curve[] | undefined => {
    if (series === undefined || curves === undefined) {
      return undefined;
    }
    const arm = ({ estimate, lower, upper }: NonNullable<typeof curves.canary>) => ({ values: estimate, ...(upper.some((value) => value !== null) ? { band: { lower, upper } } : {}) });
    return [
      { label: "canaries", colour: "canary", ...arm(curves.canary) },
      ...(curves.control === null ? [] : [{ label: "controls", colour: "control", dashed: true, ...arm(curves.control) }]),
      ...(criterion?.min === undefined || kind !== "share" ? [] : [{ label: weighed ? "limit" : "bound", colour: "bad", dashed: true, width: 1.5, values: series.at.map(() => (weighed ? 1 - (criterion.min as number) : (criterion.min as number))) }]),
    ];
  }, [series, curves, criterion?.min, weighed, kind]);
  const format = kind === "share" ? percent : short;
  const title = curveTitle(gate);
  const canaries = estimateWords(kind, gate.canary.estimate);
  return (
    <article class={`card gate ${gate.verdict}`} aria-labelledby={`gate-${gate.gate}`}>
      <header>
        <h3 id={`gate-${gate.gate}`}>{gate.gate}</h3>
        <Badge word={gate.verdict} />
        {overridden ? <span class="mark warn">overridden: not enforced</span> : null}
      </header>
      <p class="reason">{gate.reason}</p>
      <div class="pair">
        {evidence === undefined || gate.evidence === undefined || series === undefined ? null : (
          <figure>
            <figcaption>
              <span>Evidence of harm</span>
              <span class={gate.evidence.lnEHalt >= gate.evidence.haltAt ? "bad-text" : "soft"}>
                {odds(gate.evidence.lnEHalt)} of {odds(gate.evidence.haltAt)}
              </span>
            </figcaption>
            <Chart
              label={`Evidence of harm of gate ${gate.gate} over time: ${odds(gate.evidence.lnEHalt)} now, it halts at ${odds(gate.evidence.haltAt)}.`}
              at={series.at}
              curves={evidence}
              format={power}
              marks={marks}
              reach={[0, gate.evidence.haltAt / Math.LN10]}
              height={170}
            />
            <Legend curves={evidence} />
          </figure>
        )}
        {arms === undefined || series === undefined ? null : (
          <figure>
            <figcaption>
              <span>{title}</span>
              <span class="soft">{canaries}</span>
            </figcaption>
            <Chart label={`${title}: canaries ${canaries}, ${gate.control === null ? "no controls" : `controls ${estimateWords(kind, gate.control.estimate)}`}.`} at={series.at} curves={arms} format={format} marks={marks} reach={kind === "mean" ? [] : [0]} height={170} />
            <Legend curves={arms} />
          </figure>
        )}
      </div>
      <details open={gate.verdict === "fail"}>
        <summary>What would change it, and the numbers</summary>
        <ul class="advice">
          {changeWords(gate).map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        <Table
          label={`Numbers of gate ${gate.gate}`}
          columns={[{ title: "arm" }, { title: "devices", number: true }, { title: "device-hours", number: true }, { title: "events", number: true }, { title: "estimate", number: true }]}
          rows={([["canaries", gate.canary], ["controls", gate.control]] as const).flatMap(([name, arm]) => (arm === null ? [] : [[name, count(arm.devices), arm.exposure_h > 0 ? `${short(arm.exposure_h)} h` : "–", count(arm.events), estimateWords(kind, arm.estimate)]]))}
        />
      </details>
    </article>
  );
}

/** A label of the logarithmic axis. */
function power(log10: number): string {
  return log10 >= -1 && log10 <= 3 ? short(10 ** log10) : `10${superscript(Number(log10.toFixed(1)))}`;
}

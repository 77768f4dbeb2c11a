// SPDX-License-Identifier: Apache-2.0
// How well a canary covers the fleet, in words and rows (evidence.md 5).
import type { Representativeness } from "@coalmine/evidence";

const said = { yes: "represents the fleet", warn: "represents the fleet with gaps", no: "does not represent the fleet: no stage passes without a person" } as const;

/** Numbers with what decides in front. */
export function coverSentence(cover: Representativeness): string {
  const number = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : "unbounded");
  return (
    `The canary ${said[cover.verdict]}: total variation ${number(cover.tv)}, uncovered ${(100 * cover.uncovered).toFixed(1)} %, max |SMD| ${number(cover.maxSmd)}; ` +
    `Jensen-Shannon ${number(cover.js)} bits, chi2 ${number(cover.chi2)} (p ${number(cover.p)}), effective size ${cover.neff.toFixed(1)}.`
  );
}

export const coverTitles = ["stratum", "devices", "canaries", "failures up to"] as const;

const rowsMax = 60;

/** Largest strata first. The last column: the share of failures that none among the stratum's canaries leaves possible (95 %). */
export function coverRows(cover: Representativeness): string[][] {
  return [...cover.strata]
    .sort((a, b) => b.fleet - a.fleet || (a.stratum < b.stratum ? -1 : 1))
    .slice(0, rowsMax)
    .map(({ stratum, fleet, canary, depth }) => [stratum, fleet.toLocaleString("en"), canary.toLocaleString("en"), `${(100 * depth).toFixed(depth < 0.1 ? 1 : 0)} %`]);
}

// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, Profile, SectorPool } from "@coalmine/mcuboot";
import { Flash, boot, formatVersion, withProfile } from "@coalmine/mcuboot";
import type { BootRow, CutRow, Digests, PowercutCase, Vectors } from "./mcuboot-vectors.ts";
import { operationRecord } from "./mcuboot-vectors.ts";

/** Rows of power-cut cases: how many agree, and what became of the ones where the original went wrong. */
export interface CutReport {
  rows: number;
  agree: number;
  anomalies: { rows: number; reproduced: number; safe: number };
  readonly failures: { readonly id: string; readonly level: string; readonly detail: string }[];
}

interface Bench {
  readonly config: BootConfig;
  readonly flash: Flash;
  readonly digests: Digests;
  readonly states: readonly string[];
  readonly torn: boolean;
}

/** Cuts the power at every recorded operation and lets the device boot on. */
export function runPowercut(test: PowercutCase, vectors: Vectors, pool: SectorPool, digests: Digests, profile: Profile): CutReport {
  const report: CutReport = { rows: 0, agree: 0, anomalies: { rows: 0, reproduced: 0, safe: 0 }, failures: [] };
  const config = withProfile(vectors.config(test.config), profile);
  const flash = Flash.create(test.areas, { pool, dump: vectors.binary(test.flash0) });
  const bench: Bench = { config, flash, digests, states: test.states, torn: test.torn };
  const start = flash.snapshot();
  const nv = [...(test.state0.nv ?? [])];
  const fail = (level: string, detail: string): void => {
    report.failures.push({ id: test.id, level, detail });
  };
  if (digests.whole(flash) !== test.state0.sha) {
    fail("state", `start: sha ${digests.whole(flash)}, expected ${test.state0.sha}`);
  }
  checkReference(bench, test, nv, fail);
  if (profile === "exact") {
    flash.restore(start);
    checkTrace(bench, test, vectors, nv, fail);
  }
  for (const [index, file] of test.savedStates) {
    if (vectors.digestOf(file) !== test.states[index]) {
      fail("state", `${file} is not the recorded state ${index}`);
    }
  }
  const wanted = finalVersion(test);

  const runRow = (name: string, row: CutRow, restore: () => number[]): void => {
    report.rows++;
    const counters = restore();
    const [problems, ends] = replayRow(bench, row, counters);
    const same = problems.length === 0;
    const right = ends.outcome === "boot" && ends.version === wanted;
    report.agree += same ? 1 : 0;
    if (isAnomaly(test, row, wanted)) {
      report.anomalies.rows++;
      report.anomalies.reproduced += same ? 1 : 0;
      report.anomalies.safe += !same && right ? 1 : 0;
    }
    // Under `safe` the way may differ; what counts is where it ends.
    if (profile === "safe" ? !right : !same) {
      fail("row", `${name}: ${profile === "safe" ? `ends with ${ends.outcome} ${ends.version ?? ""}, not ${wanted}` : problems.join("; ")}`);
    }
  };

  for (const row of test.rows ?? []) {
    runRow(`cut before ${row[0]}`, row, () => {
      flash.restore(start);
      return nv;
    });
  }
  for (const double of test.doubles ?? []) {
    flash.restore(start);
    const first = boot(config, flash, { cutBefore: double.n1, nv });
    const middle = flash.snapshot();
    if (profile === "exact" && (first.outcome !== "cut" || digests.whole(flash) !== test.states[double.afterFirst])) {
      fail("state", `first cut before ${double.n1}: not the recorded state ${double.afterFirst}`);
    }
    const recovery = boot(config, flash, { nv: first.nv });
    if (profile === "exact" && recovery.ops.total !== double.total2) {
      fail("ops", `the boot after a cut before ${double.n1} takes ${recovery.ops.total} operations, expected ${double.total2}`);
    }
    for (const row of double.rows) {
      runRow(`cuts before ${double.n1} and ${row[0]}`, row, () => {
        flash.restore(middle);
        return [...first.nv];
      });
    }
  }
  return report;
}

/** The boot under test and those after it, without a cut. */
function checkReference(bench: Bench, test: PowercutCase, nv: readonly number[], fail: (level: string, detail: string) => void): void {
  const { config, flash, digests } = bench;
  let counters = [...nv];
  for (const [i, expected] of test.reference.entries()) {
    const result = boot(config, flash, { nv: counters });
    counters = [...result.nv];
    const have = [result.outcome, result.swapType, result.ops.total, digests.whole(flash)].join(" ");
    const want = [expected.outcome, expected.swapTypeBefore, expected.ops?.total, expected.sha].join(" ");
    if (have !== want && config.profile === "exact") {
      fail("reference", `boot ${i + 1}: ${have}, expected ${want}`);
    }
  }
}

/** Every operation of the boot under test, byte by byte, against the recorded trace. */
function checkTrace(bench: Bench, test: PowercutCase, vectors: Vectors, nv: readonly number[], fail: (level: string, detail: string) => void): void {
  const trace = vectors.binary(test.trace);
  const view = new DataView(trace.buffer, trace.byteOffset, trace.byteLength);
  let at = 0;
  let n = 0;
  let problem: string | undefined;
  bench.flash.observe((operation) => {
    n++;
    if (problem !== undefined) {
      return;
    }
    const want =
      at + 12 > trace.length ? "nothing" : [String.fromCharCode(trace[at] ?? 0), trace[at + 1], view.getUint32(at + 4, true), view.getUint32(at + 8, true)].join();
    const data = trace.subarray(at + 12, at + 12 + (operation.data?.length ?? 0));
    at += 12 + (operation.data?.length ?? 0);
    if (operationRecord(operation) !== want) {
      problem = `operation ${n}: ${operationRecord(operation)}, expected ${want}`;
    } else if (operation.data !== undefined && Buffer.compare(data, operation.data) !== 0) {
      problem = `operation ${n}: other bytes written`;
    }
  });
  boot(bench.config, bench.flash, { nv });
  bench.flash.observe();
  if (problem === undefined && (at !== trace.length || n !== test.total)) {
    problem = `${n} operations and ${at} bytes, expected ${test.total} and ${trace.length}`;
  }
  if (problem !== undefined) {
    fail("trace", problem);
  }
}

/** The image a device must run in the end, however often the power was lost. */
function finalVersion(test: PowercutCase): string | undefined {
  return test.reference.at(-1)?.hdr?.version;
}

/** A recorded row is an anomaly when it does not go through the reference's versions: late, wrong, or never. */
function isAnomaly(test: PowercutCase, row: CutRow, wanted: string | undefined): boolean {
  const listed = test.anomalies.some((anomaly) => anomaly[0] === row[0]) && test.rows !== undefined;
  const last = row[3].at(-1);
  return listed || last?.[0] !== "boot" || last[4] !== wanted;
}

function replayRow(bench: Bench, row: CutRow, nv: readonly number[]): [string[], { outcome: string; version: string | undefined }] {
  const { config, flash, digests, states } = bench;
  const problems: string[] = [];
  const [n, operation, cutState, boots] = row;
  const cut = boot(config, flash, { cutBefore: n, torn: bench.torn, nv });
  if (cut.outcome !== "cut") {
    problems.push(`no power cut: ${cut.outcome}`);
  }
  if (operationRecord(cut.cutAt) !== operation.join()) {
    problems.push(`cut at ${operationRecord(cut.cutAt)}, expected ${operation.join()}`);
  }
  if (digests.whole(flash) !== states[cutState]) {
    problems.push("flash after the cut differs");
  }
  let counters = cut.nv;
  let ends: { outcome: string; version: string | undefined } = { outcome: cut.outcome, version: undefined };
  for (const [i, expected] of boots.entries()) {
    const result = boot(config, flash, { nv: counters });
    counters = result.nv;
    const version = result.version && formatVersion(result.version);
    ends = { outcome: result.outcome, version };
    const problem = compareBoot(expected, [result.outcome, result.swapType, result.ops.total, result.slot ?? null, version ?? null], digests.whole(flash) === states[expected[5]]);
    if (problem !== undefined) {
      problems.push(`boot ${i + 1} after the cut: ${problem}`);
    }
  }
  return [problems, ends];
}

function compareBoot(expected: BootRow, have: readonly [string, string, number, string | null, string | null], stateEqual: boolean): string | undefined {
  const want = [expected[0], expected[1], expected[2], expected[3] ?? null, expected[4] ?? null];
  const text = (values: readonly unknown[]): string => values.map(String).join(" ");
  if (text(have) !== text(want)) {
    return `${text(have)}, expected ${text(want)}`;
  }
  return stateEqual ? undefined : "flash differs";
}

// SPDX-License-Identifier: Apache-2.0
// What `coalmine rehearse PLAN --json` found, shown from its file. Nothing of it leaves the browser.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Card, Icon, Table } from "./parts.tsx";
import { count, duration, percent } from "./words.ts";

interface Defect {
  readonly name: string;
  readonly value: string | number;
  readonly halted: number;
  readonly missed: number;
  readonly medianExposed: number | null;
  readonly p90Exposed: number | null;
  readonly medianHoursToHalt: number | null;
}

interface RehearsalResult {
  readonly runs: number;
  readonly defects: readonly Defect[];
  readonly good: { readonly runs: number; readonly halted: number; readonly held: number; readonly falseHaltRate: number; readonly falseHaltUpper95: number; readonly medianHoursToComplete: number | null };
}

const bytesMax = 5_000_000;

export function Rehearsal(): JSX.Element {
  const [result, setResult] = useState<RehearsalResult>();
  const [problem, setProblem] = useState<string>();
  const read = async (file: File | undefined): Promise<void> => {
    setProblem(undefined);
    setResult(undefined);
    if (file === undefined) {
      return;
    }
    try {
      if (file.size > bytesMax) {
        throw new Error("too large");
      }
      const data = JSON.parse(await file.text()) as Partial<RehearsalResult>;
      if (!Array.isArray(data.defects) || typeof data.good?.runs !== "number") {
        throw new Error("no rehearsal");
      }
      setResult(data as RehearsalResult);
    } catch {
      setProblem(`${file.name} is not what "coalmine rehearse PLAN --json" prints`);
    }
  };
  return (
    <Card title="Rehearsal">
      <label class="file">
        How the plan did against a simulated twin of the fleet: the file of <code>coalmine rehearse plan.yaml --fleet fleet.yaml --json &gt; rehearsal.json</code>
        <input type="file" accept="application/json,.json" onChange={(event) => void read(event.currentTarget.files?.[0])} />
      </label>
      {problem === undefined ? null : (
        <p class="problem" role="alert">
          <Icon name="warn" />
          {problem}
        </p>
      )}
      {result === undefined ? null : (
        <>
          <ul class="advice">
            <li>
              Of {count(result.good.runs)} good releases {count(result.good.halted)} were halted ({percent(result.good.falseHaltRate)}, at most {percent(result.good.falseHaltUpper95)} at 95 %) and {count(result.good.held)} held
              {result.good.medianHoursToComplete === null ? "." : `; half were done after ${duration(result.good.medianHoursToComplete * 3_600_000)}.`}
            </li>
          </ul>
          <Table
            label="Rehearsed defects"
            columns={[{ title: "defect" }, { title: "halted", number: true }, { title: "missed", number: true }, { title: "exposed, median", number: true }, { title: "exposed, 9 of 10", number: true }, { title: "to the halt", number: true }]}
            rows={result.defects.map((defect) => [
              `${defect.name} = ${defect.value}`,
              count(defect.halted),
              defect.missed === 0 ? "0" : <strong key="missed" class="warn-text">{count(defect.missed)}</strong>,
              defect.medianExposed === null ? "–" : count(defect.medianExposed),
              defect.p90Exposed === null ? "–" : count(defect.p90Exposed),
              defect.medianHoursToHalt === null ? "–" : duration(defect.medianHoursToHalt * 3_600_000),
            ])}
          />
        </>
      )}
    </Card>
  );
}

// SPDX-License-Identifier: Apache-2.0
import { formatDuration, type Millis, parseDuration } from "@coalmine/core";
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { type ClientFlags, clientOf, clientOptions, path as pathOf } from "../client.ts";
import type { TwinDevice } from "../inventory-twin.ts";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { progress } from "../output/progress.ts";
import { table } from "../output/table.ts";
import { defectHelp } from "../rehearse-defect.ts";
import type { RehearsalResult } from "../rehearse-result.ts";
import { example } from "./example.ts";
import { type SelectorFlags, selectorOf, selectorOptions } from "./selector.ts";

interface Flags extends ClientFlags, SelectorFlags {
  readonly fleet?: string;
  readonly cohort?: string;
  readonly defect: readonly string[];
  readonly runs: number;
  readonly seed: number;
  readonly devices?: number;
  readonly checkIn?: Millis;
  readonly workers?: number;
}

export function register(program: Command): void {
  const command = selectorOptions(
    clientOptions(
      program.command("rehearse").description("run a plan in virtual time against a twin of the fleet: a good release, and hypothetical defects").argument("<plan>", "plan file (YAML)"),
    ),
  )
    .option("--cohort <name>", "with an orchestrator: the twin of this cohort; without cohort or selector of every device")
    .option("--fleet <file>", "fleet file (YAML) that the twin is drawn from; without it, from the inventory of a running orchestrator")
    .option("--defect <name=value>", "a hypothetical defect; repeat it for more (see below)", (text: string, before: readonly string[]) => [...before, text], [])
    .option("--runs <n>", "virtual rollouts of the good release, and of each defect", whole, 20)
    .option("--seed <n>", "seed of everything random", whole, 1)
    .option("--devices <n>", "devices of the twin, instead of the fleet file's number", whole)
    .option("--check-in <duration>", "the twin's devices report at most this often; a quarter of the shortest soak, up to 6h, if not given", span)
    .option("--workers <n>", "processor cores to use; all if not given", whole)
    .addHelpText("after", `\nDefects:\n${defectHelp.map((line) => `  ${line}`).join("\n")}`)
    .action(run);
  example(
    command,
    "npx coalmine rehearse plan.yaml --fleet fleet.yaml --defect boot-failure=5% --defect crash-rate=5x --runs 50",
    "npx coalmine rehearse plan.yaml --fleet fleet.yaml --defect hardware=revB,boot-failure=20% --json",
    "npx coalmine rehearse plan.yaml --url http://127.0.0.1:8080 --cohort field --defect silent=2%",
  );
}

/** Most devices of an inventory that are asked for. */
const devicesMax = 200_000;

async function inventory(flags: Flags) {
  const [{ twinOfInventory }, { matches }] = await Promise.all([import("../inventory-twin.ts"), import("@coalmine/orchestrator")]);
  const client = clientOf(flags);
  const { items } = await client.pages<TwinDevice>("/devices", "devices", devicesMax);
  const selector = selectorOf(flags);
  const ids = flags.cohort === undefined ? undefined : new Set((await client.get<{ devices: readonly string[] }>(pathOf`/cohorts/${flags.cohort}/devices`)).devices);
  const chosen = items.filter((device) => (ids === undefined || ids.has(device.id)) && (selector === undefined || matches(selector, device)));
  return twinOfInventory(chosen, flags.seed);
}

async function run(path: string, flags: Flags): Promise<void> {
  const out = output(flags);
  out.note(`seed ${flags.seed}`);
  const { rehearsal } = await import("../rehearsal.ts");
  const shown = progress("virtual rollouts", process.stderr);
  try {
    const result = await rehearsal({
      planFile: path,
      fleet: flags.fleet === undefined ? await inventory(flags) : { file: flags.fleet },
      defects: flags.defect,
      runs: flags.runs,
      seed: flags.seed,
      devices: flags.devices,
      checkIn: flags.checkIn,
      workers: flags.workers,
      progress: (done, total, text) => shown.update(done, total, text),
    });
    shown.end();
    out.result(result, () => describe(result));
    process.exitCode = exitCodes.done;
  } finally {
    shown.end();
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const hours = (value: number | null): string => (value === null ? "-" : value < 10 ? `${value.toFixed(1)} h` : `${Math.round(value)} h`);
const tally = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, number]) => `${name} ${number}`)
    .join(", ") || "-";

function describe(result: RehearsalResult): string {
  const { good } = result;
  const lines = [
    `${result.devices} devices, ${result.runs} runs each, check-in at most every ${formatDuration((result.checkInHours * 3_600_000) as Millis)}: ` +
      `${Math.round(result.deviceDays).toLocaleString("en")} device-days in ${result.wallSeconds.toFixed(0)} s`,
    "",
    table(
      [{ title: "good release" }, { title: "halted", align: "right" }, { title: "held", align: "right" }, { title: "completed", align: "right" }, { title: "false halts" }, { title: "95 % bound", align: "right" }, { title: "median time", align: "right" }],
      [[`${good.runs} runs`, good.halted, good.held, good.completed, `${percent(good.falseHaltRate)}${good.halted === 0 ? "" : ` (${tally(good.haltedBy)})`}`, percent(good.falseHaltUpper95), hours(good.medianHoursToComplete)]],
    ),
    ...(good.held === 0 ? [] : [`held for a person to decide, by what had not passed: ${tally(good.heldBy)}`]),
  ];
  if (result.defects.length > 0) {
    lines.push(
      "",
      table(
        [
          { title: "defect" },
          { title: "halted", align: "right" },
          { title: "held", align: "right" },
          { title: "missed", align: "right" },
          { title: "exposed", align: "right" },
          { title: "p90", align: "right" },
          { title: "time to halt", align: "right" },
          { title: "in stage" },
          { title: "by", flexible: true },
        ],
        result.defects.map((defect) => [
          `${defect.name}=${defect.value}`,
          { text: String(defect.halted), tone: defect.halted === defect.runs ? "good" : "warn" } as const,
          defect.held,
          { text: String(defect.missed), tone: defect.missed === 0 ? "good" : "bad" } as const,
          Math.round(defect.medianExposed),
          Math.round(defect.p90Exposed),
          hours(defect.medianHoursToHalt),
          tally(defect.haltedInStage),
          tally(defect.haltedBy),
        ]),
      ),
    );
  }
  lines.push("", ...result.statement.map((line) => `  ${line}`), ...result.warnings.map((warning) => `warning: ${warning}`));
  return lines.join("\n");
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === "") {
    throw new InvalidArgumentError("must be a whole number of at least 0");
  }
  return value;
}

function span(text: string): Millis {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}


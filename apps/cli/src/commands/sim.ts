// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, formatDuration, type Instant, Seconds } from "@coalmine/core";
import type { RolloutSummary } from "@coalmine/orchestrator";
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { progress } from "../output/progress.ts";
import { facts, table } from "../output/table.ts";
import type { SimResult, Transport } from "../sim-engine.ts";
import { lossShare } from "./arguments.ts";
import { example } from "./example.ts";
import { registerFleet } from "./sim-fleet.ts";
import { registerRelease } from "./sim-release.ts";

interface RunFlags {
  readonly transport: Transport;
  readonly devices?: number;
  readonly seed?: number;
  readonly speed?: number;
  readonly loss?: number;
  readonly trace?: string;
  readonly states?: string;
  readonly json?: true;
}

interface TestFlags {
  readonly transport: Transport;
  readonly junit?: string;
  readonly json?: true;
}

export function register(program: Command): void {
  const sim = program.command("sim").description("run simulated fleets: scenarios in virtual time or over real MQTT or CoAP, or devices alone; build releases for them");
  example(
    sim
      .command("run")
      .description("run one scenario and print what came of its rollouts")
      .argument("<scenario>", "scenario file (YAML)")
      .option("--transport <name>", "virtual, mqtt or coap", transport, "virtual")
      .option("--devices <n>", "devices, instead of the scenario's number", whole)
      .option("--seed <n>", "seed, instead of the scenario's", whole)
      .option("--speed <n>", "device time per real time, over real sockets", whole)
      .option("--loss <share>", "share of the datagrams that get lost in each direction, over CoAP", lossShare)
      .option("--trace <file>", "write every entry of the log to this file, one JSON document a line")
      .option("--states <file>", "write each device's last state to this file as JSON, in the order of ids")
      .option("--json", "one JSON document on stdout")
      .action(runOne),
    "npx coalmine sim run simulator/scenarios/one-revision.yaml --seed 7",
    "npx coalmine sim run simulator/scenarios/good-release.yaml --transport mqtt --devices 1000",
    "npx coalmine sim run simulator/scenarios/demo.yaml --transport coap --loss 5%",
  );
  example(
    sim
      .command("test")
      .description("run scenarios and check their expectations; ends with 1 when one is not met")
      .argument("<path...>", "scenario files, or folders of them")
      .option("--transport <name>", "virtual, mqtt or coap", transport, "virtual")
      .option("--junit <file>", "write JUnit XML")
      .option("--json", "one JSON document on stdout")
      .action(testAll),
    "npx coalmine sim test simulator/scenarios --junit sim.xml",
  );
  registerFleet(sim);
  registerRelease(sim);
}

async function runOne(path: string, flags: RunFlags): Promise<void> {
  const { loadScenario } = await import("../fleet-source.ts");
  const { simulate } = await import("../sim-engine.ts");
  const scenario = loadScenario(path);
  const out = output(flags);
  out.note(`scenario ${scenario.name}, seed ${flags.seed ?? scenario.seed}, ${flags.devices ?? scenario.fleet.devices} devices, ${flags.transport}`);
  const trace = flags.trace === undefined ? undefined : await openTrace(flags.trace);
  const shown = progress("devices through", process.stderr);
  try {
    const result = await simulate({
      scenario,
      transport: flags.transport,
      devices: flags.devices,
      seed: flags.seed,
      speed: flags.speed,
      loss: flags.loss,
      trace: trace?.write,
      warn: (message) => shown.line(message),
      progress: (at, rollouts) => showProgress(shown, at, rollouts),
    });
    shown.end();
    if (flags.states !== undefined) {
      await writeStates(flags.states, result);
    }
    out.result(withoutDevices(result), () => describe(result));
    process.exitCode = result.expectations.every((line) => line.ok) ? exitCodes.done : exitCodes.failed;
  } finally {
    shown.end();
    await trace?.close();
  }
}

function showProgress(shown: ReturnType<typeof progress>, at: Instant, rollouts: readonly RolloutSummary[]): void {
  const current = rollouts.at(-1);
  if (current === undefined) {
    return;
  }
  const open = current.stages.findLast((stage) => stage.openedAt !== null);
  const settledStates = ["healthy", "failed", "reverted", "refused", "missing", "excused", "quarantined"];
  const done = settledStates.reduce((sum, state) => sum + (current.states[state] ?? 0), 0);
  shown.update(done, current.population, `${current.release} ${current.status}, stage ${open?.name ?? "-"}, ${new Date(at).toISOString().slice(0, 16)}Z`);
}

/** Device by device is for the trace; the JSON keeps to what commands promise. */
function withoutDevices(result: SimResult): unknown {
  const { finalStates: _finalStates, ...rest } = result;
  return rest;
}

async function writeStates(path: string, result: SimResult): Promise<void> {
  const { writeFile } = await import("node:fs/promises");
  const sorted = Object.fromEntries(Object.entries(result.finalStates).sort(([a], [b]) => (a < b ? -1 : 1)));
  try {
    await writeFile(path, `${JSON.stringify(sorted, null, 1)}\n`);
  } catch (cause) {
    throw new CoalmineError("cli/usage", `cannot write the states to ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}

async function openTrace(path: string): Promise<{ write: (line: string) => void; close: () => Promise<void> }> {
  const { createWriteStream } = await import("node:fs");
  const { once } = await import("node:events");
  const stream = createWriteStream(path);
  try {
    await once(stream, "open");
  } catch (cause) {
    throw new CoalmineError("cli/usage", `cannot write the trace ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  return {
    write: (line) => {
      stream.write(`${line}\n`);
    },
    close: async () => {
      stream.end();
      await once(stream, "close");
    },
  };
}

function describe(result: SimResult): string {
  const rollouts = table(
    [{ title: "rollout" }, { title: "release" }, { title: "outcome" }, { title: "verdict" }, { title: "offered", align: "right" }, { title: "exposed", align: "right" }, { title: "states", flexible: true }],
    result.rollouts.map((rollout) => [
      rollout.id,
      rollout.release,
      { text: rollout.outcome, tone: rollout.outcome === "complete" ? "good" : "bad" } as const,
      rollout.verdict,
      rollout.offered,
      rollout.exposed,
      Object.entries(rollout.states).map(([state, count]) => `${count} ${state}`).join(", "),
    ]),
  );
  const checks = table(
    [{ title: "" }, { title: "expectation" }, { title: "found", flexible: true }],
    result.expectations.map((line) => [{ text: line.ok ? "ok" : "NOT MET", tone: line.ok ? "good" : "bad" } as const, line.name, line.detail]),
  );
  const halts = result.rollouts.flatMap((rollout) => (rollout.haltedBy === null ? [] : [[`halted ${rollout.id}`, `${rollout.haltedBy.gate}: ${rollout.haltedBy.reason}`] as const]));
  return [
    rollouts,
    "",
    checks,
    "",
    facts([
      ...halts,
      ["virtual time", formatDuration(Seconds(result.virtualSeconds))],
      ["wall time", `${result.wallSeconds.toFixed(1)} s`],
      ["events", result.events.toLocaleString("en")],
      ["log", `${result.log.events} entries, sha256 ${result.log.sha256}`],
    ]),
  ].join("\n");
}

async function testAll(paths: readonly string[], flags: TestFlags): Promise<void> {
  const { loadScenario } = await import("../fleet-source.ts");
  const { simulate } = await import("../sim-engine.ts");
  const files = await scenarioFiles(paths);
  const out = output(flags);
  const results: (Pick<SimResult, "scenario" | "seed" | "wallSeconds" | "expectations"> & { file: string; error: string | null })[] = [];
  const shown = progress("scenarios", process.stderr);
  for (const [index, file] of files.entries()) {
    shown.update(index, files.length, file);
    try {
      const scenario = loadScenario(file);
      const { seed, wallSeconds, expectations } = await simulate({ scenario, transport: flags.transport });
      results.push({ file, scenario: scenario.name, seed, wallSeconds, expectations, error: null });
    } catch (error) {
      if (!(error instanceof CoalmineError)) {
        throw error;
      }
      results.push({ file, scenario: file, seed: 0, wallSeconds: 0, expectations: [], error: error.message });
    }
  }
  shown.end();
  const failed = results.filter((result) => result.error !== null || result.expectations.some((line) => !line.ok));
  if (flags.junit !== undefined) {
    const { writeBytes } = await import("../files.ts");
    writeBytes(flags.junit, junit(results), { what: "JUnit XML to" });
  }
  out.result({ passed: results.length - failed.length, failed: failed.length, scenarios: results }, () =>
    [
      table(
        [{ title: "" }, { title: "scenario" }, { title: "seed", align: "right" }, { title: "s", align: "right" }, { title: "expectations", flexible: true }],
        results.map((result) => {
          const bad = result.expectations.filter((line) => !line.ok);
          const ok = result.error === null && bad.length === 0;
          const said = result.error ?? (ok ? `${result.expectations.length} met` : bad.map((line) => `${line.name}: ${line.detail}`).join("; "));
          return [{ text: ok ? "ok" : "FAILED", tone: ok ? "good" : "bad" } as const, result.scenario, result.seed, result.wallSeconds.toFixed(1), said];
        }),
      ),
      "",
      `${results.length - failed.length} of ${results.length} scenarios as expected`,
    ].join("\n"),
  );
  process.exitCode = failed.length === 0 ? exitCodes.done : exitCodes.failed;
}

async function scenarioFiles(paths: readonly string[]): Promise<string[]> {
  const { readdir, stat } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const files: string[] = [];
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) {
      throw new CoalmineError("cli/usage", `there is no ${path}`);
    }
    if (!found.isDirectory()) {
      files.push(path);
      continue;
    }
    const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).sort();
    files.push(...names.map((name) => join(path, name)));
  }
  if (files.length === 0) {
    throw new CoalmineError("cli/usage", `no scenario (*.yaml) in ${paths.join(", ")}`);
  }
  return files;
}

/** The common subset that CI systems read: one suite per scenario, one case per expectation. */
function junit(results: readonly (Pick<SimResult, "scenario" | "wallSeconds" | "expectations"> & { readonly error: string | null })[]): string {
  const escape = (text: string): string =>
    text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, "?");
  const suites = results.map((result) => {
    const cases = result.expectations.map(
      (line) =>
        `    <testcase classname="${escape(result.scenario)}" name="${escape(line.name)}">${line.ok ? "" : `<failure message="${escape(line.detail)}"/>`}</testcase>`,
    );
    if (result.error !== null) {
      cases.push(`    <testcase classname="${escape(result.scenario)}" name="runs"><error message="${escape(result.error)}"/></testcase>`);
    }
    const failures = result.expectations.filter((line) => !line.ok).length;
    return `  <testsuite name="${escape(result.scenario)}" tests="${cases.length}" failures="${failures}" errors="${result.error === null ? 0 : 1}" time="${result.wallSeconds.toFixed(3)}">\n${cases.join("\n")}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join("\n")}\n</testsuites>\n`;
}

function transport(text: string): Transport {
  if (text !== "virtual" && text !== "mqtt" && text !== "coap") {
    throw new InvalidArgumentError("must be virtual, mqtt or coap");
  }
  return text;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === "") {
    throw new InvalidArgumentError("must be a whole number of at least 0");
  }
  return value;
}

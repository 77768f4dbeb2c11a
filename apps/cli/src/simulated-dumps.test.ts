// SPDX-License-Identifier: Apache-2.0
// Simulated devices that send what their crashes leave: real dumps over the real wire format into the real index.
import { decodeCoredump, readSymbols } from "@coalmine/coredump";
import { createDevice, createShared, step, symbolFile } from "@coalmine/device";
import type { Scenario } from "@coalmine/fleet";
import { examineDump, loadSymbols, planJudge } from "@coalmine/orchestrator";
import { prepare, runScenario } from "@coalmine/site";
import { CrashIndex, memoryArtifactStore, memoryEventLog } from "@coalmine/store";
import { draw } from "@coalmine/world";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { loadScenario } from "./fleet-source.ts";

const scenarioOf = (name: string): Scenario => loadScenario(fileURLToPath(new URL(`../../../simulator/scenarios/${name}.yaml`, import.meta.url)));

async function run(scenario: Scenario, options: { readonly dumps: number; readonly devices: number }) {
  const log = memoryEventLog();
  const { rollouts, finalStates } = await runScenario({
    scenario: { ...scenario, fleet: { ...scenario.fleet, dumps: options.dumps } },
    judge: planJudge,
    log,
    artifacts: memoryArtifactStore(),
    boards: (seed) => {
      const shared = createShared(draw);
      return { make: (description) => createDevice(description, seed, shared), step };
    },
    devices: options.devices,
  });
  return { log, rollouts, finalStates: [...finalStates] };
}

test("a device that crashes sends its dump and its log: reason, function, thread and last words are those of the crash, and no device sends more than it may", async () => {
  const scenario = scenarioOf("demo");
  const { log } = await run(scenario, { dumps: 1, devices: 60 });
  const index = new CrashIndex(":memory:", { log, artifacts: memoryArtifactStore() });
  await index.settled();
  const { catalogue } = index;
  const builds = prepare(scenario, {}).releases.get("1.2.0")?.artifacts ?? [];
  const issues = catalogue.issues().filter((issue) => issue.reason === "bus fault");
  expect(issues.reduce((sum, issue) => sum + issue.dumps, 0)).toBeGreaterThan(0);
  expect(catalogue.totals()).toMatchObject({ open: 0, refused: 0 });
  for (const issue of issues) {
    expect(issue.dumps).toBe(issue.devices);
    const [file] = catalogue.dumps(issue.id, 1);
    const build = builds.find(({ buildId }) => buildId === file?.buildId);
    const bytes = catalogue.bytes(file?.id ?? 0) ?? new Uint8Array();
    const said = examineDump(bytes, loadSymbols(symbolFile({ imageHash: build?.imageHash ?? "", buildId: build?.buildId ?? "" }, draw)));
    expect(said).toMatchObject({ kind: "coredump", reason: "precise bus fault", thread: "sensor", symbolised: true, notes: [expect.stringMatching(/guesses/)] });
    expect(said.kind === "coredump" && said.frames.map((frame) => [frame.function?.split("+")[0], frame.certainty])).toEqual([
      ["calibration_read", "certain"],
      ["sensor_configure", "likely"],
      ["sensor_thread", "guess"],
      ["z_thread_entry", "guess"],
    ]);
    const words = new TextDecoder().decode(catalogue.bytes(catalogue.logBefore(file?.device as never, file?.buildId ?? "")?.id ?? 0));
    expect(words).toMatch(/no calibration page on this revision.*\n.*BUS FAULT.*\n.*pc\): 0x08[0-9a-f]{6}\n.*\(sensor\)\n$/);
  }
  await index.close();
});

test.each(["demo", "crash-loop", "boot-loop"])("%s ends as without dumps: the same rollouts, the same state of every device", async (name) => {
  const scenario = scenarioOf(name);
  const [none, some] = [await run(scenario, { dumps: 0, devices: 200 }), await run(scenario, { dumps: 3, devices: 200 })];
  expect(some.log.length).toBeGreaterThan(none.log.length);
  expect(some.rollouts).toEqual(none.rollouts);
  expect(some.finalStates).toEqual(none.finalStates);
});

test("the ELF of a build is one: every address that its crashes have lies in a function of its own, and its build id is found", () => {
  for (let build = 0; build < 50; build += 1) {
    const imageHash = build.toString(16).padStart(64, "0");
    const table = readSymbols(symbolFile({ imageHash, buildId: "00112233445566778899aabbccddeeff" }, draw));
    if (table.kind === "broken") {
      throw new Error(table.detail);
    }
    expect(table.buildId).toBe("00112233445566778899aabbccddeeff");
    expect(table.symbols.every((symbol, index) => symbol.size > 0 && symbol.start + symbol.size <= (table.symbols[index + 1]?.start ?? Number.POSITIVE_INFINITY))).toBe(true);
  }
  expect(decodeCoredump(new Uint8Array(4)).kind).toBe("broken");
});

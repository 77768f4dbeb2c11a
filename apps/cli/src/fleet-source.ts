// SPDX-License-Identifier: Apache-2.0
// Which fleet `sim fleet` and `sim release` mean, so that both mean the same one.
import { type FleetSpec, parseFleet, parseScenario, type Scenario } from "@coalmine/fleet";
import { readYaml } from "@coalmine/orchestrator";
import { dirname, join } from "node:path";
import { demoScenario } from "./demo-scenario.ts";
import { readText } from "./files.ts";

/** Reads a scenario file; a fleet file that it names lies beside it. */
export function loadScenario(path: string): Scenario {
  const text = readText(path, { what: "scenario" });
  return parseScenario(text, { source: path, readFleet: (name) => readText(join(dirname(path), name), { what: "fleet file of the scenario" }) });
}

/** The fleet of a fleet file, or of a scenario file; the demo's without one. */
export function loadFleet(path: string | undefined): FleetSpec {
  if (path === undefined) {
    return demoScenario().fleet;
  }
  const text = readText(path, { what: "fleet" });
  const data = readYaml(text, path);
  const isScenario = typeof data === "object" && data !== null && "fleet" in data && "releases" in data;
  return isScenario ? loadScenario(path).fleet : parseFleet(text, path);
}

// SPDX-License-Identifier: Apache-2.0
import { parseScenario, type Scenario } from "@coalmine/fleet";
import { readFileSync } from "node:fs";

/** The scenario that `coalmine demo` runs, and whose fleet `sim fleet` uses when it is given none. */
export function demoScenario(): Scenario {
  const file = new URL("../../../simulator/scenarios/demo.yaml", import.meta.url);
  return parseScenario(readFileSync(file, "utf8"), { source: "demo.yaml" });
}

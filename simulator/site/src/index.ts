// SPDX-License-Identifier: Apache-2.0
export type { CutTally } from "./boards.ts";
export type { Checked, Findings } from "./expectations.ts";
export { checkExpectations } from "./expectations.ts";
export type { FaultTarget } from "./faults.ts";
export { planFaults } from "./faults.ts";
export type { ScenarioResult, ScenarioRun } from "./scenario.ts";
export { finalStates, findings, isOver, prepare, runScenario, scenarioStart } from "./scenario.ts";
export type { Boards, SiteOptions } from "./site.ts";
export { VirtualSite } from "./site.ts";

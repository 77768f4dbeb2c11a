// SPDX-License-Identifier: Apache-2.0
export { documentBytesMax } from "./document.ts";
export type { FleetSpec, HardwareSpec } from "./fleet-file.ts";
export { fleetFromData, parseFleet } from "./fleet-file.ts";
export type { DeviceSelector, Expectation, Fault, ReleaseSpec, RolloutSpec, Scenario, ScenarioOptions } from "./scenario.ts";
export { declarationOf, parseScenario, releaseFromData } from "./scenario.ts";
export type { Fleet, FleetSummary } from "./fleet.ts";
export type { LabBuild, LabPath, Matrix, MatrixCell } from "./migration-lab.ts";
export { factoryBuilds, isOlder, labBuild, labBuilds, matrixResult, oldestFirst } from "./migration-builds.ts";
export { labPaths, migrationMatrix } from "./migration-lab.ts";
export type { StartState } from "./lab-state.ts";
export { assembleFleet, describeFleet, deviceDescription, deviceIdAt } from "./fleet.ts";
export type { BuildSpec, BuiltArtifact, BuiltRelease } from "./release.ts";
export { buildRelease, labKey, reversionRelease } from "./release.ts";
export { selectDevices } from "./select.ts";

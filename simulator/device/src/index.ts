// SPDX-License-Identifier: Apache-2.0
export type * from "./ports.ts";
export type * from "./description.ts";
export type { BootCut, BootCutPlan, BootPurpose } from "./boot-cut.ts";
export { attributesOf } from "./description.ts";
export type { Defect, DefectBehaviour, DefectFilter, DefectKind } from "./defect.ts";
export type { SimProgram } from "./program.ts";
export { programPayload, readProgram } from "./program.ts";
export type { Device, DeviceShared, Draw, Phase } from "./device.ts";
export { createDevice, createShared } from "./device.ts";
export { lookAtSettings, manufacture } from "./settings.ts";
export { storageGeometry } from "./storage.ts";
export type { Layout, SchemaStep, SettingsOperation, StorageProgram, ValueName } from "./storage-program.ts";
export { firstLayout, valueNames } from "./storage-program.ts";
export { travelsAs } from "./dump.ts";
export { symbolFile } from "./symbol-file.ts";
export { otherSlot } from "./flash-state.ts";
export { cutApplication, step } from "./step.ts";

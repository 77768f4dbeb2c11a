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
export { cutApplication, step } from "./step.ts";

// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import type { Selector } from "./entry.ts";
import { type DeviceRecord, dimension, type Selectable } from "./inventory.ts";

/** True when every given part of the selector matches (R1). */
export function matches(selector: Selector, device: Selectable): boolean {
  if (selector.ids !== undefined && !selector.ids.includes(device.id)) {
    return false;
  }
  if (selector.tags !== undefined && !selector.tags.every((tag) => device.tags.includes(tag))) {
    return false;
  }
  if (selector.attributes !== undefined) {
    for (const [name, value] of Object.entries(selector.attributes)) {
      if (dimension(device, name) !== value) {
        return false;
      }
    }
  }
  return true;
}

/** The ids that a selector matches, in code-point order: the same inventory resolves the same (R1). */
export function resolve(selector: Selector, devices: Iterable<DeviceRecord>): DeviceId[] {
  const ids: DeviceId[] = [];
  const wanted = selector.ids === undefined ? undefined : new Set(selector.ids);
  for (const device of devices) {
    if ((wanted === undefined || wanted.has(device.id)) && matches({ ...selector, ids: undefined }, device)) {
      ids.push(device.id);
    }
  }
  return ids.sort();
}

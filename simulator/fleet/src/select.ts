// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import { draw } from "@coalmine/world";
import type { Fleet } from "./fleet.ts";
import { deviceDescription } from "./fleet.ts";
import type { DeviceSelector } from "./scenario.ts";

/** Ids of the devices a fault's selector means, in the order of the fleet. `purpose` names the draw of `share` and `count`. */
export function selectDevices(fleet: Fleet, selector: "all" | DeviceSelector, purpose: string): DeviceId[] {
  const chosen: { readonly id: DeviceId; readonly rank: number; readonly index: number }[] = [];
  for (let index = 0; index < fleet.spec.devices; index++) {
    const device = deviceDescription(fleet, index);
    const rank = draw(fleet.spec.seed, device.id, purpose);
    if (selector === "all" || (matches(selector, device) && (selector.share === undefined || rank < selector.share))) {
      chosen.push({ id: device.id, rank, index });
    }
  }
  if (selector !== "all" && selector.count !== undefined && selector.count < chosen.length) {
    chosen.sort((a, b) => a.rank - b.rank || a.index - b.index);
    chosen.length = selector.count;
    chosen.sort((a, b) => a.index - b.index);
  }
  return chosen.map((entry) => entry.id);
}

function matches(selector: DeviceSelector, device: ReturnType<typeof deviceDescription>): boolean {
  const among = (allowed: readonly string[] | undefined, value: string): boolean => allowed === undefined || allowed.includes(value);
  return (
    among(selector.ids, device.id) &&
    among(selector.boards, device.hardware.board) &&
    among(selector.revisions, device.hardware.revision) &&
    among(selector.hardware, device.hardware.name) &&
    among(selector.connectivity, device.connectivity.name) &&
    among(selector.power, device.power.name) &&
    among(selector.site, device.site) &&
    among(selector.fromVersions, device.firmware.version) &&
    (selector.tags === undefined || selector.tags.every((tag) => device.tags.includes(tag)))
  );
}

// SPDX-License-Identifier: Apache-2.0
import { after, type DeviceId, type Instant, Milliseconds } from "@coalmine/core";
import type { DeviceInput } from "@coalmine/device";
import { type BuiltRelease, deviceDescription, type Fault, type Fleet, selectDevices } from "@coalmine/fleet";
import { draw, type Network } from "@coalmine/world";

/** What faults act on: a virtual site, or a driver of real sockets. */
export interface FaultTarget {
  readonly network: Network;
  at(time: Instant, run: (now: Instant) => void): void;
  input(device: DeviceId, input: DeviceInput): void;
  kill(): void;
  restart(): void;
}

/** The name of a fault's cuts, by its place in the scenario. */
export const cutName = (fault: number): string => `fault ${fault}`;

/** Plans the faults of a scenario on a site. `random` operations are drawn by the device's name. */
export function planFaults(site: FaultTarget, fleet: Fleet, scenario: { readonly faults: readonly Fault[]; readonly releases: ReadonlyMap<string, BuiltRelease> }, start: Instant): void {
  const { faults } = scenario;
  const { seed } = fleet.spec;
  for (const [index, fault] of faults.entries()) {
    const purpose = `fault ${index}`;
    // A cut of a certain boot is armed from the beginning.
    const at = after(start, fault.at ?? Milliseconds(0));
    switch (fault.kind) {
      case "power-cut": {
        const ids = selectDevices(fleet, fault.devices, purpose);
        if (fault.operation === undefined) {
          for (const id of ids) {
            site.at(at, () => site.input(id, { kind: "power-cut" }));
            site.at(after(at, fault.off), () => {
              site.input(id, { kind: "power-on", cause: "power-on" });
              site.input(id, { kind: "link", up: true });
            });
          }
          break;
        }
        const images = fault.release === undefined ? undefined : scenario.releases.get(fault.release)?.artifacts.map((artifact) => artifact.imageHash);
        const operations = operationsOf(fleet, ids, fault.operation, (id) => draw(seed, id, purpose, "operation"));
        for (const [id, operation] of operations) {
          // The board's own supply comes back by itself, some seconds later.
          site.at(at, () => site.input(id, { kind: "power-cut", cut: { operation, when: fault.when, images, name: cutName(index) } }));
        }
        break;
      }
      case "partition": {
        const ids = selectDevices(fleet, fault.devices, purpose);
        const until = after(at, fault.for);
        site.network.cut({ from: at, until, devices: new Set(ids), direction: fault.direction });
        if (fault.direction !== "down") {
          for (const id of ids) {
            site.at(at, () => site.input(id, { kind: "link", up: false }));
            site.at(until, () => site.input(id, { kind: "link", up: true }));
          }
        }
        break;
      }
      case "link":
      case "duplicate":
      case "late": {
        const conditions =
          fault.kind === "link"
            ? { ...(fault.loss === undefined ? {} : { loss: fault.loss }), ...(fault.latency === undefined ? {} : { latency: fault.latency }) }
            : fault.kind === "duplicate"
              ? { duplicate: fault.share }
              : { late: fault.share, lateBy: fault.by };
        site.network.disturb({
          from: at,
          until: after(at, fault.for),
          devices: fault.devices === "all" ? "all" : new Set(selectDevices(fleet, fault.devices, purpose)),
          conditions,
        });
        break;
      }
      case "crash":
        for (const id of selectDevices(fleet, fault.devices, purpose)) {
          site.at(after(at, Milliseconds(Math.round(fault.over * draw(seed, id, purpose, "moment")))), () => site.input(id, { kind: "crash" }));
        }
        break;
      case "orchestrator-kill":
        site.at(at, () => site.kill());
        site.at(after(at, Milliseconds(Math.max(1, fault.off))), () => site.restart());
        break;
    }
  }
}

/** Drawn operations lie among so many: as many as an upgrade of a few dozen sectors takes. */
const drawnOperationsMax = 150;

/** At which operation each device is cut. `each` counts the devices of every hardware kind for itself. */
function operationsOf(fleet: Fleet, ids: readonly DeviceId[], operation: number | "random" | "each", chance: (id: DeviceId) => number): Map<DeviceId, number> {
  if (operation !== "each") {
    return new Map(ids.map((id) => [id, operation === "random" ? 1 + Math.floor(chance(id) * drawnOperationsMax) : operation]));
  }
  const chosen = new Set<DeviceId>(ids);
  const reached = new Map<string, number>();
  const operations = new Map<DeviceId, number>();
  for (let index = 0; index < fleet.spec.devices; index++) {
    const { id, hardware } = deviceDescription(fleet, index);
    if (chosen.has(id)) {
      const next = (reached.get(hardware.name) ?? 0) + 1;
      reached.set(hardware.name, next);
      operations.set(id, next);
    }
  }
  return operations;
}

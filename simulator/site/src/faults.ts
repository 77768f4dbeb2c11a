// SPDX-License-Identifier: Apache-2.0
import { after, type DeviceId, type Instant, Milliseconds } from "@coalmine/core";
import type { DeviceInput } from "@coalmine/device";
import { type Fault, type Fleet, selectDevices } from "@coalmine/fleet";
import { draw, type Network } from "@coalmine/world";

/** What faults act on: a virtual site, or a driver of real sockets. */
export interface FaultTarget {
  readonly network: Network;
  at(time: Instant, run: (now: Instant) => void): void;
  input(device: DeviceId, input: DeviceInput): void;
  kill(): void;
  restart(): void;
}

/** Plans the faults of a scenario on a site. `random` operations are drawn by the device's name. */
export function planFaults(site: FaultTarget, fleet: Fleet, faults: readonly Fault[], start: Instant): void {
  const { seed } = fleet.spec;
  for (const [index, fault] of faults.entries()) {
    const purpose = `fault ${index}`;
    const at = after(start, fault.at);
    switch (fault.kind) {
      case "power-cut":
        for (const id of selectDevices(fleet, fault.devices, purpose)) {
          const operation = fault.operation === "random" ? 1 + Math.floor(draw(seed, id, purpose, "operation") * 150) : fault.operation;
          site.at(at, () => {
            site.input(id, operation === undefined ? { kind: "power-cut" } : { kind: "power-cut", cut: operation });
          });
          site.at(after(at, fault.off), () => {
            site.input(id, { kind: "power-on", cause: "power-on" });
            site.input(id, { kind: "link", up: true });
          });
        }
        break;
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
      case "orchestrator-kill":
        site.at(at, () => site.kill());
        site.at(after(at, Milliseconds(Math.max(1, fault.off))), () => site.restart());
        break;
    }
  }
}

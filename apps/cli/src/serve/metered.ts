// SPDX-License-Identifier: Apache-2.0
import type { IngestMeter } from "@coalmine/api";
import type { LinkHost } from "@coalmine/orchestrator";

/** The host as links see it, with the time of every report taken: from its arrival to its being durable. */
export function metered(host: LinkHost, meter: IngestMeter): LinkHost {
  return {
    report: async (device, bytes, door) => {
      const began = performance.now();
      await host.report(device, bytes, door);
      meter.observe((performance.now() - began) / 1_000);
    },
    block: (device, request) => host.block(device, request),
    undecodable: (device, reason, size, door) => host.undecodable(device, reason, size, door),
  };
}

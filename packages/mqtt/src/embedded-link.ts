// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import type { Link, LinkHost } from "@coalmine/orchestrator";
import { type Command, commandTopic, encodeCommand, isKept } from "@coalmine/protocol";
import type { Broker } from "./broker.ts";

/**
 * The Link port over the embedded broker. Reports go straight to the host, not through a subscription.
 *
 * The broker's memory ends with the process: after a restart the host sends again what is outstanding.
 */
export function embeddedLink(broker: Broker, host: LinkHost): Link {
  broker.attach(host);
  return {
    door: "mqtt",
    send: (device: DeviceId, command: Command) =>
      broker.send(commandTopic(device), device, encodeCommand(command), { retain: isKept(command) }),
    clear: (device: DeviceId) => broker.send(commandTopic(device), device, new Uint8Array(0), { retain: true }),
    async close() {
      broker.detach();
    },
  };
}

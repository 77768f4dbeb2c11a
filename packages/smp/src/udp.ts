// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { lookup } from "node:dns/promises";
import type { SmpTransport, TransportListener } from "./transport.ts";

/** Zephyr's port for SMP over UDP. */
export const SMP_UDP_PORT = 1337;
/** Fits an IPv6 packet on any link without fragments. */
const PACKET_MAX = 1024;

/** One board over UDP. @throws CoalmineError `smp/unreachable` when the name does not resolve or the socket cannot be made. */
export async function openUdp(address: { readonly host: string; readonly port?: number }): Promise<SmpTransport> {
  const { host, port = SMP_UDP_PORT } = address;
  let ip: string;
  try {
    ({ address: ip } = await lookup(host));
  } catch (cause) {
    throw new CoalmineError("smp/unreachable", `cannot find the board's address ${host}: ${(cause as Error).message}`, { retry: "later", cause });
  }
  const socket = createSocket(isIPv6(ip) ? "udp6" : "udp4");
  let listener: TransportListener | undefined;
  let open = true;
  // Connected, so that the kernel drops datagrams of anybody else and tells of a closed port.
  socket.connect(port, ip);
  try {
    await once(socket, "connect");
  } catch (cause) {
    socket.close();
    throw new CoalmineError("smp/unreachable", `cannot reach ${host} port ${port}: ${(cause as Error).message}`, { retry: "later", cause });
  }
  socket.on("message", (packet: Buffer) => listener?.packet(new Uint8Array(packet)));
  // A board that reboots answers "port unreachable" for a while: for the client that is the silence it knows.
  socket.on("error", () => undefined);
  return {
    name: `udp://${host}:${port}`,
    packetMax: PACKET_MAX,
    overhead: 0,
    listen(one) {
      listener = one;
    },
    send(packet) {
      if (open) {
        socket.send(packet, () => undefined);
      }
    },
    async close() {
      if (open) {
        open = false;
        await new Promise<void>((resolve) => {
          socket.close(() => resolve());
        });
        listener?.closed(undefined);
      }
    },
  };
}

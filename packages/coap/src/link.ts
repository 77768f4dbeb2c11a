// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type DeviceId } from "@coalmine/core";
import type { Link, LinkHost } from "@coalmine/orchestrator";
import type { Command } from "@coalmine/protocol";
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { type AuthenticationStats, openAuthentication, secretAuthentication, type SecretOf } from "./authentication.ts";
import { Endpoint, type EndpointStats } from "./endpoint.ts";
import { type CoapLimits, defaultLimits } from "./limits.ts";
import { Reach } from "./reach.ts";
import { Resources } from "./resources.ts";

export interface CoapLinkOptions {
  /** Address to listen on; by default the loopback. */
  readonly host?: string;
  /** UDP port; 0 for a free one. */
  readonly port: number;
  /**
   * A device's secret, at least 16 random bytes. Without this function devices are who they say they are, which is
   * only allowed on the loopback.
   */
  readonly secretOf?: SecretOf;
  /** The component whose artifacts are served: `main`. */
  readonly component?: string;
  readonly limits?: Partial<CoapLimits>;
  /** Packets from the loopback need no proof of their address. False in tests of that proof. */
  readonly trustLoopback?: boolean;
  /** Hears of trouble: a report that could not be made durable, a bug, the socket. */
  readonly failed?: (error: unknown) => void;
}

/** Counts since the start, and what is held now. */
export interface CoapStats extends EndpointStats, AuthenticationStats {
  readonly peers: number;
  readonly exchanges: number;
  readonly exchangeBytes: number;
  readonly observers: number;
  readonly uploads: number;
  readonly uploadBytes: number;
  /** Datagrams the system would not send. */
  readonly unsent: number;
}

export interface CoapLink extends Link {
  readonly door: "coap";
  readonly address: string;
  readonly port: number;
  /** `coap://HOST:PORT` */
  readonly url: string;
  stats(): CoapStats;
}

/** True for an address whose packets stay on this machine. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address);
}

/**
 * Opens a CoAP server and the Link port over it. Kept offers and waiting commands are in memory: after a restart the host
 * sends again what is outstanding, and devices register again because their next answer tells them to.
 *
 * Throws `coap/unprotected` for an address beyond the loopback without secrets, `coap/listen` when the port is taken.
 */
export async function coapLink(options: CoapLinkOptions, host: LinkHost): Promise<CoapLink> {
  const address = options.host ?? "127.0.0.1";
  if (options.secretOf === undefined && !isLoopback(address)) {
    throw new CoalmineError("coap/unprotected", `devices without secrets cannot be told apart on ${address}: give secretOf, or listen on 127.0.0.1`);
  }
  const limits: CoapLimits = { ...defaultLimits, ...options.limits };
  const failed = options.failed ?? (() => undefined);
  const now_s = (): number => performance.now() / 1_000;
  const authentication = options.secretOf === undefined ? openAuthentication() : secretAuthentication(options.secretOf, limits);
  const resources = new Resources({ host, limits, authentication, component: options.component ?? "main", now_s, failed });
  const socket = await bound(address, options.port);

  let unsent = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let armedFor_s = Number.POSITIVE_INFINITY;

  function arm(): void {
    const { next_s } = endpoint;
    if (closed || next_s >= armedFor_s) {
      return;
    }
    clearTimeout(timer);
    armedFor_s = next_s;
    timer = setTimeout(
      () => {
        armedFor_s = Number.POSITIVE_INFINITY;
        endpoint.run();
        arm();
      },
      Math.max(1, (next_s - now_s()) * 1_000),
    );
  }

  const endpoint = new Endpoint({
    limits,
    application: resources,
    send(parts, peer) {
      if (!closed) {
        socket.send(parts, peer.port, peer.address);
      }
    },
    now_s,
    random: Math.random,
    echoKey: randomBytes(32),
    isTrusted: options.trustLoopback === false ? () => false : isLoopback,
    wake: arm,
    failed,
  });
  resources.attach(endpoint);
  const reach = new Reach();
  socket.on("message", (bytes, peer) => {
    reach.heard();
    endpoint.receive(bytes, peer.address, peer.port);
  });
  // A peer that is gone answers with ICMP, an odd address cannot be sent to: neither is trouble of ours.
  socket.on("error", (error: NodeJS.ErrnoException) => {
    unsent += 1;
    reach.failed(error.code, now_s());
  });

  const open = (): void => {
    if (closed) {
      throw new CoalmineError("link/closed", "the CoAP link is closed", { retry: "later" });
    }
  };
  const { port } = socket.address();
  return {
    door: "coap",
    address,
    port,
    get connected() {
      return !reach.isDown(now_s());
    },
    url: `coap://${isIPv6(address) ? `[${address}]` : address}:${port}`,
    async send(device: DeviceId, command: Command) {
      open();
      resources.commands.send(device, command);
    },
    async clear(device: DeviceId) {
      open();
      resources.commands.clear(device);
    },
    async close() {
      if (!closed) {
        closed = true;
        clearTimeout(timer);
        await new Promise<void>((resolve) => socket.close(resolve));
      }
    },
    stats: () => ({
      ...endpoint.stats,
      ...authentication.stats,
      peers: endpoint.peers.size,
      exchanges: endpoint.peers.exchanges,
      exchangeBytes: endpoint.peers.exchangeBytes,
      observers: resources.commands.observers.size,
      uploads: resources.reports.uploads.size,
      uploadBytes: resources.reports.uploads.bytes,
      unsent,
    }),
  };
}

async function bound(address: string, port: number): Promise<Socket> {
  const family = isIPv6(address) ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? "udp6" : "udp4",
    // Peers are addresses, never names: nothing to look up, and an answer leaves without a detour.
    lookup: (hostname, _options, callback) => callback(null, hostname, family),
  });
  // The look-up above answers at once, so the socket may be listening before bind returns.
  const listening = once(socket, "listening");
  socket.bind(port, address);
  try {
    await listening;
  } catch (cause) {
    socket.close();
    throw new CoalmineError("coap/listen", `cannot listen on UDP ${address}:${port}: ${(cause as Error).message}`, { retry: "later", cause });
  }
  for (const enlarge of [() => socket.setRecvBufferSize(4 * 1_048_576), () => socket.setSendBufferSize(4 * 1_048_576)]) {
    try {
      enlarge();
    } catch {
      // The system keeps its own limit.
    }
  }
  return socket;
}

// SPDX-License-Identifier: Apache-2.0
import type { LinkHost } from "@coalmine/orchestrator";
import { openAuthentication, secretAuthentication, type SecretOf } from "../authentication.ts";
import { Endpoint, type EndpointStats } from "../endpoint.ts";
import { type CoapLimits, defaultLimits } from "../limits.ts";
import { Resources } from "../resources.ts";

/** The whole server without its socket: datagrams and time go in by hand. */
export interface Target {
  readonly stats: EndpointStats;
  /** What the server holds now: to be bounded. */
  held(): { readonly peers: number; readonly exchanges: number; readonly exchangeBytes: number; readonly observers: number; readonly uploads: number; readonly uploadBytes: number };
  /** Gives a datagram; returns what was sent at once. */
  receive(bytes: Buffer, address: string, port: number): Buffer[];
  /** Lets seconds pass, with everything due in them. */
  pass(seconds: number): void;
  isValidated(address: string, port: number): boolean;
}

export function target(options: { readonly host: LinkHost; readonly secretOf?: SecretOf; readonly limits?: Partial<CoapLimits>; readonly failed: (error: unknown) => void }): Target {
  const limits: CoapLimits = { ...defaultLimits, ...options.limits };
  let now_s = 1_000;
  let sent: Buffer[] = [];
  const authentication = options.secretOf === undefined ? openAuthentication() : secretAuthentication(options.secretOf, limits);
  const resources = new Resources({ host: options.host, limits, authentication, component: "main", now_s: () => now_s, failed: options.failed });
  const endpoint = new Endpoint({
    limits,
    application: resources,
    send: (parts) => sent.push(Buffer.concat(parts)),
    now_s: () => now_s,
    random: () => 0.5,
    echoKey: new Uint8Array(32).fill(1),
    // Half of all addresses, so that both kinds are tried.
    isTrusted: (address) => address.charCodeAt(address.length - 1) % 2 === 0,
    wake: () => undefined,
    failed: options.failed,
  });
  resources.attach(endpoint);
  return {
    stats: endpoint.stats,
    held: () => ({
      peers: endpoint.peers.size,
      exchanges: endpoint.peers.exchanges,
      exchangeBytes: endpoint.peers.exchangeBytes,
      observers: resources.commands.observers.size,
      uploads: resources.reports.uploads.size,
      uploadBytes: resources.reports.uploads.bytes,
    }),
    receive(bytes, address, port) {
      sent = [];
      endpoint.receive(bytes, address, port);
      return sent;
    },
    pass(seconds) {
      const end_s = now_s + seconds;
      while (endpoint.next_s <= end_s) {
        now_s = endpoint.next_s;
        endpoint.run();
      }
      now_s = end_s;
    },
    isValidated: (address, port) => endpoint.peers.at(address, port, now_s).validated,
  };
}
